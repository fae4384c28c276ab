#!/usr/bin/env bash
# The steps of action.yml, which passes each input as IN_*:
#
#   github.sh install   add bundle to PATH: a release, or a build of this checkout
#   github.sh lock      check or make the lock file, and annotate the manifests
#   github.sh bundle    make the bundle, and set the outputs
#
# It needs jq, and curl for a release; GitHub's runners have both.
set -euo pipefail

temp=$RUNNER_TEMP/stowage
mkdir -p "$temp"
exec 3>&1 # the log, also for annotations of a command whose output is a file

# output NAME VALUE sets an output of the step.
output() { printf '%s=%s\n' "$1" "$2" >>"$GITHUB_OUTPUT"; }

# lines TEXT... prints the lines of an input without blanks around them and without empty ones.
lines() { sed 's/^[[:space:]]*//; s/[[:space:]]*$//; /^$/d' <<<"$1"; }

# sha256 prints the digest of standard input.
sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d' ' -f1; }

# fail MESSAGE ends the step with an annotation. The message is text of our own.
fail() {
  echo "::error title=stowage::$1"
  exit 2
}

# annotated COMMAND... runs a command. If it fails, an annotation has its error and its hint,
# which are one line each.
annotated() {
  local status=0
  "$@" 2>"$temp/messages" || status=$?
  # "##[" within a line is a command of the runner, too.
  sed 's/##\[/## [/g' "$temp/messages" >&2
  [ $status -ne 0 ] || return 0
  local title=stowage
  [ $status -ne 4 ] || title='rate limited'
  sed -n 's/%/%25/g; s/##\[/## [/g; s/^bundle: error: //p; s/^bundle: hint: //p' "$temp/messages" |
    awk -v title="$title" 'NR == 1 {printf "::error title=%s::", title} NR > 1 {printf "%%0A"} {printf "%s", $0} END {print ""}' >&3
  return $status
}

# manifests sets $manifests to a flag -f for each line of the input.
manifests() {
  manifests=()
  local line
  while IFS= read -r line; do manifests+=(-f "$line"); done < <(lines "$IN_MANIFESTS")
  [ ${#manifests[@]} -gt 0 ] || fail "the input manifests is empty: name a file, a directory or a pattern"
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

# download installs the release $IN_VERSION from $IN_RELEASES/$IN_VERSION, if the digest of its
# archive is the one in SHA256SUMS.
download() {
  local os arch sum name
  [[ $IN_VERSION =~ ^[A-Za-z0-9][A-Za-z0-9._+-]*$ ]] || fail "the input version is not the tag of a release"
  case $(uname -s) in
    Linux) os=linux ;;
    Darwin) os=darwin ;;
    *) fail "a release has no archive for this system: drop the input version to build from source" ;;
  esac
  case $(uname -m) in
    x86_64 | amd64) arch=amd64 ;;
    aarch64 | arm64) arch=arm64 ;;
    *) fail "a release has no archive for this processor: drop the input version to build from source" ;;
  esac
  local from=$IN_RELEASES/$IN_VERSION
  curl -fsSL --retry 3 "$from/SHA256SUMS" -o "$temp/SHA256SUMS" || fail "cannot download SHA256SUMS of the release: check the inputs version and releases"
  read -r sum name < <(grep "[ *]stowage_[^/ ]*_${os}_$arch\.tar\.gz\$" "$temp/SHA256SUMS") || fail "SHA256SUMS of the release names no archive for $os/$arch"
  name=${name#\*}
  curl -fsSL --retry 3 "$from/$name" -o "$temp/release.tar.gz" || fail "cannot download the archive of the release"
  [ "$(sha256 <"$temp/release.tar.gz")" = "$sum" ] || fail "the archive of the release does not have the digest of SHA256SUMS: nothing of it was used"
  mkdir -p "$temp/release"
  tar -xzf "$temp/release.tar.gz" -C "$temp/release"
  # The archive has a directory or none.
  mv "$(find "$temp/release" -type f -name bundle | head -n 1)" "$temp/bin/bundle"
}

install() {
  mkdir -p "$temp/bin"
  if [ -n "$IN_VERSION" ]; then
    download
  else
    (cd "$GITHUB_ACTION_PATH" && CGO_ENABLED=0 go build -trimpath -o "$temp/bin/" ./cmd/bundle)
  fi
  "$temp/bin/bundle" --version
  echo "$temp/bin" >>"$GITHUB_PATH"
}

lock() {
  manifests
  registries
  local lock=$IN_LOCK
  if [ -n "$lock" ] && [ -e "$lock" ]; then
    annotated bundle scan "${manifests[@]}" --output github --check-lock "$lock"
  else
    [ -n "$lock" ] || lock=$IN_OUTPUT.lock
    # Annotations never fail the step; what cannot be read fails the next command.
    bundle scan "${manifests[@]}" --output github 2>/dev/null || true
    local status=0
    annotated bundle scan "${manifests[@]}" --pin "${registries[@]}" >"$temp/new.lock" || status=$?
    if [ $status -ne 0 ]; then
      [ $status -ne 3 ] || output missing "$(sed -n 's/^bundle: error: \([^ ]*\): .*/\1/p' "$temp/messages" | jq -Rcn '[inputs] | unique')"
      return $status
    fi
    mv "$temp/new.lock" "$lock"
  fi
  output lock "$lock"
  local prefix="stowage-${IN_PLATFORMS//,/_}-"
  output prefix "$prefix"
  output key "$prefix$(sha256 <"$lock")"
}

# events prints the events of a run: its warnings and errors as annotations.
events() {
  jq -Rr 'fromjson? | def text: gsub("%"; "%25") | gsub("\r"; "%0D") | gsub("\n"; "%0A") | gsub("##\\["; "## [");
    if .event == "message" then "message: \(.message | text)"
    elif .event == "warning" then "::warning title=stowage::\(.message | text)"
    elif .event == "error" then
      [.errors[]?.retryAt // empty] as $reset
      | if any(.errors[]?; .httpStatus == 429) and .exitCode == 4 then "::error title=rate limited\(if $reset == [] then "" else " until \($reset | max | gsub(":"; "%3A"))" end)::\(.message | text)\(if .hint then "%0A" + (.hint | text) else "" end)"
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
  # A run that fails leaves the bundle of the cache.
  [ $status -ne 0 ] || output bundle "$IN_OUTPUT"
  output missing "$(jq -Rcn '[inputs | fromjson? | select(.event == "error" and .exitCode == 3) | .errors[]?.image // empty] | unique' "$temp/events")"
  jq -Rr 'fromjson? | select(.event == "result") | {digest: .identity, images: .imageCount, size: .fileSize, pulls: .pullCount, changed}
    | to_entries[] | select(.value != null) | "\(.key)=\(.value)"' "$temp/events" >>"$GITHUB_OUTPUT"
  return $status
}

case ${1:-} in
  install | lock) "$1" ;;
  bundle) bundle_ ;;
  *) fail "github.sh install|lock|bundle" ;;
esac
