#!/usr/bin/env bash
# down.sh: destroy the demo's stack (CLUSTER=real: that of the real control plane), remove its (then empty) state and
# stop the cluster; its settings in stacks/ stay.
# Ends with exit code 0 only if no session, process or port is left.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC1091
source scripts/which-stack.sh
[ -f "$ENV_FILE" ] || { echo "  $STACK   there is no such stack in this clone: nothing to do"; exit 0; }
# shellcheck disable=SC1090
source "$ENV_FILE"
QUIET=(--suppress-progress --suppress-permalink=true)  # dots and the path of the state file

if found=$(pulumi stack select "$STACK" --non-interactive 2>&1); then
  # Destroying asks the cluster about every session.  A cluster that was stopped has none left, but must say so.
  cluster up
  printf '\n=== Destroy\n$ pulumi destroy --yes\n\n'
  # A CLI that was killed leaves its lock behind; this stack is nobody else's.
  pulumi cancel --yes --stack "$STACK" >/dev/null 2>&1 || true
  pulumi destroy --yes --skip-preview --suppress-outputs "${QUIET[@]}" || {
    echo "error: not everything could be destroyed (above: why). The stack and its cluster are still there; run $DOWN again." >&2
    exit 1
  }
  printf '\n=== Check that nothing is left\n'
  python -m scripts.live_sessions
  pulumi stack rm "$STACK" --yes --preserve-config --non-interactive
elif [[ $found == *"no stack named"* ]]; then
  echo "  pulumi  there is no stack $STACK: nothing to destroy"
else
  printf 'error: Pulumi can not tell whether there is a stack %s:\n%s\n' "$STACK" "$found" >&2
  exit 1
fi
cluster down
