"""A verdict for programs: the JSON of `bai-vllm plan --output json`, its keys held by a test."""

from __future__ import annotations

from typing import Any

from .estimates import GIB, Range
from .rules import Rule
from .verdict import Verdict

_DIGITS = 4  # of a number in GiB


def verdict_json(verdict: Verdict) -> dict[str, Any]:
    """Everything found, sizes in GiB of one GPU, as likely; None where it can't be told.

    `activation` is the transient peak with the buffers that stay.  A warning's message begins with "Warning: ".
    """
    return {
        "model": verdict.model,
        "revision": verdict.revision,
        "verdict": verdict.outcome.value,
        "gpu": _gpu(verdict),
        "per_gpu_gib": _per_gpu(verdict),
        "kv_cache_tokens": verdict.kv_cache_tokens,
        "max_concurrency": verdict.max_concurrency,
        "max_model_len": verdict.max_model_len,
        "largest_max_model_len": verdict.largest_max_model_len,
        "rules": [_rule(rule) for rule in verdict.rules],
        "cures": list(verdict.cures),
    }


def _gpu(verdict: Verdict) -> dict[str, Any]:
    gpu, count = verdict.gpu, verdict.gpu_count
    return {
        "name": gpu.name if gpu else None,
        "memory_gib": round(gpu.visible_gib, _DIGITS) if gpu else None,
        "compute_capability": gpu.capability_text if gpu else None,
        "count": int(count) if float(count).is_integer() else count,
    }


def _per_gpu(verdict: Verdict) -> dict[str, float | None]:
    memory = verdict.memory
    if memory is None:
        return dict.fromkeys(("budget", "weights", "kv_cache", "activation", "cuda_graphs", "non_torch"))
    return {
        "budget": _gib(Range.exact(memory.budget)),
        "weights": _gib(memory.weights),
        "kv_cache": _gib(verdict.kv_cache or memory.kv_cache),
        "activation": _gib(memory.activation.plus(memory.persistent)),
        "cuda_graphs": _gib(memory.cuda_graphs),
        "non_torch": _gib(memory.non_torch),
    }


def _gib(size: Range) -> float:
    return round(size.likely / GIB, _DIGITS)


def _rule(rule: Rule) -> dict[str, Any]:
    warns = not rule.ok and not rule.broken
    return {
        "rule": rule.rule,
        "ok": rule.ok,
        "message": f"Warning: {rule.message}" if warns else rule.message,
        "cure": rule.cure,
    }
