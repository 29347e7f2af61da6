"""What the estimates of memory speak in: bytes, as a range where they aren't certain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

GIB = 1024**3


class Range(NamedTuple):
    """Bytes: the least, the likely and the most that a term may come to; all the same where it is exact."""

    low: float
    likely: float
    high: float

    @classmethod
    def exact(cls, value: float) -> Range:
        return cls(value, value, value)

    def plus(self, other: Range) -> Range:
        return Range(self.low + other.low, self.likely + other.likely, self.high + other.high)

    @property
    def gib(self) -> float:
        """The likely value in GiB."""
        return self.likely / GIB


@dataclass(frozen=True)
class MemoryEstimate:
    """One GPU's memory as vLLM will account for it, in bytes; the GPU with the least room where they differ.

    budget      total memory times gpu_memory_utilization
    weights     the tensors as loaded on one rank
    non_torch   NCCL and what CUDA takes inside the budget
    persistent  buffers that stay: penalties, bitmasks, cuBLAS and MoE workspaces
    activation  the transient peak of the profile run
    cuda_graphs what vLLM sets aside for graphs; 0 when eager or before it did so
    """

    budget: int
    weights: Range
    non_torch: Range
    persistent: Range
    activation: Range
    cuda_graphs: Range

    @property
    def kv_cache(self) -> Range:
        """What is left for the KV cache; negative when the rest doesn't fit."""
        terms = (self.weights, self.non_torch, self.persistent, self.activation, self.cuda_graphs)
        return Range(
            self.budget - sum(term.high for term in terms),
            self.budget - sum(term.likely for term in terms),
            self.budget - sum(term.low for term in terms),
        )
