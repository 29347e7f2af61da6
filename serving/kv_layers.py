"""What each layer of a model caches: full or windowed attention, a latent vector, a recurrent state, or nothing.

Sources: the models' own files and `Attention.get_kv_cache_spec`, `MLAAttention.get_kv_cache_spec`,
`MambaBase.get_kv_cache_spec` (model_executor), `AttentionSpec` and its kin (v1/kv_cache_interface.py),
`_align_hybrid_block_size` (platforms/interface.py; before 0.20 `HybridAttentionMambaModelConfig`), vLLM 0.32.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from .engine import Engine, uses_mla
from .kv_states import state_bytes
from .model_config import Sizes, sizes, text_config
from .vllm_eras import PREFERRED_BLOCKS

Kind = Literal["full", "window", "chunk", "state"]
Config = Mapping[str, Any]


class LayerKv(NamedTuple):
    """One layer's cache on one rank: `page` bytes hold `block` tokens; `reach`: the window's or the chunk's tokens."""

    kind: Kind
    page: int
    block: int
    reach: int = 0
    latent: bool = False


_KINDS = {
    **dict.fromkeys(("full_attention", "attention", "full", "global", "global_attention", "mla"), "full"),
    **dict.fromkeys(("sliding_attention", "sliding_window", "local", "local_attention"), "window"),
    "chunked_attention": "chunk",
    **dict.fromkeys(("linear_attention", "mamba", "mamba2", "conv", "short_conv", "linear", "recurrent"), "state"),
    "hybrid": "both",
}
_PATTERN_KINDS = {"M": "state", "*": "full"}
_WINDOW_EVERY = {"gemma2": 2, "gemma3_text": 6, "cohere2": 4, "gemma3n_text": 5}  # full attention every n-th layer
_ALL_BOTH = frozenset({"falcon_h1"})
_ALL_STATES = frozenset({"mamba", "mamba2", "falcon_mamba"})
_CHUNK = 8192  # Llama 4's, where its config doesn't say
_SPARSE_TOKEN = 656  # bytes of a token of fp8_ds_mla
_SCALE = 4  # bytes a head and token, where scales are kept with the cache
_ALIGNED = 16  # tokens: kernels of attention take multiples of it
_ALIGNED_LATENT = 64, 128  # before and since backends name what they prefer


def layers_of(config: Config, engine: Engine) -> list[tuple[int, LayerKv]] | None:
    """(layer's number, what it caches) of all layers, on one tensor-parallel rank; None when it can't be told.

    A layer may have two caches, or none.
    """
    found, text = sizes(config), text_config(config)
    if found is None or config.get("is_encoder_decoder"):
        return None
    kinds = layer_kinds(text, found.layers, window_off=engine.sliding_window_off)
    block, state = engine.block_size, 0
    if any(kind in ("state", "both") for kind in kinds):
        state_page = state_bytes(text, engine)
        if not state_page:
            return None
        state = state_page
        if any(kind not in ("state", "none") for kind in kinds):
            block, state = _aligned(text, found, engine, state_page)
    layers: list[tuple[int, LayerKv]] = []
    latent = _latent(text, engine, block) if uses_mla(text) else None
    for number, kind in enumerate(kinds):
        if kind in ("full", "both", "window", "chunk"):
            parts = latent or _attention(text, found, engine, (number, kind, block))
            layers += [(number, part) for part in parts]
        if kind in ("state", "both"):
            layers.append((number, LayerKv("state", state, block)))
    return layers


def layer_kinds(text: Config, layers: int, *, window_off: bool = False) -> list[str]:
    """One of full, window, chunk, state, both and none for each layer."""
    kinds = _pattern(text, layers)
    if window_off or not text.get("sliding_window") or text.get("use_sliding_window") is False:
        kinds = ["full" if kind == "window" else kind for kind in kinds]
    if shared := text.get("num_kv_shared_layers"):  # the last ones read what earlier ones wrote
        kinds[-shared:] = ["none"] * shared
    if text.get("use_cla") and (factor := text.get("cla_share_factor")):
        kinds = [kind if number % factor == 0 else "none" for number, kind in enumerate(kinds)]
    return kinds


def _pattern(text: Config, layers: int) -> list[str]:
    family = str(text.get("model_type"))
    numbers = range(layers)
    for key in ("layer_types", "layers_block_type", "layer_type_list"):
        if isinstance(named := text.get(key), list) and named:
            return [_KINDS.get(str(name), "none") for name in named[:layers]]
    if isinstance(pattern := text.get("hybrid_override_pattern"), str):
        return [_PATTERN_KINDS.get(letter, "none") for letter in pattern]
    if isinstance(linear := text.get("linear_attn_config"), Mapping):
        full = set(linear.get("full_attn_layers", ()))
        return ["full" if number + 1 in full else "state" for number in numbers]
    if period := text.get("attn_layer_period"):
        offset = text.get("attn_layer_offset", 0)
        return ["full" if number % period == offset else "state" for number in numbers]
    if interval := text.get("full_attention_interval"):
        return ["full" if (number + 1) % interval == 0 else "state" for number in numbers]
    if isinstance(listed := text.get("attn_type_list"), list):
        return ["full" if listed[number] else "state" for number in numbers]
    if isinstance(full_ones := text.get("full_attn_idxs"), list):
        return ["full" if number in full_ones else "state" for number in numbers]
    if family in _ALL_BOTH or family in _ALL_STATES:
        return ["both" if family in _ALL_BOTH else "state"] * layers
    return _attention_pattern(text, family, layers)


