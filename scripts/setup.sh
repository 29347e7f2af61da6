#!/usr/bin/env bash
# setup.sh: everything that a fresh clone needs, each part only if it isn't there yet; a second run takes under a second.
#
#   .venv        Python 3.13 with exactly the packages of requirements-dev.txt (versions and hashes)
#   Pulumi CLI   see install-pulumi.sh; in a cache shared by all clones
#   .local/env   what a shell must know to work on the local stack; see local_env.py
#   bai-vllm     the operator's command, in .venv/bin; see launcher.py
set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$ROOT"

REQUIREMENTS=requirements-dev.txt
VENV=$ROOT/.venv
STAMP=$VENV/.made-from
PULUMI=""

say() { printf '  %-7s %s\n' "$1" "$2" >&2; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

digest() { # digest FILE
  if command -v sha256sum >/dev/null; then sha256sum <"$1"; else shasum -a 256 <"$1"; fi | cut -d ' ' -f 1
}

made_from() { # made_from INTERPRETER: what a .venv depends on.  Its scripts carry its path, so a moved clone needs a new one.
  printf '%s\n%s\n%s\n' "$(digest "$REQUIREMENTS")" "$VENV" "$1"
}

current_venv() { # the interpreter that .venv was made with, if nothing that it depends on has changed
  local interpreter
  [ -f "$STAMP" ] && interpreter=$(sed -n 3p "$STAMP") && [ -n "$interpreter" ] || return 1
  [ -z "${PYTHON:-}" ] || [ "$(scripts/find-python.sh)" = "$interpreter" ] || return 1
  [ "$(made_from "$interpreter")" = "$(cat "$STAMP")" ] || return 1
  "$VENV/bin/python" -I -S -c '' 2>/dev/null || return 1  # the interpreter may have been uninstalled
  printf '%s\n' "$interpreter"
}

install() { # install REQUIREMENTS_FILE: with uv if there is one, else with pip; both check the hashes
  if command -v uv >/dev/null; then
    uv pip install --quiet --python "$VENV/bin/python" --no-build-isolation --require-hashes -r "$1" 2>"$VENV/uv.log" &&
      return
    say python "uv can't install them ($(tail -n 1 "$VENV/uv.log")): trying pip"
  fi
  # No build isolation: what a package without a wheel is built with is hashed, too.
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-build-isolation \
    --require-hashes -r "$1" >&2
}

make_venv() {
  local interpreter start=$SECONDS
  interpreter=$(scripts/find-python.sh) || exit 1
  say python "$interpreter"
  say python "making .venv with the $(grep -c '^[a-z]' "$REQUIREMENTS") packages of $REQUIREMENTS (a minute or two)"
  rm -rf "$VENV"
  "$interpreter" -m venv "$VENV" || fail "$interpreter can't make a virtual environment in $VENV (above: why).
On Debian and Ubuntu: apt install python3.13-venv. Else free some disk space or name another one: PYTHON=... make setup"
  awk '/^setuptools==/ {on = 1} on {print} on && !/\\$/ {exit}' "$REQUIREMENTS" >"$VENV/build-requirements.txt"
  { install "$VENV/build-requirements.txt" && install "$REQUIREMENTS"; } ||
    fail "the packages of $REQUIREMENTS can't be installed (above: why).
If the package index can't be reached: check the network, a proxy (HTTPS_PROXY) and pip's settings (pip config list).
If a hash differs: the index serves another file than the one that was pinned; don't go on, tell the maintainers."
  made_from "$interpreter" >"$STAMP"
  say python ".venv is ready ($((SECONDS - start)) s)"
}

if interpreter=$(current_venv); then say python ".venv is up to date ($interpreter)"; else make_venv; fi
PULUMI=$(scripts/install-pulumi.sh)
"$VENV/bin/python" -m scripts.local_env "$PULUMI" >&2
"$VENV/bin/python" -m scripts.launcher >&2
