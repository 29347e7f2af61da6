"""Repos with their quantized variants, and the cards on which they are proved to start: what a preset or a cure names.

`cards` is held by a test: each row's verdict is START on every card it names, with the newest release of vLLM and with
older ones.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Quantization = Literal["none", "awq", "gptq"]


class Proven(NamedTuple):
    """A repo on so many of each of these cards; `base`: the repo without quantization; `max_model_len`: tokens."""

    base: str
    quantization: Quantization
    model: str
    gpus: int
    max_model_len: int
    cards: tuple[str, ...]


_16 = ("T4", "RTX 4080", "RTX 5080")
_24 = ("A10", "A10G", "L4", "RTX 3090", "RTX 4090", "RTX A5000", "A30")
_48 = ("L40S", "A40", "RTX A6000", "RTX 6000 Ada")
_80_UP = ("A100-80GB", "H100-80GB", "RTX PRO 6000", "H100 NVL", "GH200", "H20", "H200", "B200")
_40_UP = ("A100-40GB", *_48, *_80_UP)
_24_UP = (*_24, "RTX 5090", *_40_UP)

_7B, _14B, _72B = ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-14B-Instruct", "Qwen/Qwen2.5-72B-Instruct")

PROVEN: tuple[Proven, ...] = (
    Proven(_7B, "none", _7B, 1, 8192, _24_UP),
    Proven(_7B, "awq", f"{_7B}-AWQ", 1, 8192, (*_16, *_24_UP)),
    Proven(_7B, "gptq", f"{_7B}-GPTQ-Int4", 1, 8192, (*_16, *_24_UP)),
    Proven(_14B, "none", _14B, 1, 8192, _40_UP),
    Proven(_14B, "awq", f"{_14B}-AWQ", 1, 8192, _24_UP),
    Proven(_14B, "gptq", f"{_14B}-GPTQ-Int4", 1, 8192, _24_UP),
    Proven(_72B, "none", _72B, 4, 8192, (*_48, *_80_UP)),
    Proven(_72B, "awq", f"{_72B}-AWQ", 2, 8192, ("RTX 5090", *_40_UP)),
    Proven(_72B, "gptq", f"{_72B}-GPTQ-Int4", 2, 8192, ("RTX 5090", *_40_UP)),
)
