#!/usr/bin/env bash
# install-pulumi.sh: make a Pulumi CLI with its Python language host available and print the folder it is in (stdout).
# Everything said to a person goes to stderr.  What is there already is used; nothing of the user's own is changed.
#
# Order: 1. the cache shared by all clones   2. `pulumi` on PATH, if recent enough and complete
#        3. the vendor's release archive     4. built from Go modules (about 7 CPU-minutes, once)
set -euo pipefail

VERSION=3.259.0                 # CLI, and the Go module pkg/v3: no newer pkg/v3 exists as a module
HOST_MODULE=v3.79.0             # last sdk/v3 that holds pulumi-language-python
CLIPBOARD=v0.0.0-20241001131231-d02d263e614e  # the replace directive of Pulumi's own go.mod
RELEASES=${PULUMI_RELEASES_URL-https://get.pulumi.com/releases/sdk}  # empty: skip step 3
CACHE=${XDG_CACHE_HOME:-${HOME:?is not set, and the Pulumi CLI is kept below it. Set HOME or XDG_CACHE_HOME.}/.cache}/backendai-vllm
BIN=$CACHE/pulumi-$VERSION/bin
REASONS=""                      # why steps 2 to 4 gave nothing, for the last error
STAGE=""
WATCHER=""

say() { printf '  pulumi  %s\n' "$*" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
reason() { REASONS="$REASONS  - $*
"; }

at_least() { # at_least MINIMUM VERSION: by number; what follows a "-" or "+" doesn't count
  local IFS=. i
  local -a wanted given
  read -r -a wanted <<<"${1%%[-+]*}"
  read -r -a given <<<"${2%%[-+]*}"
  for i in 0 1 2; do
    if ((10#${given[i]:-0} != 10#${wanted[i]:-0})); then ((10#${given[i]:-0} > 10#${wanted[i]:-0})); return; fi
  done
}

complete() { # complete FOLDER: the four programs that a Python program with dynamic resources needs
  local program
  for program in pulumi pulumi-language-python pulumi-language-python-exec pulumi-resource-pulumi-python; do
    [ -x "$1/$program" ] || return 1
  done
}

version_of() { # version_of PULUMI: asked in an empty home, because even `pulumi version` writes a log into ~/.pulumi
  local home answer
  home=$(mktemp -d) || return 1
  answer=$(PULUMI_HOME=$home PULUMI_SKIP_UPDATE_CHECK=true "$1" version 2>/dev/null) || answer=""
  rm -rf "$home"
  [[ $answer =~ ^v?([0-9]+\.[0-9]+\.[0-9]+.*)$ ]] && printf '%s\n' "${BASH_REMATCH[1]}"
}

from_path() {
  local found folder version
  found=$(command -v pulumi) || { reason "there is no pulumi on PATH"; return 1; }
  folder=$(cd "$(dirname "$(readlink -f "$found" 2>/dev/null || echo "$found")")" && pwd) || return 1
  complete "$folder" ||
    { say "found $found, but without its Python language host beside it: not used"
      reason "$found has no Python language host beside it"; return 1; }
  version=$(version_of "$found") ||
    { say "found $found, but it doesn't tell its version: not used"
      reason "$found doesn't tell its version"; return 1; }
  at_least "$VERSION" "$version" ||
    { say "found $found $version, older than $VERSION: not used"
      reason "$found is version $version"; return 1; }
  if at_least 4 "$version"; then
    say "found $found $version, a new major version: not used"
    reason "$found is version $version, a new major version"; return 1
  fi
  say "$found $version"
  printf '%s\n' "$folder"
}

download() { # download URL FILE
  if command -v curl >/dev/null; then curl -fsSL --connect-timeout 5 --retry 2 -o "$2" "$1" 2>&1
  elif command -v wget >/dev/null; then wget -q --timeout=10 --tries=2 -O "$2" "$1" 2>&1
  else echo "neither curl nor wget is installed"; return 1; fi
}

from_release() { # the archive that the vendor's installer would take
  local os arch why
  [ -n "$RELEASES" ] || { reason "PULUMI_RELEASES_URL is empty: no release archive"; return 1; }
  case $(uname -s) in Linux) os=linux ;; Darwin) os=darwin ;; *) reason "no release archive for $(uname -s)"; return 1 ;; esac
  case $(uname -m) in x86_64 | amd64) arch=x64 ;; arm64 | aarch64) arch=arm64 ;; *) reason "no release archive for $(uname -m)"; return 1 ;; esac
  say "downloading the release archive of $VERSION"
  why=$(download "$RELEASES/pulumi-v$VERSION-$os-$arch.tar.gz" "$STAGE/pulumi.tar.gz") ||
    { why=${why##*$'\n'}  # each try says it
      say "no release archive: ${why:-the download failed}"
      reason "the vendor's release archive can't be had: ${why:-the download failed}"; return 1; }
  mkdir "$STAGE/release"
  tar -xzf "$STAGE/pulumi.tar.gz" -C "$STAGE/release" 2>/dev/null && complete "$STAGE/release/pulumi" &&
    [ "$(version_of "$STAGE/release/pulumi/pulumi")" = "$VERSION" ] ||
    { say "what the vendor's server sent is no whole Pulumi $VERSION: not used"
      reason "what the vendor's server sent is no whole Pulumi $VERSION"; return 1; }
  mv "$STAGE/release/pulumi" "$STAGE/bin"
}

