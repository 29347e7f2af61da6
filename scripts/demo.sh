#!/usr/bin/env bash
# demo.sh: preview, up and a chat on the local stack, or (CLUSTER=real) on the real control plane of the tests, with
# nothing but the commands that a user types.  Ends with exit code 0 only if every step worked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC1091
source scripts/which-stack.sh
cluster up
# shellcheck disable=SC1090
source "$ENV_FILE"
QUIET=(--suppress-progress --suppress-permalink=true)  # dots and the path of the state file

STEP=preparing
trap '[ $? = 0 ] || printf "\nThe demo stopped at: %s. Above is why; when that is cured, run it again (a stack that is locked by a killed run: pulumi cancel), or clean up: %s\n" "$STEP" "$DOWN" >&2' EXIT

step() { # step TITLE [COMMAND]: a heading, and what a user would type
  STEP=$1
  printf '\n=== %s\n' "$1"
  if [ $# -gt 1 ]; then printf '$ %s\n\n' "$2"; fi
}

step "The stack" "pulumi stack select $STACK --create"
pulumi stack select "$STACK" --create

# shellcheck disable=SC1091
if [ -n "${POLICIES:-}" ]; then source scripts/demo_policies.sh; exit; fi

step "Preview: what would be created, and whether each model will start" "pulumi preview"
pulumi preview "${QUIET[@]}"

step "Up: sessions start side by side; done when each model has answered" "pulumi up --yes"
pulumi up --yes --skip-preview "${QUIET[@]}"

step "A chat with each model, through a tunnel of the cluster"
python -m scripts.demo_chat

step "Done"
cat <<EOF
The models are up. To go on by hand:   source $ENV_FILE
  pulumi preview | up | refresh          edit stacks/Pulumi.$STACK.yaml, see what changes
  pulumi stack output endpoints --json --show-secrets
To stop everything:                      $DOWN
EOF
