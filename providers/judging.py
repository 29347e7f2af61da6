"""From the inputs of a session to the verdict on it: in the program for all of a stack, in a check for one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from . import fields
from .problems import Problem

if TYPE_CHECKING:
    from serving.gpus import Gpu
    from serving.model_request import ModelRequest
    from serving.verdict import Verdict

# Inputs that a request takes as they are; what is absent is its own default.
_SAME = (
    *("model", "revision", "quantization", "max_model_len", "tensor_parallel_size", "dtype", "gpus", "kv_cache_dtype"),
    *("gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens", "enforce_eager", "trust_remote_code"),
)
# All that a verdict goes by: while one of them isn't known yet, there is none.
ASKED = frozenset(
    (
        *(*_SAME, "vllm_version", "image", "extra_args", "env", "memory", "shmem", "hf_token"),
        *("gpu", "gpu_memory_gib", "compute_capability", "gpu_unit"),
    )
)
HUB_SECONDS = 5.0  # for a provider's check, of which four run at once and which nobody can cancel


def request_of(name: str, inputs: Mapping[str, Any], token: str | None) -> ModelRequest:
    """What the verdict is asked about.  `inputs`: sound ones.  Raises serving.InvalidArgument for an unknown card."""
    from serving import vllm_version_of_image
    from serving.model_request import ModelRequest

    said = {key: inputs[key] for key in _SAME if inputs.get(key) is not None}
    return ModelRequest(
        name=name,
        token=token,
        vllm_version=inputs.get("vllm_version") or vllm_version_of_image(inputs["image"]),
        extra_args=tuple(inputs.get("extra_args") or ()),
        env=inputs.get("env") or {},
        gpu=gpu_of(inputs),
        host_memory=_bytes(inputs.get("memory")),
        shmem=_bytes(inputs.get("shmem")),
        **said,
    )


def gpu_of(inputs: Mapping[str, Any]) -> Gpu | None:
    """The card, or each session's share of it; None when nothing is said.  Raises serving.InvalidArgument."""
    from serving.gpus import capability_of, find_gpu, gpu_of_numbers

    name, memory, capability = (inputs.get(key) for key in ("gpu", "gpu_memory_gib", "compute_capability"))
    if name:
        gpu = find_gpu(name)
    elif memory:
        gpu = gpu_of_numbers(memory, capability_of(capability)) if capability else gpu_of_numbers(memory)
    else:
        return None
    if inputs.get("gpu_unit") != "cuda.shares":
        return gpu
    share = inputs.get("gpus", 1) / inputs.get("tensor_parallel_size", 1)
    return gpu.shared(min(1.0, share))


def refusals(verdict: Verdict) -> Iterator[Problem]:
    """Why it won't start, each with its cure, by the input that it is about."""
    for rule in verdict.broken:
        cure = rule.cure
        if rule.rule == "memory" and verdict.cures:
            cure = f"What would do: {'; or: '.join(c.rstrip('.') for c in verdict.cures)}."
        yield Problem(rule.key or "model", rule.message, cure)


def check(inputs: Mapping[str, Any], *, name: str) -> tuple[list[Problem], list[str]]:
    """What a session's check refuses, and what it warns of.

    The facts are those that a program's preflight has just put into the cache; without one the Hub is asked, for a
    few seconds, and one that doesn't answer is asked once.
    """
    from serving.errors import InvalidArgument
    from serving.repo_id import is_folder
    from serving.verdicts import verdicts

    try:
        request = request_of(name, inputs, inputs.get("hf_token"))
    except InvalidArgument as error:
        return [Problem(error.key or "gpu", error.what, error.cure)], []
    seconds = HUB_SECONDS if not _silent_hub() else 0.1
    (verdict,) = verdicts([request], timeout=seconds, deadline=seconds)
    if not verdict.revision and not verdict.broken and verdict.unchecked:
        if not is_folder(request.model):
            _silent_hub().append(name)
        return [], [f"not checked: {'; '.join(verdict.unchecked)}."]
    found = list(refusals(verdict))
    if inputs.get("allow_unverified"):
        return [], [f"it won't start, says the verdict, and is created all the same: {p.what} {p.cure}" for p in found]
    return found, []


@cache
def _silent_hub() -> list[str]:
    """The sessions for which the Hub didn't answer this process."""
    return []


def _bytes(size: str | None) -> int | None:
    return fields.size_in_bytes(size) if size else None
