"""The invariant: what a session is made from decides its digest, and inputs of later releases leave old ones alone."""

from __future__ import annotations

from typing import Any

import pytest

from providers import session_inputs
from providers.judging import gpu_of
from providers.session_spec import HUB_CACHE, session_spec

INPUTS: dict[str, Any] = {
    "session_name": "chat-1",
    "owner": "0123456789ab.abcdef",
    "model": "acme/m",
    "image": "vllm:0.32.0",
    "served_model_name": "acme/m",
    "api_key": "sk-secret-secret",
}


def tag(**changes: Any) -> str:
    return session_spec(session_inputs.parse({**INPUTS, **changes})).tag


def test_the_digest_of_what_was_made_by_an_earlier_release_stays() -> None:
    assert tag() == "bai-vllm:0123456789ab.abcdef:2749783ca781"


@pytest.mark.parametrize(
    "change", [{"enforce_eager": True}, {"max_num_seqs": 8}, {"model_cache": "c"}, {"max_lifetime": 60}], ids=str
)
def test_a_later_input_that_is_used_is_in_the_digest(change: dict[str, Any]) -> None:
    assert tag(**change) != tag()


@pytest.mark.parametrize("change", [{"gpu": "L4"}, {"allow_unverified": True}, {"hf_token": "hf_x"}], ids=str)
def test_what_is_only_recorded_is_not(change: dict[str, Any]) -> None:
    assert tag(**change) == tag()


def test_the_model_cache_is_mounted_where_hf_home_is() -> None:
    spec = session_spec(session_inputs.parse({**INPUTS, "model_cache": "cache", "mounts": {"data": "/data"}}))
    assert spec.mounts == {"data": "/data", "cache": HUB_CACHE}
    assert spec.environ["HF_HOME"] == HUB_CACHE


@pytest.mark.parametrize(
    ("said", "visible"),
    [
        ({"gpu_memory_gib": 24.0}, 24),
        ({"gpu_memory_gib": 24.0, "gpus": 2, "gpu_unit": "cuda.device"}, 24),
        ({"gpu_memory_gib": 24.0, "gpus": 0.5, "gpu_unit": "cuda.shares"}, 12),
        ({"gpu_memory_gib": 24.0, "gpus": 2, "tensor_parallel_size": 2, "gpu_unit": "cuda.shares"}, 24),
    ],
)
def test_the_card_and_its_share(said: dict[str, Any], visible: float) -> None:
    gpu = gpu_of(said)
    assert gpu is not None
    assert gpu.visible_gib == visible
    assert gpu_of({}) is None
