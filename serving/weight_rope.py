"""The tables of cosines and sines that vLLM builds beside the weights; its log counts them as weights.

Rows, and so bytes, follow the kind of rotary embedding: `get_rope` in vLLM's
model_executor/layers/rotary_embedding/__init__.py and the classes it picks (0.32.0).  Layers with the same
arguments share one table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .model_config import shape, text_config

if TYPE_CHECKING:
    from .engine import Engine

_WITHOUT = frozenset(
    (
        "gpt2",
        "gpt_bigcode",
        "opt",
        "bloom",
        "mpt",
        "jamba",
        "mamba",
        "mamba2",
        "falcon_mamba",
        "nemotron_h",
        "bamba_mamba",
    )
)
_UNSAID_LENGTH = {
    "gemma3_text": 131072,
    "gemma3": 131072,
    "falcon": 2048,
}  # what their config classes in transformers default to
_DEFAULT_LENGTH = 8192  # of vLLM's models, where a config says none
_MROPE_FACTOR = 4  # MRotaryEmbedding: positions of a video are fewer than its tokens
_FLASHINFER_ROPE_SINCE = (0, 15)


class RopeTable(NamedTuple):
    """One table: `rows` positions of `dim` values, `width` bytes each."""

    rows: int
    dim: int
    width: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.rows * self.dim * self.width


def rope_tables(config: Mapping[str, Any], engine: Engine) -> tuple[RopeTable, ...]:
    """The tables of the language model; those of vision towers are small."""
    text = text_config(config)
    kind = str(text.get("model_type") or config.get("model_type") or "")
    dim = _dimensions(text)
    without = kind in _WITHOUT or text.get("alibi") is True or text.get("position_embedding_type") == "nope"
    if without or not dim:
        return ()
    length = text.get("max_position_embeddings") or _UNSAID_LENGTH.get(kind, _DEFAULT_LENGTH)
    if kind.startswith("cohere"):
        length = text.get("model_max_length") or length  # vLLM's commandr.py
    width = 4 if kind == "gpt_oss" else engine.dtype_bytes
    settings: list[Mapping[str, Any]] = []
    for rope in _settings(text):
        if rope not in settings:
            settings.append(rope)
    return tuple(
        RopeTable(_rows(rope, length), _partial(rope, text, dim), _width(rope, text, engine, width))
        for rope in settings
    )


def _dimensions(text: Mapping[str, Any]) -> int:
    if text.get("qk_rope_head_dim"):
        return int(text["qk_rope_head_dim"])
    if "gemma3" in str(text.get("model_type")):
        return int(text.get("head_dim") or 256)
    return shape(text).head_dim or 0


def _partial(rope: Mapping[str, Any], text: Mapping[str, Any], dim: int) -> int:
    """Some models turn only a part of each head."""
    if text.get("qk_rope_head_dim"):
        return dim
    if isinstance(text.get("rotary_dim"), int):
        return int(text["rotary_dim"])
    places = (rope.get("partial_rotary_factor"), *(text.get(key) for key in _PARTIAL_KEYS))
    factor = next((value for value in places if isinstance(value, int | float)), 1.0)
    return int(dim * factor)


_PARTIAL_KEYS = ("partial_rotary_factor", "rotary_pct", "rotary_emb_fraction", "rope_pct")


def _settings(text: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The settings of each table: one, or one for each type of layer."""
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    nested = [value for value in rope.values() if isinstance(value, Mapping)] if isinstance(rope, Mapping) else []
    if nested:
        yield from nested
        return
    yield rope if isinstance(rope, Mapping) else {}
    if "gemma3" in str(text.get("model_type")):
        yield {"rope_type": "default", "rope_theta": text.get("rope_local_base_freq", 10000.0)}  # of sliding layers


def _rows(rope: Mapping[str, Any], length: int) -> int:
    kind = rope.get("rope_type", rope.get("type", "default"))
    factor = rope.get("factor") or 1.0
    original = rope.get("original_max_position_embeddings") or length
    stretch = _MROPE_FACTOR if "mrope_section" in rope else 1
    if kind == "linear":
        return int(length * factor)
    if kind in ("yarn", "deepseek_yarn", "deepseek_llama_scaling"):
        return int(original * factor) * stretch
    if kind in ("longrope", "su"):
        return int(original) + length  # a short table and a long one
    return length * stretch


def _width(rope: Mapping[str, Any], text: Mapping[str, Any], engine: Engine, width: int) -> int:
    """DeepSeek's tables stay in float32 where FlashInfer turns them, which it does outside of torch.compile."""
    kind = rope.get("rope_type", rope.get("type", "default"))
    by_flashinfer = engine.enforce_eager and engine.release >= _FLASHINFER_ROPE_SINCE
    return 4 if text.get("qk_rope_head_dim") and kind != "default" and by_flashinfer else width
