"""Verdicts for people: one plain table for a whole stack, and the same as a comment on a pull request."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from .estimates import GIB, Range
from .rules import Rule
from .rules_shown import for_people
from .verdict import Verdict

_NARROWEST = 80  # columns
_HEAD = (
    *("model", "GPU", "verdict", "weights", "KV cache", "activation+graphs", "free/budget"),
    *("KV tokens", "requests at once", "longest request"),
)
_HEADS: tuple[tuple[str, ...], ...] = (_HEAD,)
# In two lines, for a terminal of 80 columns.
_SHORT_HEADS = (
    ("", "", "", "", "KV", "other", "free/", "KV", "at", "max"),
    ("model", "GPU", "verdict", "weights", "cache", "use", "budget", "tokens", "once", "length"),
)
_LEGEND = "GiB of one GPU (other use: activation and CUDA graphs); requests at once of max_model_len tokens."
_NUMBERS_FROM = 3  # columns before it are words
_LEAST_OF_MODEL, _LEAST_OF_GPU = 10, 9  # characters
_THOUSAND, _MILLION = 1000, 1_000_000
_LONG_NUMBER = 100
_NONE_LEFT = "–"


def verdict_table(verdicts: Sequence[Verdict], width: int = _NARROWEST) -> str:
    """One table, then what is wrong with each model and what cures it.  Sizes in GiB of one GPU.

    `width`: columns there are; fewer than 80 count as 80.
    """
    width = max(width, _NARROWEST)
    rows = [_cells(verdict) for verdict in verdicts]
    columns, gap, heads = _columns((_HEAD,), rows), 2, _HEADS
    if _over(columns, gap, width) > 0:
        rows = [_cells(verdict, short=True) for verdict in verdicts]
        columns, gap, heads = _columns(_SHORT_HEADS, rows), 1, _SHORT_HEADS
        for column, least in ((0, _LEAST_OF_MODEL), (1, _LEAST_OF_GPU)):
            columns[column] = max(min(columns[column], least), columns[column] - max(0, _over(columns, gap, width)))
    lines = [*(_line(head, columns, gap) for head in heads), _line(["-" * size for size in columns], columns, gap)]
    lines += [_line(row, columns, gap) for row in rows]
    if heads is _SHORT_HEADS:
        lines += textwrap.wrap(_LEGEND, width)
    for verdict in verdicts:
        lines += _causes(verdict, width)
    return "\n".join(lines)


def _columns(heads: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(cell) for cell in column) for column in zip(*heads, *rows, strict=True)]


def _over(columns: Sequence[int], gap: int, width: int) -> int:
    """Characters that a line is too long."""
    return sum(columns) + gap * (len(columns) - 1) - width


def _line(cells: Sequence[str], columns: Sequence[int], gap: int) -> str:
    shown = [_cut(cell, size) for cell, size in zip(cells, columns, strict=True)]
    words = [cell.ljust(size) for cell, size in zip(shown[:_NUMBERS_FROM], columns, strict=False)]
    numbers = [cell.rjust(size) for cell, size in zip(shown[_NUMBERS_FROM:], columns[_NUMBERS_FROM:], strict=True)]
    return (" " * gap).join([*words, *numbers]).rstrip()


def _cut(text: str, size: int) -> str:
    """The end of a model's name tells more than its beginning."""
    return text if len(text) <= size else "…" + text[1 - size :]


def _cells(verdict: Verdict, *, short: bool = False) -> tuple[str, ...]:
    memory = verdict.memory
    words = (verdict.name or verdict.model, _gpu(verdict), verdict.outcome.shown)
    if memory is None:
        return (*words, *("-",) * (len(_HEAD) - _NUMBERS_FROM))
    other = memory.activation.plus(memory.persistent).plus(memory.cuda_graphs)
    left = verdict.kv_cache or memory.kv_cache
    free, budget, digits = _unused(verdict, left) / GIB, memory.budget / GIB, 0 if short else 1
    return (
        *words,
        _gib(memory.weights),
        _gib(left) if left.likely > 0 else _NONE_LEFT,
        _gib(other),
        f"{_NONE_LEFT if free < 0 else f'{free:.{digits}f}'}/{budget:.{digits}f}",
        _count(verdict.kv_cache_tokens, short),
        _times(verdict.requests_at_once),
        # Exact, and as a stack file takes it: it is copied from here.
        "-" if verdict.largest_max_model_len is None else str(verdict.largest_max_model_len),
    )


def _unused(verdict: Verdict, left: Range) -> float:
    """Bytes of the KV cache that one request of max_model_len leaves."""
    concurrency = verdict.max_concurrency or 0.0
    used = min(1.0, 1 / concurrency) if concurrency > 0 else 1.0
    return left.likely * (1 - used) if left.likely > 0 else left.likely


def _gpu(verdict: Verdict) -> str:
    if verdict.gpu is None:
        return "?"
    share = f" {verdict.gpu.share:g}" if verdict.gpu.share != 1 else ""
    count = f"{verdict.gpu_count:g} x " if verdict.gpu_count > 1 else ""
    return f"{count}{verdict.gpu.name}{share}"


def _gib(size: Range) -> str:
    return f"{size.likely / GIB:.1f}"


def _times(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.1f}" if number < _LONG_NUMBER else f"{number:,.0f}"


def _count(number: int | None, short: bool) -> str:
    if number is None:
        return "-"
    if not short or number < 10 * _THOUSAND:
        return f"{number:,}"
    return f"{number / _THOUSAND:.0f}k" if number < _MILLION else f"{number / _MILLION:.1f}M"


def _causes(verdict: Verdict, width: int) -> Iterator[str]:
    """Below the table: the model, each broken rule, what it's worth knowing, the cures, what wasn't looked at."""
    texts = [*_texts(verdict)]
    if not texts:
        return
    yield ""
    yield f"{verdict.name or verdict.model}: {verdict.outcome.shown}"
    for text in texts:
        yield from _wrapped(text, width)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent="  ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )


def _texts(verdict: Verdict) -> Iterator[str]:
    for rule in for_people(verdict.broken):
        yield _said(rule, with_cure=not verdict.cures)  # else each of the cures is enough
    for rule in verdict.warnings:
        yield f"Warning: {_said(rule)}"
    for index, cure in enumerate(verdict.cures):
        yield f"{'Cure' if index == 0 else 'Or'}: {cure}"
    if verdict.unchecked:
        yield f"Not checked: {'; '.join(verdict.unchecked)}."


def _said(rule: Rule, *, with_cure: bool = True) -> str:
    """The memory rule's cure is the first of the cures, which are listed on their own."""
    cure = f" Cure: {rule.cure}" if with_cure and rule.cure and rule.rule != "memory" else ""
    return f"{rule.message}{cure} [{rule.rule}]"


def verdict_markdown(verdicts: Sequence[Verdict]) -> str:
    """The same for a comment on a pull request."""
    lines = ["### Will it start?", "", f"| {' | '.join(_HEAD)} |", "|---|---|---|" + "---:|" * (len(_HEAD) - 3)]
    for verdict in verdicts:
        name, gpu, outcome, *numbers = _cells(verdict)
        lines.append(f"| {' | '.join((_code(name), gpu, f'**{outcome}**', *numbers))} |")
    lines += ["", "Sizes in GiB of one GPU."]
    for verdict in verdicts:
        texts = [*_texts(verdict)]
        if texts:
            lines += ["", f"**{_code(verdict.name or verdict.model)}: {verdict.outcome.shown}**", ""]
            lines += [f"- {text}" for text in texts]
    return "\n".join(lines) + "\n"


def _code(text: str) -> str:
    return f"`{text}`"
