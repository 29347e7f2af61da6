"""Resources as the program makes them, for a rule to be asked about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from policies.resources import ENDPOINT, SESSION, Resource, Stack

COMMIT = "184193fa0d242a76d4056d666e231e7a7f00e607"
KEY = "sk-a-key-of-this-model-only-00000001"
SOUND: Mapping[str, Any] = {
    "model": "backendai-vllm/tiny-llama",
    "revision": COMMIT,
    "image": "cr.backend.ai/stable/vllm:0.32.0-cuda12.9-ubuntu24.04",
    "resource_group": "default",
    "gpus": 1.0,
    "gpu_unit": "cuda.device",
    "gpu": "H100-80GB",
    "cpu": 4.0,
    "memory": "16g",
    "shmem": "1g",
    "tensor_parallel_size": 1.0,
    "max_model_len": 512.0,
    "dtype": "auto",
    "trust_remote_code": False,
    "served_model_name": "chat",
    "session_name": "chat-0-3f9a1c",
    "owner": "6a0b6a0b6a0b.3f9a1c",
    "port": 8000.0,
    "env": {},
    "extra_args": [],
    "mounts": {},
    "api_key": KEY,
}
WAITED: Mapping[str, Any] = {"ready_timeout": 1800.0, "wait": True, "session_id": "1", "served_model_name": "chat"}
_COMPONENT = "urn:pulumi:test::backendai-vllm::backendai:serving:ModelServingStack::"


def session(name: str = "chat-0", group: str | None = None, **props: Any) -> Resource:
    model = name.rpartition("-")[0] if group is None else group
    of_component = _COMPONENT + model if model else ""
    return Resource(SESSION, name, {**SOUND, **props}, f"urn:session::{name}", of_component)


def endpoint(of: Resource | None = None, **props: Any) -> Resource:
    name, links = (of.name, {of.urn}) if of else ("chat-0", set[str]())
    return Resource(ENDPOINT, name, {**WAITED, **props}, f"urn:endpoint::{name}", _COMPONENT + "chat", frozenset(links))


def stack(*sessions: Resource, proved: bool = True) -> Stack:
    return Stack(sessions, tuple(endpoint(s) for s in sessions) if proved else ())
