"""The order in which vLLM allocates a model's parameters, and what its allocator makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .weight_allocator import MIB, Allocator
from .weight_rope import RopeTable

_SMALL = MIB
_ATTENTION = ("attn", "attention", "mamba", "mixer")


class Parameter(NamedTuple):
    """A parameter on one rank.  `size`: bytes of one; `number`: how many layers have it; `layered`: is in layers.

    `before`: bytes that it has until it is quantized, 0 where it is loaded as it stays.
    """

    group: str
    size: float
    number: float
    layered: bool
    row: bool = False
    before: float = 0.0
    vision: bool = False
    embedding: bool = False
    head: bool = False

    @property
    def rank(self) -> int:
        """Attention comes before feed-forward, what leads in before what leads out."""
        attention = any(part in self.group for part in _ATTENTION)
        return (0 if attention else 2) + self.row


def total(parameters: Iterable[Parameter], tables: Iterable[RopeTable]) -> float:
    """Bytes of tensors, without the allocator's rounding."""
    return sum(one.size * one.number for one in parameters) + sum(table.size for table in tables)


def allocated(
    parameters: Sequence[Parameter],
    tables: Sequence[RopeTable],
    layers: int,
    *,
    max_split: int | None,
    streaming: bool = True,
) -> float:
    """Bytes in the allocator's blocks when the model is loaded.

    `streaming`: what is quantized while loading is so layer by layer; else after everything has been loaded.
    """
    pool = Allocator(max_split=max_split)
    inside = sorted((one for one in parameters if one.layered and not one.vision), key=lambda one: one.rank)
    outside = [one for one in parameters if not one.layered or one.vision]
    quantized = any(one.before for one in parameters)
    for one in outside:
        if not one.head or quantized:
            _repeat(pool, one)
    large = [one for one in inside if max(one.size, one.before) > _SMALL]
    for one in inside:
        if max(one.size, one.before) <= _SMALL:
            _repeat(pool, one)
    attention = [one for one in large if one.rank <= 1]
    others = [one for one in large if one.rank > 1]
    if quantized:
        _tables(pool, tables)
    waiting: list[tuple[int, float]] = []
    for layer in range(layers):
        for one in attention:
            _layer(pool, one, layer, layers, waiting, streaming=streaming)
        if layer == 0 and not quantized:
            _tables(pool, tables)
        for one in others:
            _layer(pool, one, layer, layers, waiting, streaming=streaming)
    for block, size in waiting:
        pool.take(size)
        pool.free(block)
    if not quantized:
        for one in outside:
            if one.head:
                _repeat(pool, one)
    return float(pool.allocated)


def _repeat(pool: Allocator, one: Parameter) -> None:
    whole = int(one.number)
    if one.size <= _SMALL:
        pool.allocated += round(-(-int(one.size) // 512) * 512 * one.number)
        return
    for _ in range(whole):
        pool.take(one.size)


def _layer(
    pool: Allocator, one: Parameter, layer: int, layers: int, waiting: list[tuple[int, float]], *, streaming: bool
) -> None:
    """Allocates the parameter if this layer has it: those that not all layers have are spread evenly."""
    number = one.number
    if number != layers and int((layer + 1) * number / layers + 1e-9) == int(layer * number / layers + 1e-9):
        return
    if not one.before:
        pool.take(one.size)
        return
    block = pool.take(one.before)
    if streaming:
        pool.take(one.size)
        pool.free(block)
    else:
        waiting.append((block, one.size))


def _tables(pool: Allocator, tables: Iterable[RopeTable]) -> None:
    """RotaryEmbeddingBase computes in float32: angles, cosines, sines, both side by side; then converts.

    What it needs meanwhile is free again afterwards, and layers are put there.
    """
    for rows, dim, width in tables:
        parts = [pool.take(rows * dim * 2) for _ in range(3)]
        both = pool.take(rows * dim * 4)
        for block in parts:
            pool.free(block)
        if width != 4:  # noqa: PLR2004 (float32 stays as it is)
            pool.take(rows * dim * width)
            pool.free(both)
