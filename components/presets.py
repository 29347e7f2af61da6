"""Sizing presets: one table, size class and quantization -> repository and resources.

A quantized preset names a repository that carries the quantization: vLLM can't load AWQ or GPTQ from any other.
`cards` names the GPUs that a row is meant for: each of them has room for the weights and for `max_model_len` tokens.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Size = Literal["7b", "13b", "70b"]
Quantization = Literal["none", "awq", "gptq"]


class Preset(NamedTuple):
    """Resources of one session; sizes in binary units."""

    model: str
    gpus: int
    tensor_parallel_size: int
    cpu: int
    memory: str  # host memory: at least the weights' size per GPU is read through it
    shmem: str  # /dev/shm: NCCL's share grows with tensor_parallel_size
    max_model_len: int
    cards: tuple[str, ...]


_24_UP = ("A10", "L4", "RTX 4090", "L40S", "A100-40GB", "A100-80GB", "H100-80GB")
_40_UP = ("L40S", "A100-40GB", "A100-80GB", "H100-80GB")
_80 = ("A100-80GB", "H100-80GB")

PRESETS: dict[tuple[Size, Quantization], Preset] = {
    ("7b", "none"): Preset("Qwen/Qwen2.5-7B-Instruct", 1, 1, 4, "24g", "2g", 8192, _24_UP),
    ("7b", "awq"): Preset("Qwen/Qwen2.5-7B-Instruct-AWQ", 1, 1, 4, "16g", "2g", 8192, _24_UP),
    ("7b", "gptq"): Preset("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", 1, 1, 4, "16g", "2g", 8192, _24_UP),
    ("13b", "none"): Preset("Qwen/Qwen2.5-14B-Instruct", 1, 1, 8, "48g", "2g", 8192, _40_UP),
    ("13b", "awq"): Preset("Qwen/Qwen2.5-14B-Instruct-AWQ", 1, 1, 6, "24g", "2g", 8192, _24_UP),
    ("13b", "gptq"): Preset("Qwen/Qwen2.5-14B-Instruct-GPTQ-Int4", 1, 1, 6, "24g", "2g", 8192, _24_UP),
    ("70b", "none"): Preset("Qwen/Qwen2.5-72B-Instruct", 4, 4, 16, "64g", "16g", 8192, _80),
    ("70b", "awq"): Preset("Qwen/Qwen2.5-72B-Instruct-AWQ", 2, 2, 12, "64g", "8g", 8192, _40_UP),
    ("70b", "gptq"): Preset("Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4", 2, 2, 12, "64g", "8g", 8192, _40_UP),
}