go_build() { # go_build MODULE PACKAGE OUTPUT LDFLAGS GO_MOD_LINES: `go install M@V` refuses modules with replace lines
  local folder attempt
  folder=$(mktemp -d "$STAGE/wrapper.XXXXXX")
  printf 'module wrapper\n\ngo 1.24\n\n%s\n' "$5" >"$folder/go.mod"
  for attempt in 1 2; do  # a broken connection to the module proxy is common; what was built is kept for the second try
    if (cd "$folder" && go build -mod=mod -trimpath -buildvcs=false -tags "osusergo grpcnotrace" \
      -ldflags "-w -s $4" -o "$3" "$1/$2") >"$STAGE/go.log" 2>&1; then return; fi
    [ "$attempt" = 2 ] || { say "that build failed; trying once more"; sleep 2; }
  done
  grep -v '^go: downloading' "$STAGE/go.log" | tail -n 5 >&2
  reason "building $1/$2 from Go modules failed (Go's last words are above). Is the Go module proxy reachable, and are 4 GB free in $CACHE?"
  return 1
}

progress() { # a line every 20 s while a build runs, so that nobody thinks that it hangs
  local start=$SECONDS
  # The sleep must hold neither a caller's pipe nor the lock: it outlives this script by up to 20 s.
  while sleep 20 >/dev/null 2>&1 9>&-; do
    say "still building, $((SECONDS - start)) s ($(find "$GOCACHE" -type f 2>/dev/null | wc -l | tr -d ' ') objects)"
  done
}

from_go() {
  local version script
  command -v go >/dev/null || { reason "Go isn't installed, so the CLI can't be built from Go modules"; return 1; }
  version=$(go env GOVERSION 2>/dev/null | sed 's/^go//')
  # Pulumi needs Go 1.25.11; from 1.21 on, Go gets the toolchain that a module asks for by itself.
  at_least 1.21 "${version:-0}" ||
    { reason "Go ${version:-(without GOVERSION)} is too old to build the CLI: 1.25.11 is needed (1.21 or newer fetches it)"; return 1; }
  export GOPATH=$STAGE/gopath GOMODCACHE=$STAGE/mod GOCACHE=$STAGE/cache GOFLAGS=-modcacherw CGO_ENABLED=0 GOWORK=off GOTOOLCHAIN=${GOTOOLCHAIN:-auto}
  mkdir -p "$STAGE/out" "$STAGE/fetch"
  say "building $VERSION from Go modules: about 7 CPU-minutes, only this once (kept in $BIN)"
  progress & WATCHER=$!
  go_build github.com/pulumi/pulumi/pkg/v3 cmd/pulumi "$STAGE/out/pulumi" \
    "-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v$VERSION" \
    "require github.com/pulumi/pulumi/pkg/v3 v$VERSION

replace github.com/atotto/clipboard => github.com/tgummerer/clipboard $CLIPBOARD" || return 1
  say "the CLI is built; now the Python language host"
  (cd "$STAGE/fetch" && printf 'module wrapper\n' >go.mod &&
    go mod download "github.com/pulumi/pulumi/sdk/v3@v$VERSION") >"$STAGE/go.log" 2>&1 ||
    { tail -n 5 "$STAGE/go.log" >&2; reason "the Go module pulumi/sdk/v3 can't be downloaded"; return 1; }
  for script in python/cmd/pulumi-language-python-exec python/dist/pulumi-resource-pulumi-python; do
    install -m 755 "$GOMODCACHE/github.com/pulumi/pulumi/sdk/v3@v$VERSION/$script" "$STAGE/out/" || return 1
  done
  go_build github.com/pulumi/pulumi/sdk/v3 python/cmd/pulumi-language-python "$STAGE/out/pulumi-language-python" "" \
    "require github.com/pulumi/pulumi/sdk/v3 $HOST_MODULE" || return 1
  complete "$STAGE/out" && [ "$(version_of "$STAGE/out/pulumi")" = "$VERSION" ] ||
    { reason "the built CLI doesn't run or doesn't say that it is $VERSION"; return 1; }
  mv "$STAGE/out" "$STAGE/bin"
}

clean_up() {
  [ -z "$WATCHER" ] || kill "$WATCHER" 2>/dev/null || true
  [ -z "$STAGE" ] || rm -rf "$STAGE" || true
}

take_lock() { # two clones may be set up at once; the second one finds the first one's work.  (macOS has no flock: both work.)
  exec 9>"$CACHE/lock"
  command -v flock >/dev/null || return 0
  flock -n 9 || { say "another set-up is at it: waiting for it"; flock 9; }
  # Nobody else is at work, so stages that are there were left by set-ups that were killed.
  rm -rf "$CACHE"/stage.??????
}

if complete "$BIN"; then say "$VERSION in $BIN"; printf '%s\n' "$BIN"; exit 0; fi
if from_path; then exit 0; fi

mkdir -p "$CACHE" 2>/dev/null && [ -w "$CACHE" ] ||
  fail "the Pulumi CLI can't be kept in $CACHE: no right to write there. Set XDG_CACHE_HOME to a folder of yours."
take_lock
if complete "$BIN"; then say "$VERSION in $BIN"; printf '%s\n' "$BIN"; exit 0; fi
trap clean_up EXIT
STAGE=$(mktemp -d "$CACHE/stage.XXXXXX")
from_release || from_go || fail "no Pulumi CLI:
${REASONS}Install Pulumi $VERSION or newer with its Python language host (pulumi.com/docs/install), or Go 1.25.11 or newer, and run this again."
if ! complete "$BIN"; then
  mkdir -p "$(dirname "$BIN")"
  rm -rf "$BIN"
  mv "$STAGE/bin" "$BIN"  # one rename: a folder that is there is whole
fi
say "installed $VERSION in $BIN"
printf '%s\n' "$BIN"
