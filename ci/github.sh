#!/usr/bin/env bash
# The steps of action.yml, which passes each input as IN_*:
#
#   github.sh build     build bundle from this checkout, and add it to PATH
#   github.sh lock      check or make the lock file, and annotate the manifests
#   github.sh bundle    make the bundle, and set the outputs
#
# It needs jq, which GitHub's runners have.
set -euo pipefail

temp=$RUNNER_TEMP/stowage

# output NAME VALUE sets an output of the step.
output() { printf '%s=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"; }

# lines TEXT... prints the lines of an input without blanks around them and without empty ones.
lines() { sed 's/^[[:space:]]*//; s/[[:space:]]*$//; /^$/d' <<<"$1"; }

# usage MESSAGE ends the step with an annotation. The message is text of our own.
usage() {
  echo "::error title=stowage::$1"
  exit 2
}

# manifests sets $manifests to a flag -f for each line of the input.
manifests() {
  manifests=()
  local line
  while IFS= read -r line; do manifests+=(-f "$line"); done < <(lines "$IN_MANIFESTS")
  [ ${#manifests[@]} -gt 0 ] || usage "the input manifests is empty: name a file, a directory or a pattern"
  manifests+=(-R)
}

# registries sets $registries to the flags that both steps pass on.
registries() {
  registries=()
  local line
  while IFS= read -r line; do registries+=(--mirror "$line"); done < <(lines "$IN_MIRROR")
  [ -z "$IN_REGISTRIES" ] || registries+=(--registries "$IN_REGISTRIES")
  [ -z "$IN_WAIT" ] || registries+=(--wait "$IN_WAIT")
}

build() {
  mkdir -p "$temp/bin"
  (cd "$GITHUB_ACTION_PATH" && CGO_ENABLED=0 go build -trimpath -o "$temp/bin/" ./cmd/bundle)
  echo "$temp/bin" >>"$GITHUB_PATH"
}

lock() {
  mkdir -p "$temp"
  manifests
  registries
  # Annotations never fail the run; what cannot be read fails the next command.
  bundle scan "${manifests[@]}" --output github 2>/dev/null || true
  local lock=$IN_LOCK
  if [ -n "$lock" ] && [ -e "$lock" ]; then
    bundle scan "${manifests[@]}" --check-lock "$lock" ||
      usage "the lock file no longer covers the manifests: run bundle scan --pin, and commit the lock file"
  else
    [ -n "$lock" ] || lock=$temp/images.lock
    bundle scan "${manifests[@]}" --pin "${registries[@]}" >"$temp/new.lock"
    mv "$temp/new.lock" "$lock"
  fi
  output lock "$lock"
  local prefix="stowage-${IN_PLATFORMS//,/_}-"
  output prefix "$prefix"
  output key "$prefix$(sha256sum <"$lock" | cut -d' ' -f1)"
}

# events prints the events of a run, and errors as annotations. "##[" within a line is a
# command of the runner, too.
events() {
  jq -Rr 'fromjson? | def text: gsub("%"; "%25") | gsub("\r"; "%0D") | gsub("\n"; "%0A") | gsub("##\\["; "## [");
    if .event == "message" or .event == "warning" then "\(.event): \(.message | text)"
    elif .event == "error" then
      [.errors[]?.retryAt // empty] as $reset
      | if .code == 4 then "::error title=rate limited\(if $reset == [] then "" else " until \($reset | max | gsub(":"; "%3A"))" end)::\(.message | text)"
        else "::error title=stowage::\(.message | text)\(if .hint then "%0A" + (.hint | text) else "" end)" end
    else empty end' "$1"
}

bundle_() {
  registries
  local flags=(-f "$IN_LOCK" -o "$IN_OUTPUT" --platform "$IN_PLATFORMS" --progress json)
  flags+=("${registries[@]}")
  [ "$IN_STRICT" != true ] || flags+=(--strict)
  [ -z "$IN_MAX_PULLS" ] || flags+=(--max-pulls "$IN_MAX_PULLS")
  [ -z "$IN_SINCE" ] || flags+=(--since "$IN_SINCE")
  [ -z "${GITHUB_STEP_SUMMARY:-}" ] || flags+=(--summary "$GITHUB_STEP_SUMMARY")
  local status=0
  bundle "${flags[@]}" 2>"$temp/events" || status=$?
  events "$temp/events"
  output bundle "$IN_OUTPUT"
  output missing "$(jq -Rcn '[inputs | fromjson? | select(.event == "error" and .code == 3) | .errors[]?.image // empty] | unique' "$temp/events")"
  jq -Rr 'fromjson? | select(.event == "result") | {digest: .identity, images, size: .fileSize, pulls, changed}
    | to_entries[] | select(.value != null) | "\(.key)=\(.value)"' "$temp/events" >>"$GITHUB_OUTPUT"
  return $status
}

case ${1:-} in
  build | lock) "$1" ;;
  bundle) bundle_ ;;
  *) usage "github.sh build|lock|bundle" ;;
esac
