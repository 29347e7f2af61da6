# Every target does its own set-up; `make` alone tells what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup env demo down test test-fast test-vllm check faults bench clean

BIN := .venv/bin
# The language host takes the first `python3` on PATH, and tests start `pulumi` by name.  Where the environment forbids
# bytecode files, each of the hundreds of processes of a run would compile the program anew.
RUN := PYTHONDONTWRITEBYTECODE= PULUMI_BIN="$(CURDIR)/.local/pulumi/bin" PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.local/pulumi/bin:$$PATH"
# Four workers for two cores: two of them mostly wait for the real cluster.  tests/order.py says what runs where.
PYTEST := $(RUN) $(BIN)/python -m pytest -n 4 --dist loadgroup --no-loadscope-reorder --ignore=tests/vllm
ARGS ?=

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' Makefile

setup: ## .venv with bai-vllm, Pulumi CLI, .local/env: what isn't there yet (seconds when warm)
	@echo "set-up"
	@scripts/setup.sh

env: setup ## the same, and what to type in a shell
	@echo "Now type:  source .local/env    (the local stack)"
	@echo "      or:  source .local/path   (a cluster of yours: only PATH)"
	@echo "Then:      bai-vllm --help      (without that: .venv/bin/bai-vllm, from any folder)"

demo: setup ## three models up, a chat with each, their endpoints (CLUSTER=real: on a real control plane; POLICIES=prod)
	@scripts/demo.sh

down: ## destroy that stack, stop its cluster, prove that nothing is left (CLUSTER=real: of the real one)
	@scripts/down.sh

test: setup check ## everything: check, unit, provider, lifecycle with the real CLI (ARGS="-k name" for less)
	@$(PYTEST) $(ARGS)

test-fast: setup ## unit tests only: no CLI, no network
	@$(PYTEST) tests/unit $(ARGS)

test-vllm: setup ## real vLLM on the real control plane; installs its CPU build (6 GB, in the user's cache)
	@$(BIN)/python -m tests.vllm.install >/dev/null
	@$(RUN) CLUSTER=required $(BIN)/python -m pytest tests/vllm $(ARGS)

check: setup ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

faults: setup ## every fault at every call, as a table; 1 when a cell is red (ARGS=--lf: again what was)
	@$(RUN) $(BIN)/python -m tests.faults $(ARGS)

bench: setup ## the ratios of preview and up to their floors, and the times of bai-vllm
	@$(RUN) $(BIN)/python -m bench $(ARGS)

clean: ## stop the local stack, then remove .venv, .local and caches (the CLI shared by clones stays)
	@scripts/clean.sh