def _attention_pattern(text: Config, family: str, layers: int) -> list[str]:
    numbers = range(layers)
    if family == "llama4_text" and text.get("attention_chunk_size", _CHUNK):
        ropes = text.get("no_rope_layers") or [(n + 1) % (text.get("no_rope_layer_interval") or 4) for n in numbers]
        return ["chunk" if ropes[number] else "full" for number in numbers]
    if not text.get("sliding_window"):
        return ["full"] * layers
    if family == "gpt_oss":
        return ["window" if number % 2 == 0 else "full" for number in numbers]
    every = text.get("sliding_window_pattern") or _WINDOW_EVERY.get(family)
    if isinstance(every, str):  # "LLLG"
        return ["window" if every[number % len(every)] == "L" else "full" for number in numbers]
    if isinstance(every, int) and every > 1:
        return ["full" if (number + 1) % every == 0 else "window" for number in numbers]
    first = text.get("max_window_layers") if text.get("use_sliding_window") else None
    if isinstance(first, int) and first < layers:
        return ["window" if number >= first else "full" for number in numbers]
    return ["window"] * layers


def _attention(text: Config, found: Sizes, engine: Engine, layer: tuple[int, str, int]) -> list[LayerKv]:
    """`layer`: number, kind and tokens a block."""
    number, kind, block = layer
    size = token_bytes(text, found, engine, (number, kind))
    if not size:
        return []
    page = int(size * block)
    if kind == "window":
        return [LayerKv("window", page, block, int(text["sliding_window"]))]
    if kind == "chunk":
        return [LayerKv("chunk", page, block, int(text.get("attention_chunk_size") or _CHUNK))]
    return [LayerKv("full", page, block)]


def token_bytes(text: Config, found: Sizes, engine: Engine, layer: tuple[int, str] = (0, "full")) -> float:
    """Bytes of one token in one layer of plain attention on one rank: keys and values of its heads.

    Heads are divided among the ranks, and copied where there are more ranks than heads
    (`ModelConfig.get_num_kv_heads`).  `layer`: number and kind, for models whose layers differ.
    """
    heads, size = _heads(text, found, layer)
    per_rank = max(1, heads // engine.tensor_parallel_size) if heads else 0
    number = engine.kv_dtype_bytes
    if "per_token_head" in engine.kv_cache_dtype:
        return per_rank * 2 * (size * number + _SCALE)
    if engine.kv_cache_dtype.startswith("nvfp4"):
        number += 1 / 16  # a scale of 8 bit for 16 numbers
    return per_rank * 2 * size * number


def _heads(text: Config, found: Sizes, layer: tuple[int, str]) -> tuple[int, int]:
    number, kind = layer
    if kind == "full" and (wide := text.get("global_head_dim")):  # Gemma 4
        return text.get("num_global_key_value_heads") or found.kv_heads, wide
    blocks = text.get("block_configs")
    if isinstance(blocks, list) and number < len(blocks):  # Nemotron-NAS
        attention = blocks[number].get("attention") or {}
        group = attention.get("n_heads_in_group")
        return (found.heads // group if group else 0), found.head_dim
    each = text.get("num_kv_heads") or text.get("num_key_value_heads")
    if isinstance(each, list) and number < len(each):
        return each[number], found.head_dim
    return found.kv_heads, found.head_dim


def latent_token_bytes(text: Config, engine: Engine) -> float:
    """Bytes of one token in one layer of latent attention: the same on every rank."""
    sparse = bool(text.get("index_topk"))
    if engine.kv_cache_dtype == "fp8_ds_mla" or (sparse and engine.kv_cache_dtype.startswith("fp8")):
        return _SPARSE_TOKEN
    return float((text["kv_lora_rank"] + text.get("qk_rope_head_dim", 0)) * engine.kv_dtype_bytes)


def _latent(text: Config, engine: Engine, block: int) -> list[LayerKv]:
    parts = [LayerKv("full", int(latent_token_bytes(text, engine) * block), block, latent=True)]
    if text.get("index_topk"):  # the indexer's keys, in 8 bit with a scale for 128 of them
        size = text.get("index_head_dim", 128)
        parts.append(LayerKv("full", (size + size // 128 * 4) * block, block, latent=True))
    return parts


def _aligned(text: Config, found: Sizes, engine: Engine, state: int) -> tuple[int, int]:
    """(tokens a block, bytes a page) of a model with both kinds: a page of attention must hold a state."""
    mla = uses_mla(text)
    token = latent_token_bytes(text, engine) if mla else token_bytes(text, found, engine)
    unit = max(_ALIGNED, engine.block_size)
    if mla:
        unit = max(unit, _ALIGNED_LATENT[engine.release >= PREFERRED_BLOCKS])
    block = unit * -int(-state // (unit * token))
    return block, int(block * token)
