"""How vLLM's layers divide a stored tensor among tensor-parallel ranks, told from the tensor's name.

Sources (vLLM 0.32.0): model_executor/layers/linear.py (ColumnParallelLinear, RowParallelLinear,
QKVParallelLinear, ReplicatedLinear), layers/vocab_parallel_embedding.py, layers/fused_moe/, layers/mamba/, and
the models in model_executor/models that use them.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import NamedTuple


class Split(Enum):
    """What a rank holds of a tensor."""

    VOCAB = "rows of the vocabulary, padded"
    COLUMN = "its outputs"
    KV = "its KV heads; each at least once"
    QKV = "its heads of packed queries, keys and values"
    ROW = "its inputs"
    EXPERT = "its part of each expert, or its experts"
    COPY = "all of it"
    NOTHING = "nothing: it isn't loaded"


class Part(NamedTuple):
    """A stored tensor in a model of vLLM.

    `group`: the parameter that it becomes a part of (q, k and v are one matrix); `leaf`: weight, bias, scales …;
    `linear`: belongs to a linear layer, which online quantization reaches; `head`: the output embedding;
    `known`: False where the name is none that we know.
    """

    split: Split
    group: str
    leaf: str
    linear: bool = False
    head: bool = False
    vision: bool = False
    known: bool = True


_LEAVES = frozenset(
    (
        *("weight", "bias", "qweight", "qzeros", "scales", "g_idx", "weight_packed", "weight_scale", "weight_shape"),
        *("weight_zero_point", "weight_scale_inv", "weight_g_idx", "input_scale", "weight_scale_2", "input_zero_point"),
        *("absmax", "quant_map", "nested_absmax", "nested_quant_map", "weight_global_scale", "input_global_scale"),
        *("k_scale", "v_scale", "q_scale", "kv_scale"),
    )
)
_FUSED_LEAVES = ("_blocks", "_scales", "_bias", "_scale_inv", "_scale")
_EMBEDDINGS = frozenset(
    ("embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in", "embeddings", "embed_tokens_per_layer")
)
_HEADS = frozenset(("lm_head", "embed_out", "output", "output_layer"))
_QKV = frozenset(("qkv_proj", "c_attn", "query_key_value", "W_pack", "Wqkv", "wqkv", "qkv"))
_KV = frozenset(("k_proj", "v_proj", "wk", "wv"))
_COLUMN = frozenset(
    (
        *("q_proj", "wq", "q_b_proj", "kv_b_proj", "gate_proj", "up_proj", "gate_up_proj", "w1", "w3", "fc1", "c_fc"),
        *("dense_h_to_4h", "fc_in", "linear_1", "linear_fc1", "in_proj", "in_proj_qkvz", "in_proj_qkv", "in_proj_z"),
        *("in_proj_ba", "in_proj_b", "in_proj_a", "dt_proj", "conv1d", "q_conv1d", "k_conv1d", "v_conv1d"),
        *("A_log", "D", "dt_bias", "sinks", "g_proj", "up", "query", "key", "value", "intermediate_proj", "dt_in_proj"),
        *("input_linear", "c_fc_0", "c_fc_1", "f_b_proj", "b_proj", "g_b_proj"),
    )
)
_ROW = frozenset(
    (
        *("o_proj", "out_proj", "down_proj", "w2", "fc2", "c_proj", "dense", "dense_4h_to_h", "fc_out", "wo", "proj"),
        *("linear_2", "linear_fc2", "x_proj", "output_linear"),
    )
)
_COPY = frozenset(
    (
        *("q_a_proj", "kv_a_proj_with_mqa", "gate", "router", "shared_expert_gate", "wpe", "embed_positions"),
        *("position_embedding", "position_embeddings", "patch_embedding", "patch_embed", "class_embedding"),
        *("wk_weights_proj", "weights_proj", "cls_token", "e_score_correction_bias", "mm_input_projection_weight"),
        *("f_a_proj", "g_a_proj", "per_layer_model_projection", "mlp1", "merging_layer", "w_in", "w_out"),
    )
)
_MERGED = {
    **dict.fromkeys(("q_proj", "k_proj", "v_proj", "wq", "wk", "wv"), "qkv"),
    **dict.fromkeys(("gate_proj", "up_proj", "w1", "w3"), "gate_up"),
    **dict.fromkeys(("q_a_proj", "kv_a_proj_with_mqa"), "qkv_a"),
    **dict.fromkeys(("in_proj_b", "in_proj_a"), "in_proj_ba"),
    **dict.fromkeys(("in_proj_qkv", "in_proj_z"), "in_proj_qkvz"),
}
_VISION = ("vision", "visual", "image", "multi_modal", "mm_", "audio", "embed_vision", "embed_audio", "speech")
_PERCEIVER = frozenset(("merger", "connector", "resampler", "aligner"))
_MATRIX = 2
_MASK_DIMENSIONS = 4  # GPT-2's causal masks are stored as [1, 1, positions, positions]
_NEVER = ("rotary_emb.inv_freq", "attn.masked_bias", "attention.masked_bias", "rotary_pos_emb.inv_freq")


@lru_cache(maxsize=4096)
def part_of(name: str, dimensions: int) -> Part:
    """The part that a tensor of this pattern and number of dimensions is."""
    pieces = name.split(".")
    module, leaf = _module(pieces)
    vision = _is_vision(pieces)
    path = name[: name.rfind(module)] if module in name else name
    group = path + _MERGED.get(module, module)
    if name.endswith(_NEVER) or _is_mask(name, dimensions):
        return Part(Split.NOTHING, group, leaf)
    if "experts" in pieces[:-1] or module == "experts":
        return Part(Split.EXPERT, _expert_group(pieces, module), leaf, linear=dimensions > 1)
    if module in _EMBEDDINGS and not vision and dimensions > 1 and "vision" not in name:
        return Part(Split.VOCAB, group, leaf)
    if module in _HEADS and not vision and "*" not in pieces:
        return Part(Split.VOCAB if leaf in ("weight", "bias") else Split.COLUMN, group, leaf, head=True)
    if "norm" in module or module.startswith("ln_"):
        return Part(Split.COPY, group, leaf, vision=vision)
    split = _split(module, vision=vision)
    if vision and dimensions > _MATRIX:
        split = Split.COPY  # the convolution that cuts an image into patches
    if split is None:
        # Nearly every large matrix of vLLM's models is divided; small things never are.
        split = Split.COLUMN if dimensions > 1 and leaf not in ("", "bias") and not vision else Split.COPY
        return Part(split, group, leaf, vision=vision, known=dimensions <= 1)
    linear = split is not Split.COPY or module in ("q_a_proj", "kv_a_proj_with_mqa")
    linear = linear and module not in ("conv1d", "A_log", "D", "dt_bias", "sinks")
    return Part(split, group, leaf, linear=linear, vision=vision)


def _split(module: str, *, vision: bool) -> Split | None:
    if module in _QKV:
        return Split.COLUMN if vision else Split.QKV
    if module in _KV:
        return Split.COLUMN if vision else Split.KV
    if module in _COLUMN:
        return Split.COLUMN
    if module in _ROW:
        return Split.ROW
    if vision and module in ("mlp", "linear"):
        return Split.COLUMN  # of a projector: one matrix by outputs, the next by inputs
    return Split.COPY if module in _COPY else None


def _module(pieces: list[str]) -> tuple[str, str]:
    """The name of the module, and of the parameter in it."""
    last = pieces[-1]
    if "weight" in pieces[1:-1]:  # weight.absmax, weight.quant_state.bitsandbytes__nf4
        named = [piece for piece in pieces[: pieces.index("weight", 1)] if piece != "*"]
        return (named[-1] if named else last), last
    if last in _LEAVES and len(pieces) > 1:
        named = [piece for piece in pieces[:-1] if piece != "*"]
        return (named[-1] if named else last), last
    for ending in _FUSED_LEAVES:
        if last.endswith(ending) and last.removesuffix(ending).endswith("_proj"):
            return last.removesuffix(ending), ending[1:]
    return last, "weight" if last.endswith("_proj") else ""


def _is_vision(pieces: list[str]) -> bool:
    return any(piece.startswith(_VISION) or piece in _PERCEIVER for piece in pieces[:3])


def _is_mask(name: str, dimensions: int) -> bool:
    return dimensions == _MASK_DIMENSIONS and name.endswith(("attn.bias", "attention.bias"))


def _expert_group(pieces: list[str], module: str) -> str:
    """All experts of a layer are two parameters: what leads in (w13) and what leads out (w2)."""
    path = ".".join(pieces[: pieces.index("experts") + 1]) if "experts" in pieces else module
    return f"{path}.{'w2' if module in _ROW else 'w13'}"
