"""A model's config.json as vLLM reads it: sizes, and the longest sequence it was made for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

VOCAB_PADDING = 64  # vLLM pads the vocabulary to a multiple of this before it divides it

_TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
_LENGTH_KEYS = (
    *("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "model_max_length"),
    *("max_target_positions", "max_sequence_length", "max_seq_length", "seq_len"),
)
_LENGTH_IS_SCALED = frozenset({"su", "longrope", "llama3"})  # rope types whose config has the final length already
_FOUR_TIMES_HIDDEN = frozenset({"gpt2", "gpt_bigcode"})  # n_inner null means 4 * n_embd
_MOE_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_TOP_K_KEYS = ("num_experts_per_tok", "moe_topk", "experts_per_token", "moe_top_k", "top_k")
# What a family's class in transformers takes where config.json says nothing: the language parts of multimodal
# models often leave out what equals it.
_FAMILY_SIZES: dict[str, dict[str, int]] = {
    "gemma": {"head_dim": 256, "vocab_size": 256000},
    "gemma2": {"head_dim": 256, "vocab_size": 256000, "sliding_window": 4096},
    "gemma3_text": {
        **{"head_dim": 256, "vocab_size": 262208, "num_attention_heads": 8, "num_key_value_heads": 4},
        **{"max_position_embeddings": 131072, "sliding_window": 4096, "sliding_window_pattern": 6},
    },
    "gpt_oss": {"head_dim": 64},
    "qwen3": {"head_dim": 128},
    "qwen3_next": {"head_dim": 256},
    "qwen3_5_text": {"head_dim": 256},
    "llama": {
        **{"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32},
        **{"vocab_size": 32000, "max_position_embeddings": 2048},
    },
    "mistral": {
        **{"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
        **{"num_key_value_heads": 8, "vocab_size": 32000, "max_position_embeddings": 131072},
    },
}
_UNGATED = ("gpt2", "gpt_bigcode", "opt", "bloom", "falcon", "gpt_neox", "phi-msft", "gptj", "starcoder2", "mpt")
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
    """The part of a multimodal config that describes its language model; else the config itself.

    Completed by what the family's class in transformers takes for keys that aren't there.
    """
    part = config
    for key in _TEXT_PARTS:
        inner = config.get(key)
        if inner is not None and isinstance(inner, Mapping):
            part = inner
            break
    nested = part.get("text_config")
    if nested is not None and isinstance(nested, Mapping):  # Omni models nest it once more
        part = nested
    defaults = _FAMILY_SIZES.get(str(part.get("model_type")))
    if defaults and (part is not config or "num_hidden_layers" in part):
        return {**defaults, **part}
    return part


def is_multimodal(config: Mapping[str, Any]) -> bool:
    """True where pictures, sound or video go in beside text."""
    parts = ("vision_config", "audio_config", "vision_tower_config", "visual", "vit_config")
    return any(isinstance(config.get(part), Mapping) for part in parts)


class Sizes(NamedTuple):
    """What memory is computed from; 0 where config.json doesn't say and there is none.

    `kv_heads` is that of plain attention (of the latent cache 1); `experts`, `experts_per_token` and
    `expert_intermediate` are those of a mixture of experts; `gated`: the MLP has a gate beside the up projection.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    experts: int
    experts_per_token: int
    expert_intermediate: int
    gated: bool


def sizes(config: Mapping[str, Any]) -> Sizes | None:
    """The sizes of the language model; None where layers, hidden size or heads are missing."""
    text = text_config(config)
    layers = _first(text, "num_hidden_layers", "n_layer", "n_layers", "num_layers")
    hidden = _first(text, "hidden_size", "n_embd", "d_model")
    parts = shape(config)
    if not layers or not hidden:
        return None
    experts = _first(text, *_MOE_KEYS) or 0
    expert = _first(text, "moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size")
    intermediate = parts.intermediate or 0
    return Sizes(
        layers=layers,
        hidden=hidden,
        heads=parts.heads or 0,
        kv_heads=parts.kv_heads or 1,
        head_dim=parts.head_dim or 0,
        intermediate=intermediate or 4 * hidden,
        vocab=parts.vocab or 0,
        experts=experts if experts > 1 else 0,
        experts_per_token=_first(text, "num_experts_per_tok", "moe_topk", "experts_per_token", "moe_top_k", "top_k")
        or 0,
        expert_intermediate=expert or intermediate,
        gated=not any(kind in str(text.get("model_type")) for kind in _UNGATED),
    )


def shape(config: Mapping[str, Any]) -> Shape:
    """The sizes, under whichever names the family has them."""
    text = text_config(config)
    heads = _first(text, "num_attention_heads", "n_head", "n_heads", "num_heads")
    hidden = _first(text, "hidden_size", "n_embd", "d_model")
    head_dim = _first(text, "head_dim", "attention_head_dim", "kv_channels")
    head_dim = head_dim or (hidden // heads if hidden and heads else None)
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
    if inner is None and hidden and str(text.get("model_type")) in _FOUR_TIMES_HIDDEN:
        return 4 * hidden
    return inner


def _first(config: Mapping[str, Any], *keys: str) -> int | None:
    values = (config.get(key) for key in keys)
    return next((v for v in values if isinstance(v, int) and not isinstance(v, bool)), None)
