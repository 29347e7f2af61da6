"""The invariant: what holds with the stand-in holds with real vLLM, from `pulumi up` to `pulumi destroy`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.cluster.configuration import REAL_VLLM, SYSTEM_PATH, vllm_folder
from tests.cluster.control import Cluster
from tests.cluster.fixtures import alone, running_cluster
from tests.lifecycle.driver import PulumiStack

from .install import install
from .tiny import make_tiny

__all__ = ["running_cluster"]

KEY = "key-of-the-real-one"
MODEL: dict[str, Any] = {
    "name": "tiny",
    "model": "/home/work/models/tiny-llama",
    "mounts": {"llm-model": "/home/work/models"},
    "max_model_len": 256,
    "cpu": 2,
    "memory": "4g",
    "shmem": "64m",
    "ready_timeout": 600,
    "api_key": KEY,
    "extra_args": ["--enforce-eager"],
    # Here and not in the cluster's settings for sessions: a run that starts beside this one may write those anew.
    "env": {"PATH": f"{vllm_folder() / 'bin'}:{SYSTEM_PATH}", **REAL_VLLM},
}
TURNS = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "ignore_eos": True}
SECONDS = 700.0  # for an up with real vLLM on two busy cores: 40 when they aren't

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture
def real(running_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster for this test alone, with the tiny model in the folder that sessions mount."""
    install()
    with alone(running_cluster):
        make_tiny(running_cluster.folder("llm-model") / "tiny-llama")
        yield running_cluster


@pytest.fixture
def stack(tmp_path: Path, real: Cluster) -> PulumiStack:
    stack = PulumiStack(tmp_path / "project", real.environ())
    stack.init()
    return stack


def client(stack: PulumiStack, key: str = KEY) -> httpx.Client:
    (endpoint,) = stack.output("endpoints")
    assert endpoint["via"] == "app-proxy"
    headers = {
        "Authorization": f"Bearer {key}",
        "Cookie": f"appproxy_permit={stack.output('cookies')[endpoint['name']]}",
    }
    return httpx.Client(base_url=endpoint["url"], headers=headers, timeout=60, trust_env=False)


def check_that_it_serves(stack: PulumiStack) -> None:
    with client(stack) as http:
        (model,) = http.get("/v1/models").json()["data"]
        assert (model["root"], model["max_model_len"], model["owned_by"]) == (MODEL["model"], 256, "vllm")
        answer = http.post("/v1/chat/completions", json=TURNS | {"model": model["id"]})
        assert answer.status_code == 200, answer.text
        assert answer.json()["usage"]["completion_tokens"] == 8
        with http.stream("POST", "/v1/chat/completions", json=TURNS | {"stream": True}) as streamed:
            lines = [line.removeprefix("data: ") for line in streamed.iter_lines() if line]
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    with client(stack, "wrong") as http:
        refused = http.get("/v1/models")
        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})


def engines(real: Cluster) -> list[psutil.Process]:
    """vLLM's EngineCore processes; the stand-in has none."""
    return [
        process
        for shim in real.containers().values()
        for process in psutil.Process(shim).children(recursive=True)
        if process.cmdline()[:1] and process.cmdline()[0].startswith("VLLM::EngineCore")
    ]


def living(real: Cluster) -> set[str]:
    return {session.id for session in real.sessions()}


def test_from_up_to_destroy_with_real_vllm(stack: PulumiStack, real: Cluster) -> None:
    stack.configure([MODEL])
    stack.up(timeout=SECONDS)
    before = living(real)
    assert before == stack.session_ids() and len(before) == 1
    assert len(engines(real)) == 1, "this isn't the real one"
    check_that_it_serves(stack)
    stack.up("--expect-no-changes")

    for process in engines(real):  # the server notices, and ends with exit code 0
        process.kill()
    end = time.monotonic() + 90
    while living(real):
        assert time.monotonic() < end, "the session of a dead engine lives on"
        time.sleep(0.5)
    stack.refresh()
    assert stack.session_ids() == set()
    stack.up(timeout=SECONDS)
    assert living(real) == stack.session_ids() and len(living(real)) == 1
    assert not living(real) & before
    check_that_it_serves(stack)

    stack.destroy()
    assert living(real) == set()
    assert stack.resources() == []
