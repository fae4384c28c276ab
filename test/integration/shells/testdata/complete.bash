# usage: bash complete.bash FILE LINE
#
# Prints what bash offers for the last word of LINE after it has sourced FILE.
source "$1" || exit 1
read -ra words <<<"${2//=/ = }" # as COMP_WORDBREAKS splits
[[ $2 == *[\ =] && ${words[-1]} != "=" ]] && words+=("")
COMP_WORDS=("${words[@]}") COMP_CWORD=$((${#words[@]} - 1))
registered=($(complete -p "${words[0]}")) || exit 1
compopt() { [[ $* != *"+o default"* ]] || default=; } # fails outside of readline
default=yes
"${registered[-2]}"
[[ ${#COMPREPLY[@]} -gt 0 || -z $default ]] || COMPREPLY=($(compgen -f -- "${words[-1]}"))
printf '%s\n' "${COMPREPLY[@]}" | sort -u
