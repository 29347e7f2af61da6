"""A model's config.json as vLLM reads it: sizes, and the longest sequence it was made for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

VOCAB_PADDING = 64  # vLLM pads the vocabulary to a multiple of this before it divides it

_TEXT_PARTS = ("text_config", "llm_config", "language_config")
_LENGTH_KEYS = (
    *("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length"),
    *("max_target_positions", "max_sequence_length", "max_seq_length", "seq_len"),
)
_LENGTH_IS_SCALED = frozenset({"su", "longrope", "llama3"})  # rope types whose config has the final length already
_FOUR_TIMES_HIDDEN = frozenset({"gpt2", "gpt_bigcode"})  # n_inner null means 4 * n_embd
_MOE_KEYS = ("num_experts", "num_local_experts", "n_routed_experts")
# Learned positions: beyond the last there is none, and CUDA reads past the end of the table.
ABSOLUTE_POSITIONS = frozenset({"gpt2", "gpt_bigcode", "opt"})


class Shape(NamedTuple):
    """Sizes of a model; None where its config.json leaves it to a default that isn't known here."""

    heads: int | None
    kv_heads: int | None
    head_dim: int | None
    intermediate: int | None
    vocab: int | None


class Length(NamedTuple):
    """The longest sequence, in tokens, and the key of config.json it comes from."""

    tokens: int
    key: str


def text_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a multimodal config that describes its language model; else the config itself."""
    return next((config[part] for part in _TEXT_PARTS if isinstance(config.get(part), Mapping)), config)


def shape(config: Mapping[str, Any]) -> Shape:
    """The sizes, under whichever names the family has them."""
    text = text_config(config)
    heads = _first(text, "num_attention_heads", "n_head", "n_heads", "num_heads")
    hidden = _first(text, "hidden_size", "n_embd", "d_model")
    head_dim = _first(text, "head_dim") or (hidden // heads if hidden and heads else None)
    return Shape(heads, _kv_heads(text, heads), head_dim, _intermediate(text, hidden), _first(text, "vocab_size"))


def padded_vocab(vocab: int) -> int:
    """The vocabulary as vLLM divides it among GPUs."""
    return -(-vocab // VOCAB_PADDING) * VOCAB_PADDING


def is_moe(config: Mapping[str, Any]) -> bool:
    """True for a mixture of experts."""
    return (_first(text_config(config), *_MOE_KEYS) or 0) > 1


def derived_max_model_len(config: Mapping[str, Any], *, disable_sliding_window: bool = False) -> Length | None:
    """The largest max_model_len that vLLM takes without being forced; None when it takes any.

    As vLLM's `_get_and_verify_max_len`: the least of the keys that give a length, times the factor of
    RoPE scaling (of the original length for YaRN).  `disable_sliding_window` caps it at the window.
    """
    text = text_config(config)
    found = [Length(value, key) for key in _LENGTH_KEYS if (value := _first(text, key)) is not None]
    if not found:
        return None
    length = min(found)
    if own := _first(text, "model_max_length"):  # Command R says it apart from its positions
        length = Length(own, "model_max_length")
    window = _first(text, "sliding_window")
    if disable_sliding_window and window and window < length.tokens:
        length = Length(window, "sliding_window")
    return _scaled(text, length)


def _scaled(text: Mapping[str, Any], length: Length) -> Length:
    if "gemma3" in str(text.get("model_type")):  # its length is scaled already
        return length
    factor = 1.0
    for rope in _rope_settings(text):
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind in _LENGTH_IS_SCALED:
            continue
        factor = rope.get("factor") or factor
        if kind == "yarn" and (original := rope.get("original_max_position_embeddings")):
            length = Length(original, "rope_scaling")
    return Length(int(length.tokens * factor), length.key if factor == 1.0 else "rope_scaling")


def _rope_settings(text: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """One a layer type, or one for all."""
    rope = text.get("rope_parameters") or text.get("rope_scaling")
    if not isinstance(rope, Mapping):
        return []
    of_layers = [value for value in rope.values() if isinstance(value, Mapping)]
    return of_layers or [rope]


def _kv_heads(text: Mapping[str, Any], heads: int | None) -> int | None:
    """None for latent attention (MLA), whose cache isn't divided by heads."""
    if text.get("kv_lora_rank"):
        return None
    if text.get("multi_query") is True and not text.get("new_decoder_architecture"):
        return 1
    return _first(text, "num_key_value_heads", "n_head_kv", "num_kv_heads", "multi_query_group_num") or heads


def _intermediate(text: Mapping[str, Any], hidden: int | None) -> int | None:
    inner = _first(text, "intermediate_size", "n_inner", "ffn_dim")
    if inner is None and hidden and text.get("model_type") in _FOUR_TIMES_HIDDEN:
        return 4 * hidden
    return inner


def _first(config: Mapping[str, Any], *keys: str) -> int | None:
    values = (config.get(key) for key in keys)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)
