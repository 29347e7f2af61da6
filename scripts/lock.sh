#!/usr/bin/env bash
# lock.sh [--upgrade]: requirements*.in -> requirements*.txt, all packages of all systems, pinned and hashed.
# For maintainers; needs uv.  Versions that are in the .txt files stay, unless --upgrade or another pin moves them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v uv >/dev/null || { echo "error: lock.sh needs uv on PATH (it resolves for all systems at once). Install uv." >&2; exit 1; }

lock() { # lock NAME [OPTION ...]
  local name=$1
  shift
  # Nothing in the result names an index or an address: whoever installs uses the index that pip is set up for.
  uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url --no-emit-find-links "$@" "$name.in" -o "$name.txt"
}

lock requirements "$@"
lock requirements-dev -c requirements.txt "$@"
lock tests/cluster/requirements "$@"
# Real vLLM runs on Linux only, and what it would ask for on all systems together can't be had.
uv pip compile --quiet --python-version 3.13 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-header \
  --no-annotate --no-emit-index-url --no-emit-find-links --override tests/vllm/overrides.txt "$@" \
  tests/vllm/requirements.in -o tests/vllm/requirements.txt
