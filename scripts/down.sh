#!/usr/bin/env bash
# down.sh: destroy the local stack, remove its (then empty) state and stop the emulator; its settings in stacks/ stay.
# Ends with exit code 0 only if no session, process or port is left.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -f .local/env ] || { echo "  local   there is no local stack in this clone: nothing to do"; exit 0; }
# shellcheck disable=SC1091
source .local/env
QUIET=(--suppress-progress --suppress-permalink=true)  # dots and the path of the state file

if found=$(pulumi stack select local --non-interactive 2>&1); then
  # Destroying asks the cluster about every session.  A cluster that was stopped has none left, but must say so.
  scripts/local-stack.sh up
  printf '\n=== Destroy\n$ pulumi destroy --yes\n\n'
  # A CLI that was killed leaves its lock behind; this stack is nobody else's.
  pulumi cancel --yes --stack local >/dev/null 2>&1 || true
  pulumi destroy --yes --skip-preview --suppress-outputs "${QUIET[@]}" || {
    echo "error: not everything could be destroyed (above: why). The stack and the emulator are still there; run make down again." >&2
    exit 1
  }
  printf '\n=== Check that nothing is left\n'
  python -m scripts.live_sessions
  pulumi stack rm local --yes --preserve-config --non-interactive
elif [[ $found == *"no stack named"* ]]; then
  echo "  pulumi  there is no local stack: nothing to destroy"
else
  printf 'error: Pulumi can not tell whether there is a local stack:\n%s\n' "$found" >&2
  exit 1
fi
scripts/local-stack.sh down
