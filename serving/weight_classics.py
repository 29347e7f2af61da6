"""The tensors of the transformers from before Llama, from their configs: all alike but for names and biases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .tensors import Stored

Matrix = tuple[str, str, str]  # name, outputs, inputs: of "h" (hidden), "q" (queries), "k" (keys), "p" (packed), "i"


class Classic(NamedTuple):
    """A family: how its tensors are named.  `bias`: of its matrices, `norm_bias`: of its norms."""

    prefix: str
    layer: str
    embedding: str
    matrices: tuple[Matrix, ...]
    norms: tuple[str, ...]
    last_norm: str
    bias: bool = True
    norm_bias: bool = True
    positions: str = ""
    embedding_norm: str = ""
    head: str = ""
    head_bias: bool = False


_PACKED = (("query_key_value", "p", "h"), ("dense", "h", "q"))
_FOUR = (("mlp.dense_h_to_4h", "i", "h"), ("mlp.dense_4h_to_h", "h", "i"))
_APART = (("self_attn.q_proj", "q", "h"), ("self_attn.k_proj", "k", "h"), ("self_attn.v_proj", "k", "h"))
_LAYER_NORMS = ("input_layernorm", "post_attention_layernorm")


def _in(module: str, matrices: tuple[Matrix, ...]) -> tuple[Matrix, ...]:
    return tuple((f"{module}.{name}", out, into) for name, out, into in matrices)


CLASSICS: dict[str, Classic] = {
    "opt": Classic(
        prefix="model.decoder.",
        layer="layers.*.",
        embedding="embed_tokens",
        matrices=(*_APART, ("self_attn.out_proj", "h", "q"), ("fc1", "i", "h"), ("fc2", "h", "i")),
        norms=("self_attn_layer_norm", "final_layer_norm"),
        last_norm="final_layer_norm",
        positions="embed_positions",
    ),
    "gpt_neox": Classic(
        prefix="gpt_neox.",
        layer="layers.*.",
        embedding="embed_in",
        matrices=(*_in("attention", _PACKED), *_FOUR),
        norms=_LAYER_NORMS,
        last_norm="final_layer_norm",
        head="embed_out",
    ),
    "bloom": Classic(
        prefix="transformer.",
        layer="h.*.",
        embedding="word_embeddings",
        matrices=(*_in("self_attention", _PACKED), *_FOUR),
        norms=_LAYER_NORMS,
        last_norm="ln_f",
        embedding_norm="word_embeddings_layernorm",
    ),
    "mpt": Classic(
        prefix="transformer.",
        layer="blocks.*.",
        embedding="wte",
        matrices=(
            ("attn.Wqkv", "p", "h"),
            ("attn.out_proj", "h", "q"),
            ("ffn.up_proj", "i", "h"),
            ("ffn.down_proj", "h", "i"),
        ),
        norms=("norm_1", "norm_2"),
        last_norm="norm_f",
        bias=False,
        norm_bias=False,
    ),
    "starcoder2": Classic(
        prefix="model.",
        layer="layers.*.",
        embedding="embed_tokens",
        matrices=(*_APART, ("self_attn.o_proj", "h", "q"), ("mlp.c_fc", "i", "h"), ("mlp.c_proj", "h", "i")),
        norms=_LAYER_NORMS,
        last_norm="norm",
    ),
    "phi": Classic(
        prefix="model.",
        layer="layers.*.",
        embedding="embed_tokens",
        matrices=(*_APART, ("self_attn.dense", "h", "q"), ("mlp.fc1", "i", "h"), ("mlp.fc2", "h", "i")),
        norms=("input_layernorm",),
        last_norm="final_layernorm",
        head="lm_head",
        head_bias=True,
    ),
}
_MORE_POSITIONS = 2  # OPT's table begins with two rows of padding


def classic_tensors(text: Mapping[str, Any], dtype: str) -> Iterator[Stored]:
    """Every tensor by pattern; KeyError for another family, or when the config lacks a size."""
    family = CLASSICS[str(text.get("model_type"))]
    layers = int(_one_of(text, "num_hidden_layers", "n_layer", "n_layers"))
    hidden = int(_one_of(text, "hidden_size", "n_embed", "n_embd", "d_model"))
    heads = int(_one_of(text, "num_attention_heads", "n_head", "n_heads"))
    keys = int(text.get("num_key_value_heads") or heads) * (hidden // heads)
    inner = int(text.get("intermediate_size") or text.get("ffn_dim") or 4 * hidden)
    sizes = {"h": hidden, "q": hidden, "k": keys, "p": hidden + 2 * keys, "i": inner}
    vocab, prefix = int(text["vocab_size"]), family.prefix
    leaves = ("weight", "bias") if family.norm_bias else ("weight",)

    yield Stored(f"{prefix}{family.embedding}.weight", dtype, (vocab, int(text.get("word_embed_proj_dim") or hidden)))
    if family.positions:
        rows = int(text["max_position_embeddings"]) + _MORE_POSITIONS
        yield Stored(f"{prefix}{family.positions}.weight", dtype, (rows, hidden))
    for name, out, into in family.matrices:
        yield Stored(f"{prefix}{family.layer}{name}.weight", dtype, (sizes[out], sizes[into]), layers, layers)
        if family.bias:
            yield Stored(f"{prefix}{family.layer}{name}.bias", dtype, (sizes[out],), layers, layers)
    for leaf in leaves:
        for norm in family.norms:
            yield Stored(f"{prefix}{family.layer}{norm}.{leaf}", dtype, (hidden,), layers, layers)
        for norm in (family.last_norm, family.embedding_norm):
            if norm:
                yield Stored(f"{prefix}{norm}.{leaf}", dtype, (hidden,))
    if family.head:
        yield Stored(f"{family.head}.weight", dtype, (vocab, hidden))
        if family.head_bias:
            yield Stored(f"{family.head}.bias", dtype, (vocab,))


def _one_of(text: Mapping[str, Any], *keys: str) -> Any:
    return text[next((key for key in keys if text.get(key)), keys[0])]
