"""The two providers against one emulated cluster, called through their gRPC."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from emulator import Emulator
from providers.model_endpoint import ModelEndpointProvider
from providers.vllm_model_session import VLLMModelSessionProvider
from tests.provider.driver import ProviderProcess

OWNER = "0123456789ab.abcdef"
KEY = "sk-0123456789abcdef"
MODEL = "backendai-vllm/tiny-llama"
INPUTS: dict[str, Any] = {
    "session_name": "chat-1",
    "owner": OWNER,
    "model": MODEL,
    "served_model_name": MODEL,
    "image": "cr.backend.ai/stable/vllm:0.32.0-cuda12.9-ubuntu24.04",
    "max_model_len": 512,
    "cpu": 1,
    "memory": "1g",
    "shmem": "64m",
    "gpus": 0.5,
    "gpu_unit": "cuda.shares",
    "api_key": KEY,
}


class Stage:
    """A provider process of each kind, and what a call needs to have gone before.

    `stderr`: where the endpoints' process says what it says beside its answers.
    """

    def __init__(self, bed: Emulator, env: Mapping[str, str], stderr: Path | None = None) -> None:
        self.bed, self.stderr = bed, stderr
        self.env = {**env, "BACKEND_ENDPOINT": bed.endpoint, "HF_ENDPOINT": bed.hub_endpoint}

    def session(self, **change: Any) -> tuple[str, dict[str, Any]]:
        return self.sessions.create({**INPUTS, **change})

    def __enter__(self) -> Stage:
        self.sessions = ProviderProcess(VLLMModelSessionProvider(), self.env).__enter__()
        self.endpoints = ProviderProcess(ModelEndpointProvider(), self.env, stderr_path=self.stderr).__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.endpoints.__exit__(*error)
        self.sessions.__exit__(*error)

    def until(self, check: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not check():
            assert time.monotonic() < end
            time.sleep(0.05)

    def running(self) -> tuple[str, dict[str, Any]]:
        id_, outs = self.session()
        self.until(lambda: self.bed.cluster.sessions[id_].status == "RUNNING")
        return id_, outs

    def serving(self) -> tuple[str, dict[str, Any]]:
        id_, outs = self.running()
        self.until(lambda: b"Application startup complete" in self.bed.cluster.sessions[id_].log)
        return id_, outs

    def endpoint(self, session_id: str) -> dict[str, Any]:
        return {"session_id": session_id, "session_name": "chat-1", "served_model_name": MODEL, "api_key": KEY,
                "port": 8000, "wait": True}  # fmt: skip
