"""Sizing presets: one table, size class and quantization -> repository and resources.

A quantized preset names a repository that carries the quantization: vLLM can't load AWQ or GPTQ from any other.
Repositories, GPUs, lengths and `cards` are those of serving/proven.py, where each row is proved to start on each card.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from serving.proven import PROVEN, Quantization

__all__ = ["PRESETS", "Preset", "Quantization", "Size"]

Size = Literal["7b", "13b", "70b"]


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


_BASES: dict[Size, str] = {
    "7b": "Qwen/Qwen2.5-7B-Instruct",
    "13b": "Qwen/Qwen2.5-14B-Instruct",
    "70b": "Qwen/Qwen2.5-72B-Instruct",
}
# size, quantization -> cpu, memory, shmem
_HOSTS: dict[tuple[Size, Quantization], tuple[int, str, str]] = {
    ("7b", "none"): (4, "24g", "2g"),
    ("7b", "awq"): (4, "16g", "2g"),
    ("7b", "gptq"): (4, "16g", "2g"),
    ("13b", "none"): (8, "48g", "2g"),
    ("13b", "awq"): (6, "24g", "2g"),
    ("13b", "gptq"): (6, "24g", "2g"),
    ("70b", "none"): (16, "64g", "16g"),
    ("70b", "awq"): (12, "64g", "8g"),
    ("70b", "gptq"): (12, "64g", "8g"),
}
_PROVEN = {(row.base, row.quantization): row for row in PROVEN}


def _preset(size: Size, quantization: Quantization) -> Preset:
    row = _PROVEN[_BASES[size], quantization]
    return Preset(row.model, row.gpus, row.gpus, *_HOSTS[size, quantization], row.max_model_len, row.cards)


PRESETS: dict[tuple[Size, Quantization], Preset] = {key: _preset(*key) for key in _HOSTS}
