"""How each quantization method stores a matrix: the names, dtypes and shapes of its parts.

As the checkpoints of AutoAWQ, AutoGPTQ, compressed-tensors (llm-compressor), ModelOpt, fp8 (DeepSeek) and
bitsandbytes have them, and as the methods in vLLM's model_executor/layers/quantization create them.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple

from .quantization import AWQ, GPTQ

_HALF = 4  # bits
_NVFP4_GROUP = 16
_BNB_GROUP = 64
_WORD_BITS = 32


class Piece(NamedTuple):
    """A tensor that belongs to a matrix; no dtype: the model's own."""

    leaf: str
    dtype: str
    shape: tuple[int, ...]


def pieces(carried: Mapping[str, Any], out: int, into: int) -> list[Piece]:
    """What a linear layer of `out` x `into` is stored as by a checkpoint with these quantization settings."""
    method = str(carried.get("quant_method", "")).lower()
    if method in AWQ | GPTQ:
        return _int4(carried, out, into, by_outputs=method in AWQ)
    if method == "fp8":
        return _fp8(carried.get("weight_block_size"), out, into)
    if method == "compressed-tensors":
        return _compressed(carried, out, into)
    if method.startswith("modelopt"):
        algorithm = str(carried.get("quant_algo", "")).upper()
        return _nvfp4("weight", out, into) if "NVFP4" in algorithm else _fp8(None, out, into)
    if method == "bitsandbytes" and carried.get("load_in_4bit"):
        packed = Piece("weight", "U8", (out * into // 2, 1))
        return [packed, Piece("weight.absmax", "U8", (out * into // _BNB_GROUP,))]
    if method == "bitsandbytes":
        return [Piece("weight", "I8", (out, into)), Piece("SCB", "F32", (out,))]
    return [Piece("weight", "", (out, into))]


def _int4(carried: Mapping[str, Any], out: int, into: int, *, by_outputs: bool) -> list[Piece]:
    """AWQ packs outputs into words, GPTQ inputs."""
    words = _WORD_BITS // int(carried.get("bits") or carried.get("w_bit") or _HALF)
    group = int(carried.get("group_size") or carried.get("q_group_size") or 128)
    groups = ceil(into / group) if group > 0 else 1
    packed = (into, out // words) if by_outputs else (into // words, out)
    made = [Piece("qweight", "I32", packed), Piece("qzeros", "I32", (groups, out // words))]
    made.append(Piece("scales", "F16", (groups, out)))
    return made if by_outputs else [*made, Piece("g_idx", "I32", (into,))]


def _fp8(block: Any, out: int, into: int) -> list[Piece]:
    weight = Piece("weight", "F8_E4M3", (out, into))
    if block:
        return [weight, Piece("weight_scale_inv", "F32", (ceil(out / block[0]), ceil(into / block[1])))]
    return [weight, Piece("weight_scale", "F32", (1,))]


def _nvfp4(leaf: str, out: int, into: int) -> list[Piece]:
    scales = Piece("weight_scale", "F8_E4M3", (out, into // _NVFP4_GROUP))
    return [Piece(leaf, "U8", (out, into // 2)), scales]


def _compressed(carried: Mapping[str, Any], out: int, into: int) -> list[Piece]:
    """The first group of layers stands for all: mixed ones are seen in the headers only."""
    groups = carried.get("config_groups") or {}
    settings = next((group.get("weights") or {} for group in groups.values()), {})
    bits, group = int(settings.get("num_bits") or 8), settings.get("group_size")
    if bits == _HALF and settings.get("type") == "float":
        return _nvfp4("weight_packed", out, into)
    if bits < 8:  # noqa: PLR2004 (what fits a byte isn't packed)
        steps = ceil(into / group) if isinstance(group, int) and group > 0 else 1
        words = _WORD_BITS // bits
        made = [Piece("weight_packed", "I32", (out, into // words)), Piece("weight_scale", "", (out, steps))]
        return (
            made
            if settings.get("symmetric", True)
            else [*made, Piece("weight_zero_point", "I32", (out // words, steps))]
        )
    kind = "F8_E4M3" if settings.get("type") == "float" else "I8"
    return [Piece("weight", kind, (out, into)), Piece("weight_scale", "", (out, 1))]
