"""The invariant: what holds with the stand-in holds with real vLLM, from `pulumi up` to `pulumi destroy`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.cluster.configuration import REAL_VLLM, SYSTEM_PATH
from tests.cluster.control import Cluster
from tests.cluster.fixtures import running_cluster
from tests.lifecycle.driver import PulumiStack
from tests.turns import turn

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
    "ready_timeout": 300,
    "api_key": KEY,
    "extra_args": ["--enforce-eager"],
}
TURNS = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8, "ignore_eos": True}
SECONDS = 400.0  # for an up with real vLLM on two busy cores

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def real(running_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster for this test alone; its sessions find real vLLM, and the tiny model in their folder."""
    path = f"{install()}:{SYSTEM_PATH}"
    with turn("cluster", exclusive=True), running_cluster.session_environ(PATH=path, **REAL_VLLM):
        make_tiny(running_cluster.folder("llm-model") / "tiny-llama")
        asyncio.run(running_cluster.clear())
        yield running_cluster
        asyncio.run(running_cluster.clear())


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
        assert answer.json()["system_fingerprint"].startswith("vllm-0.32.0"), "the real one, not the stand-in"
        with http.stream("POST", "/v1/chat/completions", json=TURNS | {"stream": True}) as streamed:
            lines = [line.removeprefix("data: ") for line in streamed.iter_lines() if line]
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
        assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    with client(stack, "wrong") as http:
        refused = http.get("/v1/models")
        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})


def kill_the_engine(real: Cluster) -> None:
    """SIGKILL for vLLM's EngineCore in the only session: the server notices, and ends with exit code 0."""
    (session,) = living(real)
    engines = [
        process
        for shim in real.containers().values()
        for process in psutil.Process(shim).children(recursive=True)
        if process.name().startswith("VLLM::Eng") or " ".join(process.cmdline()).startswith("VLLM::EngineCore")
    ]
    assert engines, f"session {session} has no engine"
    for process in engines:
        os.kill(process.pid, signal.SIGKILL)


def living(real: Cluster) -> set[str]:
    return {session.id for session in real.sessions()}


def test_from_up_to_destroy_with_real_vllm(stack: PulumiStack, real: Cluster) -> None:
    stack.configure([MODEL])
    stack.up(timeout=SECONDS)
    before = living(real)
    assert before == stack.session_ids() and len(before) == 1
    check_that_it_serves(stack)
    stack.up("--expect-no-changes")

    kill_the_engine(real)
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
