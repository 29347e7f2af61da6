"""The KV cache as vLLM lays it out: how many blocks and tokens fit, and how long a sequence may be.

Source: v1/core/kv_cache_utils.py and v1/kv_cache_interface.py of vLLM 0.32.0 (functions named below), and of earlier
releases where vllm_eras.py says so.  All layers of a group share one table of blocks; every group has blocks of the
same size in bytes, taken from one pool.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .engine import Engine
from .kv_layers import LayerKv, layers_of
from .vllm_eras import (
    CHUNKED_GROUPS,
    HYBRID_GROUPS,
    IN_FLIGHT_TWICE,
    MAMBA_PREFIX_CACHING,
    NEED_OF_ALL_GROUPS,
    NEED_OF_FIRST_GROUP,
    NULL_BLOCK_COUNTED,
    TOKENS_BY_CONCURRENCY,
)

_WIDER_GROUPS: tuple[tuple[tuple[int, int], float], ...] = (((0, 18), 1.5), ((0, 12), 1.25))  # since, ratio
_ENDLESS = 1 << 40  # tokens: longer than any model


class Group(NamedTuple):
    """Layers that share a table of blocks: what one of them caches, the bytes of all on this stage, how many."""

    layer: LayerKv
    page_bytes: int
    layers: int


@dataclass(frozen=True)
class KvLayout:
    """Groups of layers and the block that they share, on the GPU with the most bytes a block.

    in_flight     tokens that may be scheduled and not settled yet: a windowed layer holds them beyond its window
    states        states that a sequence keeps in each recurrent layer
    """

    groups: tuple[Group, ...]
    bytes_per_block: int
    in_flight: int
    states: int
    release: tuple[int, int]

    def num_blocks(self, available_bytes: float) -> int:
        """Blocks in `available_bytes` (`get_kv_cache_config_from_groups`)."""
        if not self.groups:
            return 1  # attention-free without a state: the null block alone
        return max(0, int(available_bytes // self.bytes_per_block))

    def blocks_for(self, tokens: int) -> int:
        """Blocks that one sequence of this length takes, of all groups."""
        return sum(self._blocks(group.layer, tokens) for group in self.groups)

    def tokens(self, available_bytes: float, max_model_len: int) -> int:
        """What vLLM logs as "GPU KV cache size" (`get_kv_cache_capacity`, `_report_kv_cache_config`)."""
        if not self.groups:
            return 0
        blocks = self.num_blocks(available_bytes)
        if self.release >= TOKENS_BY_CONCURRENCY:
            return int(self.max_concurrency(available_bytes, max_model_len) * max_model_len)
        smallest = min(max_model_len if group.layer.kind == "state" else group.layer.block for group in self.groups)
        return blocks // len(self.groups) * smallest

    def max_concurrency(self, available_bytes: float, max_model_len: int) -> float:
        """Sequences of max_model_len that fit at once (`get_max_concurrency_for_kv_cache_config`)."""
        return self.num_blocks(available_bytes) / max(1, self.blocks_for(max_model_len))

    def needed_bytes(self, tokens: int) -> int:
        """What the start check asks for (`_max_memory_usage_bytes_from_groups`; before 0.14 each layer's own need)."""
        if self.release < NEED_OF_FIRST_GROUP:
            return sum(self._blocks(group.layer, tokens) * group.page_bytes for group in self.groups)
        if self.release < NEED_OF_ALL_GROUPS:
            return self.bytes_per_block * self._blocks(self.groups[0].layer, tokens) if self.groups else 0
        return self.bytes_per_block * self.blocks_for(tokens)

    def fits(self, available_bytes: float, tokens: int) -> bool:
        """True where vLLM starts with this max_model_len (`_check_enough_kv_cache_memory`)."""
        if not self.groups:
            return True
        if self.release >= NULL_BLOCK_COUNTED:
            available_bytes -= self.bytes_per_block
        return available_bytes > 0 and self.needed_bytes(tokens) <= available_bytes

    def largest_len(self, available_bytes: float, longest: int | None) -> int:
        """The largest max_model_len that fits, at most `longest`; 0: none (`_estimate_max_model_len_from_groups`)."""
        low, high = 0, longest or _ENDLESS
        while low < high:
            middle = (low + high + 1) // 2
            if self.fits(available_bytes, middle):
                low = middle
            else:
                high = middle - 1
        return low

    def _blocks(self, layer: LayerKv, tokens: int) -> int:
        """`max_memory_usage_bytes` of the layer's spec, in pages."""
        if layer.kind == "full":
            return _parts(tokens, layer.block)
        if layer.kind == "window":
            return _parts(min(layer.reach - 1 + self.in_flight, tokens), layer.block) + 1
        if layer.kind == "chunk":
            return _parts(min(layer.reach + self.in_flight, tokens), layer.block)
        return self.states


def kv_layout(config: Mapping[str, Any], engine: Engine) -> KvLayout | None:
    """The layout on the worst rank; None for a kind of model whose cache isn't known."""
    layers = layers_of(config, engine)
    if layers is None:
        return None
    grouped = _groups(layers, engine)
    stages = _stages(max((number for number, _ in layers), default=0) + 1, engine.pipeline_parallel_size)
    best: tuple[int, tuple[Group, ...]] = (0, ())
    for stage in stages:
        groups = tuple(_on_stage(group, stage) for group in grouped)
        size = max((group.page_bytes for group in groups), default=0)
        if size >= best[0]:
            best = (size, groups)
    batches = engine.pipeline_parallel_size + 1 if engine.release >= IN_FLIGHT_TWICE else 1
    return KvLayout(
        groups=best[1],
        bytes_per_block=max(1, best[0]),
        in_flight=batches * engine.max_num_batched_tokens,
        states=_states(layers, engine),
        release=engine.release,
    )


Numbered = list[tuple[int, LayerKv]]


def _groups(layers: Numbered, engine: Engine) -> list[Numbered]:
    """`get_kv_cache_groups`: one group where all layers need the same blocks, else equal numbers of layers."""
    release = engine.release
    chunked = any(layer.kind == "chunk" for _, layer in layers)
    if engine.hybrid_groups_off or release < HYBRID_GROUPS or (chunked and release < CHUNKED_GROUPS):
        layers = _promoted(layers)
    if not layers:
        return []
    if len({(layer.kind, layer.reach, layer.block) for _, layer in layers}) == 1:
        return [layers]
    same: dict[LayerKv, Numbered] = {}
    for number, layer in _same_pages(layers):
        same.setdefault(layer, []).append((number, layer))
    counts = [len(group) for group in same.values()]
    size = min(counts)
    ratio = next((ratio for since, ratio in _WIDER_GROUPS if release >= since), 1.0)
    if max(counts) < size * ratio:
        size = max(counts)
    groups: list[Numbered] = []
    for members in same.values():
        parts = _parts(len(members), size)
        groups += [members[part::parts] for part in range(parts)]
    return groups


def _promoted(layers: Numbered) -> Numbered:
    """Without the hybrid manager, local attention is kept like full attention where both are there."""
    if not any(layer.kind == "full" for _, layer in layers):
        return layers
    local = ("window", "chunk")
    return [(n, layer._replace(kind="full", reach=0) if layer.kind in local else layer) for n, layer in layers]


def _same_pages(layers: Numbered) -> Iterable[tuple[int, LayerKv]]:
    """`unify_kv_cache_spec_page_size`: smaller pages hold more tokens, or are padded where that doesn't come out."""
    largest = max(layer.page for _, layer in layers)
    for number, layer in layers:
        if layer.page == largest:
            yield number, layer
        elif layer.kind != "state" and largest % layer.page == 0:
            yield number, layer._replace(page=largest, block=layer.block * (largest // layer.page))
        else:
            yield number, layer._replace(page=largest)


def _on_stage(group: Numbered, stage: range) -> Group:
    """A group on one pipeline stage; its block is as large as its layers there."""
    here = [layer for number, layer in group if number in stage]
    return Group(group[0][1], sum(layer.page for layer in here), len(here))


def _stages(layers: int, count: int) -> list[range]:
    """Layers of each stage: what is left over goes to the later ones but the last (`get_pp_indices`)."""
    sizes = [layers // count] * count
    for extra in range(layers % count):
        sizes[-(extra + 2) if count > 1 else 0] += 1
    starts = [sum(sizes[:number]) for number in range(count)]
    return [range(start, start + size) for start, size in zip(starts, sizes, strict=True)]


def _states(layers: Numbered, engine: Engine) -> int:
    """States a sequence: two where prefixes are cached, which hybrid models do by default since 0.25."""
    hybrid = any(layer.kind != "state" for _, layer in layers)
    caching = engine.prefix_caching
    if caching is None:
        caching = hybrid and engine.release >= MAMBA_PREFIX_CACHING
    return (2 if caching else 1) + engine.speculative_tokens


def _parts(whole: int, part: int) -> int:
    return -(-whole // part)
