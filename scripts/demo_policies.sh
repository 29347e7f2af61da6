# demo_policies.sh, sourced by demo.sh: what a user of the demo's stack sees when a platform team has rules (POLICIES=prod
# or dev, the files in policies/).  Ends with exit code 0 only if violations were shown, as that environment treats them.
# shellcheck shell=bash disable=SC2154
CONFIG=policies/$POLICIES.json
[ -f "$CONFIG" ] || { echo "error: there is no $CONFIG: write POLICIES=prod or POLICIES=dev." >&2; exit 1; }
WITH_POLICIES="--policy-pack policies/analyzer --policy-pack-config $CONFIG"

step "Preview, with the rules of $POLICIES" "pulumi preview $WITH_POLICIES"
# shellcheck disable=SC2086
SHOWN=$(pulumi preview $WITH_POLICIES "${QUIET[@]}" 2>&1) && CODE=0 || CODE=$?
printf '%s\n' "$SHOWN"

case $CODE/$SHOWN in
  0/*"[advisory]"*"Cure: "*) WHAT="It was advice only: pulumi preview ended with 0, and pulumi up would go on." ;;
  [!0]*/*"[mandatory]"*"Cure: "*) WHAT="pulumi preview ended with $CODE, and pulumi up would, too, before anything is created." ;;
  *) echo "error: no violation was shown (exit code $CODE)." >&2; exit 1 ;;
esac
step "Done"
cat <<EOF
Each line under Policies names the model, its value, the limit and, after "Cure:", what to do.
$WHAT
The rules and how to add one:            docs/policies.md
To stop everything:                      $DOWN
EOF
