# which-stack.sh, sourced: CLUSTER=local (the emulator, default) or CLUSTER=real (the tests' real control plane), with
# VLLM=real for real vLLM there.  Sets STACK, ENV_FILE, DOWN (what a user types) and the command `cluster up|down`.
# shellcheck shell=bash disable=SC2034
case "${CLUSTER:-local}/${VLLM:-}" in
  local/) STACK=local ENV_FILE=.local/env DOWN="make down" ;;
  real/) STACK=real ENV_FILE=.local/env-real DOWN="make down CLUSTER=real" ;;
  real/real) STACK=real-vllm ENV_FILE=.local/env-real DOWN="make down CLUSTER=real VLLM=real" ;;
  *) echo "error: CLUSTER=${CLUSTER:-} VLLM=${VLLM:-}: write CLUSTER=local or CLUSTER=real, and VLLM=real only with the latter." >&2; exit 1 ;;
esac

cluster() {
  if [ "${CLUSTER:-local}" = local ]; then scripts/local-stack.sh "$1"; else .venv/bin/python -m scripts.real_cluster "$1"; fi
}
