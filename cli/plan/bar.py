"""One GPU's memory as a stacked bar with its legend.

Each part has a glyph of its own, so that the bar reads without colours, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text

from serving.estimates import GIB, MemoryEstimate


class Part(NamedTuple):
    """One term of the memory."""

    name: str
    gib: float
    glyph: str
    style: str


_TOO_MUCH = "red"
_MISSING, _REST = "missing", "outside budget"


def parts(memory: MemoryEstimate, card_gib: float) -> list[Part]:
    """What lies in the card, in the order of the bar; "missing" where the terms are more than the budget."""
    budget, left = memory.budget / GIB, memory.kv_cache.gib
    end = Part("free for KV cache", left, "▓", "green") if left >= 0 else Part(_MISSING, -left, "×", _TOO_MUCH)
    terms = [
        Part("weights", memory.weights.gib, "█", "blue"),
        Part("activation", memory.activation.gib + memory.persistent.gib, "▒", "magenta"),
        Part("CUDA graphs", memory.cuda_graphs.gib, "░", "yellow"),
        Part("non-torch", memory.non_torch.gib, "▚", "cyan"),
        end,
        Part(_REST, max(card_gib - budget, 0.0), "·", "bright_black"),
    ]
    return [part for part in terms if part.gib > 0 or part is end]


def lengths(values: Sequence[float], width: int) -> list[int]:
    """Whole cells in proportion, `width` together; a value above 0 has at least one."""
    total = sum(values)
    if total <= 0 or width < len(values):
        return [0 for _ in values]
    exact = [value / total * width for value in values]
    cells = [max(int(share), 1) if value > 0 else 0 for share, value in zip(exact, values, strict=True)]
    while sum(cells) != width:
        step = 1 if sum(cells) < width else -1
        candidates = [index for index, count in enumerate(cells) if exact[index] > 0 and count + step >= 1]
        worst = max(candidates, key=lambda index: step * (exact[index] - cells[index]))
        cells[worst] += step
    return cells


def bar(memory: MemoryEstimate, card_gib: float, width: int) -> list[Text]:
    """The bar, and below it where the budget ends: inside the bar where the terms are more than it."""
    fits = memory.kv_cache.gib >= 0
    left_out = (_MISSING,) if fits else (_MISSING, _REST)  # what is beyond the budget takes the room of the rest
    shown = [part for part in parts(memory, card_gib) if part.name not in left_out]
    cells = lengths([part.gib for part in shown], width)
    line = Text.assemble(*((part.glyph * count, part.style) for part, count in zip(shown, cells, strict=True)))
    budget = memory.budget / GIB
    if fits:
        inside = sum(count for part, count in zip(shown, cells, strict=True) if part.name != _REST)
    else:
        inside = max(min(round(budget / (budget - memory.kv_cache.gib) * width), width - 1), 1)
        line.stylize(_TOO_MUCH, inside)
    return [line, _mark(inside, width, f"budget {budget:.2f}")]


def _mark(position: int, width: int, text: str) -> Text:
    """`text` and an arrow up at the end of the first `position` cells."""
    arrow = f"{text} ▲"
    if len(arrow) <= position:
        return Text(arrow.rjust(position), "dim")
    return Text(" " * max(position - 1, 0) + f"▲ {text}"[: width - position + 1], "dim")


def legend(memory: MemoryEstimate, card_gib: float, width: int) -> list[Text]:
    """Every part with its glyph and its GiB, in as many columns as fit."""
    shown = parts(memory, card_gib)
    name = max(len(part.name) for part in shown)
    cell = 2 + name + 8
    columns = max(1, min(len(shown), (width + 3) // (cell + 3)))
    texts = [Text.assemble((part.glyph, part.style), f" {part.name:<{name}}{part.gib:8.2f}", end="") for part in shown]
    return [Text("   ").join(texts[start : start + columns]) for start in range(0, len(texts), columns)]
