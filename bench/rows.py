"""One line of the table, and how two things are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table."""

    name: str
    ratio: float
    aim: float
    detail: str

    def __str__(self) -> str:
        mark = "ok" if self.ratio <= self.aim else "misses its aim"
        return f"{self.name:44} {self.ratio:6.2f} {self.aim:6.2f}  {mark:14}  {self.detail}"


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def paired(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Both in turn, after one uncounted run of each: a machine whose speed drifts drifts for both."""
    one()
    other()
    pairs = [(timed(one), timed(other)) for _ in range(rounds)]
    return [a for a, _ in pairs], [b for _, b in pairs]


def pairwise(ones: list[float], others: list[float]) -> float:
    """The median of the ratios of each pair."""
    return statistics.median(a / b for a, b in zip(ones, others, strict=True))
