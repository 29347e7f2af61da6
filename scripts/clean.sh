#!/usr/bin/env bash
# clean.sh: leave the clone as git has it.  Only what `make setup`, tests and checks made is removed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ -x .venv/bin/python ] && [ -f .local/env ]; then scripts/local-stack.sh down; fi
if [ -x .venv/bin/python ] && [ -f .local/hub.pid ]; then .venv/bin/python -m scripts.real_cluster down; fi
if [ -x .venv/bin/python ] && [ -d .local/cluster ]; then .venv/bin/python -m tests.cluster down --wipe; fi
rm -rf .venv .local .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
find . -name __pycache__ -type d -prune -exec rm -rf {} +
echo "removed .venv, .local and caches. The Pulumi CLI and the packages of the test cluster stay in ${XDG_CACHE_HOME:-$HOME/.cache}/backendai-vllm."
