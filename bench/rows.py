"""One line of the table, and how two things are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

HEAD = f"{'':52} {'value':>8}    {'aim':>6}"


class Row(NamedTuple):
    """One line of the table.  `value` is a ratio where `unit` is empty; `aim` None: it is for orientation only."""

    name: str
    value: float
    aim: float | None
    detail: str
    unit: str = ""

    @property
    def mark(self) -> str:
        if self.aim is None:
            return "-"
        return "ok" if self.value <= self.aim else "misses its aim"

    def __str__(self) -> str:
        aim = "" if self.aim is None else f"{self.aim:.2f}"
        return f"{self.name:52} {self.value:8.2f} {self.unit:2} {aim:>6}  {self.mark:14}  {self.detail}"


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def paired(one: Callable[[], object], other: Callable[[], object], rounds: int) -> tuple[list[float], list[float]]:
    """Both in turn, after one uncounted run of each: a machine whose speed drifts drifts for both."""
    ones, others = in_turn([one, other], rounds)
    return ones, others


def in_turn(actions: list[Callable[[], object]], rounds: int) -> list[list[float]]:
    """The seconds of each, `rounds` of them: one after the other, again and again, after one uncounted run of each."""
    for action in actions:
        action()
    runs = [[timed(action) for action in actions] for _ in range(rounds)]
    return [list(seconds) for seconds in zip(*runs, strict=True)]


def pairwise(ones: list[float], others: list[float]) -> float:
    """The median of the ratios of each pair."""
    return statistics.median(a / b for a, b in zip(ones, others, strict=True))
