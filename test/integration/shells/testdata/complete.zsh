# usage: zsh -f complete.zsh ROOT FILE LINE
#
# Completes LINE in a zsh that runs in a pseudo-terminal and has sourced FILE, and prints what
# was offered. ROOT is where Debian's packages of zsh are unpacked.
root=$1 file=$2 line=$3
module_path=($root/usr/lib/x86_64-linux-gnu/zsh/*(/))
zmodload zsh/zpty || exit 1
offered=$(mktemp) || exit 1
zpty -b z $root/bin/zsh -f -i
type() { zpty -w z "$1" }
until_seen() {
  local all= some i
  for i in {1..600}; do
    zpty -r -t z some && all+=$some
    [[ $all == *$1* ]] && return
    sleep 0.05
  done
  print -u2 -r -- "no $1 in: $all"
  exit 1
}
type "PROMPT='P> '; module_path=($module_path); fpath=($root/usr/share/zsh/functions/{*,*/*}(/)); autoload -Uz compinit; compinit -u -D"
type "zstyle ':completion:*' insert-tab false; LISTMAX=1000; source $file; bindkey '^I' complete-word; unsetopt menu_complete auto_menu list_beep"
type "compadd() { local -a h; builtin compadd -O h \"\$@\"; (( \$#h )) && print -rl -- \$h >> $offered; builtin compadd \"\$@\" }; echo REA''DY"
until_seen READY
zpty -w -n z "$line"$'\t'
zpty -w z $'\x15echo DO\'\'NE' # Ctrl-U
until_seen DONE
zpty -d z
sort -u $offered
rm -f $offered
