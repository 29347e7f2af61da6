#!/usr/bin/env bash
# local-stack.sh up|down|status: the emulator (a Backend.AI cluster and a Hugging Face Hub on loopback ports).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
[ -x .venv/bin/python ] && [ -f .local/env ] || { echo "error: this clone isn't set up yet. Run: make setup" >&2; exit 1; }
exec .venv/bin/python -m scripts.local_stack "$@"
