"""One GPU's memory as vLLM will account for it: the budget and what is taken from it before the KV cache."""

from __future__ import annotations

import math
from typing import Protocol

from .activation import activation
from .engine import Engine
from .estimates import GIB, MemoryEstimate, Range
from .hub_facts import HubFacts
from .model_config import Sizes, sizes
from .overheads import cuda_graphs, non_torch, persistent

_UNKNOWN = Sizes(32, 4096, 32, 8, 128, 14336, 128256, 0, 0, 0, gated=True)


class PerGpu(Protocol):
    """What the estimate needs of the weights: their bytes on the largest rank."""

    @property
    def per_gpu(self) -> Range: ...


def estimate(facts: HubFacts, engine: Engine, weights: PerGpu) -> MemoryEstimate:
    """All terms of the budget, in bytes (`Worker.determine_available_memory`, v1/worker/gpu_worker.py).

    For a config that lacks sizes, activations are those of an 8B model, in a wide range.  With kv_cache_memory_bytes
    the KV cache is that, and the budget is what all comes to.
    """
    known = sizes(facts.config)
    found = known or _UNKNOWN
    parts = (
        persistent(found, engine),
        activation(facts.config, found, engine),
        cuda_graphs(facts.config, found, engine),
    )
    if known is None or not found.vocab:
        parts = (parts[0], Range(0.0, parts[1].likely, 4 * parts[1].high), parts[2])
    terms: tuple[Range, ...] = (weights.per_gpu, non_torch(engine), *parts)
    total = budget(engine)
    if engine.kv_cache_memory_bytes is not None:  # then nothing else decides, and nothing is uncertain
        terms = tuple(Range.exact(term.likely) for term in terms)
        total = engine.kv_cache_memory_bytes + math.ceil(sum(term.likely for term in terms))
    return MemoryEstimate(total, *terms)


def budget(engine: Engine) -> int:
    """The bytes that vLLM allows itself: a share of the card's total (`request_memory`, v1/worker/utils.py)."""
    return math.ceil(engine.gpu.visible_gib * GIB * engine.gpu_memory_utilization)
