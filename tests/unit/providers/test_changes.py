"""The invariant: every input has one row that says what its change does, and equal meanings are no change."""

from __future__ import annotations

from typing import Any

import pytest

from providers.changes import CHANGES, Effect, changed
from providers.session_inputs import SessionInputs

BASE: dict[str, Any] = {
    "session_name": "chat-1",
    "owner": "0123456789ab.abcdef",
    "model": "acme/m",
    "image": "vllm:0.32.0",
    "served_model_name": "acme/m",
    "api_key": "sk-secret-secret",
    "memory": "16g",
    "gpus": 2,
}

# Another value for every input.
OTHER: dict[str, Any] = {
    "session_name": "chat-2",
    "owner": "ffffffffffff.abcdef",
    "model": "acme/n",
    "image": "vllm:0.31.0",
    "resource_group": "big",
    "domain": "other",
    "project": "other",
    "revision": "v2",
    "vllm_version": "0.31.0",
    "gpus": 4,
    "gpu_unit": "cuda.shares",
    "cpu": 8,
    "memory": "32g",
    "shmem": "2g",
    "tensor_parallel_size": 2,
    "max_model_len": 1024,
    "dtype": "float16",
    "kv_cache_dtype": "fp8",
    "quantization": "fp8",
    "gpu_memory_utilization": 0.5,
    "trust_remote_code": True,
    "served_model_name": "other",
    "port": 9000,
    "env": {"A": "1"},
    "extra_args": ["--enforce-eager"],
    "mounts": {"cache": "/cache"},
    "api_key": "sk-other-other-other",
    "hf_token": "hf_other",
    "max_num_seqs": 64,
    "max_num_batched_tokens": 4096,
    "enforce_eager": True,
    "model_cache": "hf-cache",
    "gpu": "L4",
    "gpu_memory_gib": 24,
    "compute_capability": "9.0",
    "allow_unverified": True,
    "max_lifetime": 3600,
}

RECORDED = ("hf_token", "vllm_version", "gpu", "gpu_memory_gib", "compute_capability", "allow_unverified")
IN_PLACE = {"session_name": Effect.RENAME, **dict.fromkeys(RECORDED, Effect.RECORD)}


def test_every_input_has_a_row_and_every_row_an_input() -> None:
    assert set(CHANGES) == set(SessionInputs.model_fields) == set(OTHER)


@pytest.mark.parametrize("key", sorted(OTHER))
def test_a_change_has_the_effect_of_its_row(key: str) -> None:
    rows = changed(BASE, {**BASE, key: OTHER[key]})
    assert list(rows) == [key]
    assert rows[key].effect is IN_PLACE.get(key, Effect.REPLACE)


@pytest.mark.parametrize(
    ("olds", "news"),
    [
        ({"gpus": 2.0, "memory": "16GB"}, {"gpus": 2, "memory": "16g"}),
        (
            {},
            {"port": 8000.0, "env": {}, "extra_args": [], "resource_group": "default"},
        ),  # what is absent is the default
        ({"revision": None}, {}),
        ({"extra_args": ["--a"]}, {"extra_args": ("--a",)}),
    ],
)
def test_equal_meanings_are_no_change(olds: dict[str, Any], news: dict[str, Any]) -> None:
    assert changed({**BASE, **olds}, {**BASE, **news}) == {}


def test_a_value_that_is_not_known_yet_is_a_change() -> None:
    assert list(changed(BASE, {**BASE, "model": object()})) == ["model"]
