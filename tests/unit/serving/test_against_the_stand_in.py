"""The invariant: what preflight says, how the start goes, and what is read from its log are one story."""

import asyncio
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator import Emulator
from serving import (
    ModelRequest,
    Ready,
    ServeSettings,
    Stage,
    explain,
    phase_of,
    preflight,
    probe,
    serve_argv,
)

VLLM = Path(__file__).resolve().parents[3] / "emulator" / "bin" / "vllm"
TINY = "backendai-vllm/tiny-llama"
LLAMA = "meta-llama/Llama-2-7b-chat-hf"
APPROVED = "hf_standin_approved"
KEY = "key-of-the-model"
SECONDS = 30.0  # for a start on a loaded machine


@pytest.fixture
def hub_endpoint(running_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", running_emulator.hub_endpoint)
    return running_emulator.hub_endpoint


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def environment(port: int, hub_endpoint: str, token: str | None) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "EMULATOR_PYTHON": sys.executable,
        "EMULATOR_PORT_8000": str(port),
        "EMULATOR_GPUS": "8",
        "VLLM_STANDIN_LOAD_SECONDS": "0",
        "HF_ENDPOINT": hub_endpoint,
        "VLLM_API_KEY": KEY,
        **({"HF_TOKEN": token} if token else {}),
    }


# what is asked for -> the setting that preflight names, the cause that the log tells
BROKEN: list[tuple[dict[str, Any], str | None, str, str]] = [
    ({"model": LLAMA}, None, "hf_token", "gated"),
    ({"model": LLAMA}, "hf_standin_unapproved", "hf_token", "gated"),
    ({"model": "no-such/model"}, APPROVED, "model", "missing-repo"),
    ({"model": TINY, "revision": "nope"}, None, "revision", "missing-revision"),
    ({"model": LLAMA, "quantization": "awq"}, APPROVED, "quantization", "not-quantized"),
    (
        {"model": "Qwen/Qwen2.5-7B-Instruct-AWQ", "quantization": "gptq"},
        None,
        "quantization",
        "quantization-mismatch",
    ),
    ({"model": "microsoft/DialoGPT-medium", "max_model_len": 4096}, None, "max_model_len", "max-model-len"),
    ({"model": LLAMA, "tensor_parallel_size": 3}, APPROVED, "tensor_parallel_size", "tensor-parallel-heads"),
]


@pytest.mark.parametrize(("asked", "token", "key", "code"), BROKEN, ids=[case[3] for case in BROKEN])
def test_what_preflight_refuses_does_not_start(
    asked: dict[str, Any], token: str | None, key: str, code: str, hub_endpoint: str
) -> None:
    (report,) = preflight([ModelRequest("m", token=token, **asked)])
    assert [problem.key for problem in report.problems] == [key]
    argv = serve_argv(ServeSettings(**asked), "0.32.0")
    ended = subprocess.run(
        [VLLM, *argv[1:]],
        env=environment(free_port(), hub_endpoint, token),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.returncode == 1
    cause = explain(ended.stdout, ended.returncode)
    assert cause.code == code, cause.lines
    assert cause.cure


@pytest.fixture
def served(hub_endpoint: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A started tiny model: its address, and the file of its log."""
    port, log = free_port(), tmp_path / "log"
    settings = ServeSettings(model=TINY, served_model_name="tiny", max_model_len=256, extra_args=("-O3",))
    with log.open("wb") as file:
        argv = [str(VLLM), *serve_argv(settings, "0.32.0")[1:]]
        process = subprocess.Popen(
            argv, env=environment(port, hub_endpoint, None), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        yield f"http://127.0.0.1:{port}", log
    finally:
        process.kill()
        process.wait()


async def test_what_preflight_accepts_becomes_ready(served: tuple[str, Path]) -> None:
    (report,) = await asyncio.to_thread(preflight, [ModelRequest("m", TINY, max_model_len=256)])
    assert report.ok and report.warnings == ()
    url, log = served
    until = time.monotonic() + SECONDS
    while not (answer := await probe(url, "tiny", KEY, timeout=5)).ready:
        assert time.monotonic() < until, log.read_text()
        assert not answer.final
        await asyncio.sleep(0.05)
    assert answer == Ready(("tiny",), 256, "tiny")
    assert phase_of(log.read_text()).stage is Stage.READY
    assert (await probe(url, "tiny", "wrong-key")).final
    assert (await probe(url, "other", KEY)).final
