"""The cards that are tried when none is named: what data centres and desks usually have."""

from __future__ import annotations

from functools import cache

from serving.gpus import Gpu, find_gpu

_USUAL = (
    *("T4", "V100-32GB", "A10", "L4", "RTX 4090", "L40S"),
    *("A100-40GB", "A100-80GB", "H100-80GB", "H200", "B200", "MI300X"),
)


@cache
def usual() -> tuple[Gpu, ...]:
    """A dozen, the smallest first; of equal ones the older."""
    return tuple(sorted(map(find_gpu, _USUAL), key=lambda card: card.memory_gib))
