"""`bai-vllm` against its limits in seconds, and how often the Hub is asked: a ratio of 1 is the limit itself."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.rows import Row, timed
from emulator import Emulator
from emulator.hub.models import APPROVED, hub
from scripts import launcher

HELP_SECONDS = 0.3
MATRIX_SECONDS = 2.0
VERDICT_SECONDS = 0.005
COLD_REQUESTS = 4  # for one model
ROUNDS = 7

SEED_MODELS = (
    "openai-community/gpt2",
    "microsoft/DialoGPT-medium",
    "microsoft/DialoGPT-large",
    "meta-llama/Llama-2-7b-chat-hf",
    "meta-llama/Llama-2-13b-chat-hf",
    "meta-llama/Llama-2-70b-chat-hf",
    "mistralai/Mistral-7B-Instruct-v0.1",
    "codellama/CodeLlama-13b-Instruct-hf",
    "codellama/CodeLlama-34b-Instruct-hf",
    "lmsys/vicuna-13b-v1.5",
    "WizardLM/WizardCoder-15B-V1.0",
)


def rows(folder: Path, emulator: Emulator) -> Iterator[Row]:
    """All of them; `folder` gets the cache of Hub facts."""
    env = {**os.environ, "HF_ENDPOINT": emulator.hub_endpoint, "HF_TOKEN": APPROVED, "XDG_CACHE_HOME": str(folder)}
    command = str(launcher.write())

    def bai_vllm(*words: str) -> Callable[[], object]:
        return lambda: subprocess.run([command, *words], env=env, check=False, stdout=subprocess.DEVNULL)

    yield _limit("bai-vllm --help ÷ 0.3 s", bai_vllm("--help"), HELP_SECONDS)
    matrix = bai_vllm("plan", "--matrix", *SEED_MODELS)
    hub.reset()
    matrix()
    most = max(_requests_of(model) for model in SEED_MODELS)
    yield Row("Hub requests for a cold model ÷ 4", most / COLD_REQUESTS, 1.0, f"{most}, of {len(SEED_MODELS)} the most")
    hub.reset()
    yield _limit(f"plan --matrix of {len(SEED_MODELS)} models, warm ÷ 2 s", matrix, MATRIX_SECONDS)
    asked = sum(hub.requests.values())
    yield Row("Hub requests when warm", asked, 0.0, f"{asked}")
    yield _verdict(emulator.hub_endpoint)


def _limit(name: str, action: Callable[[], object], seconds: float) -> Row:
    """The median by the clock; beside it what the CPU spent on it, which tells a slow command from a busy machine."""
    before = _children_seconds()
    took = statistics.median(timed(action) for _ in range(ROUNDS))
    spent = (_children_seconds() - before) / ROUNDS
    return Row(name, took / seconds, 1.0, f"{took:.2f} s, {spent:.2f} s of CPU")


def _children_seconds() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _requests_of(model: str) -> int:
    return sum(count for request, count in hub.requests.items() if f"/{model}" in request)


def _verdict(endpoint: str) -> Row:
    """One verdict with its facts at hand: the slowest of the models, each by its mean CPU time."""
    from serving.gpus import find_gpu
    from serving.hub import fetch
    from serving.model_request import ModelRequest
    from serving.verdict import judge

    def mean(model: str, *, with_cures: bool) -> float:
        facts = fetch(model, None, APPROVED, endpoint=endpoint)
        request = ModelRequest(model, model, gpu=find_gpu("A100-80GB"))
        started = time.process_time()
        for _ in range(10 * ROUNDS):
            judge(request, facts, with_cures=with_cures)
        return (time.process_time() - started) / (10 * ROUNDS)

    whole, model = max((mean(model, with_cures=True), model) for model in SEED_MODELS)
    bare = max(mean(model, with_cures=False) for model in SEED_MODELS)
    detail = f"{whole * 1000:.1f} ms ({model}); without cures at most {bare * 1000:.1f} ms"
    return Row("one verdict, facts at hand ÷ 5 ms", whole / VERDICT_SECONDS, 1.0, detail)
