"""A matrix as a terminal shows it: a card a row, a quantization a column, each cell with the largest length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli import console
from serving.rules import Rule
from serving.rules_shown import for_people
from serving.verdict import Verdict

from .matrix import Matrix, length_that_starts
from .report import STYLES, apart

_GAP = 2  # columns between columns
_OF_MEMORY = {"memory", "loading"}  # rules


def show(matrices: Sequence[Matrix]) -> None:
    """All of them on stdout."""
    console.show(lambda width: Group(*apart(Group(*_pieces(matrix, width)) for matrix in matrices)))


def _pieces(matrix: Matrix, width: int) -> Iterator[RenderableType]:
    yield Text(matrix.repo.repo_id, "bold")
    yield grid(matrix, width)
    yield from (Text(note, "dim") for note in notes(matrix))


def grid(matrix: Matrix, width: int) -> Table:
    """The table; cells have two lines where the terminal is narrow."""
    cells = [[_cell(verdict, " ") for verdict in row.verdicts] for row in matrix.rows]
    widths = [
        max(map(len, (way.title, *column))) for way, column in zip(matrix.ways, zip(*cells, strict=True), strict=True)
    ]
    in_one_line = max(len(row.card) for row in matrix.rows) + sum(_GAP + each for each in widths) <= width
    table = Table(box=None, padding=(0, _GAP, 0, 0), show_edge=False, header_style="bold")
    table.add_column("GPU", no_wrap=True)
    for way in matrix.ways:
        table.add_column(way.title, no_wrap=True)
    for row in matrix.rows:
        table.add_row(row.card, *(_cell(verdict, " " if in_one_line else "\n") for verdict in row.verdicts))
    return table


def _cell(verdict: Verdict, gap: str) -> Text:
    text = Text(verdict.outcome.shown, STYLES[verdict.outcome])
    if length := length_that_starts(verdict):
        text.append(f"{gap}≤{length:,}", "not bold")
    return text


def notes(matrix: Matrix) -> Iterator[str]:
    """What the columns and numbers are, and which rules keep cells from starting, whatever the length."""
    lengths = {verdict.max_model_len for row in matrix.rows for verdict in row.verdicts} - {None}
    asked = f"max_model_len {max(filter(None, lengths)):,}; " if len(lengths) == 1 else ""
    yield f"{asked}≤ is the largest max_model_len that starts."
    repos: dict[str, list[str]] = {}
    for way in matrix.ways:
        repos.setdefault(way.repo.repo_id, []).append(way.title)
    for repo, titles in repos.items():
        if repo != matrix.repo.repo_id:
            yield f"{', '.join(titles)}: {repo}"
    every = ", ".join(way.title for way in matrix.ways)
    first = dict[str, Rule]()
    for rule, places in _broken(matrix, first).items():
        told = first[rule]
        if len(places.get(every, ())) == len(matrix.rows):
            yield f"{told.message} {told.cure}".rstrip()
        else:
            where = "; ".join(f"{titles} on {', '.join(cards)}" for titles, cards in places.items())
            yield f"{told.message.rstrip('.')} (so it is for {where})."


def _broken(matrix: Matrix, first: dict[str, Rule]) -> dict[str, dict[str, list[str]]]:
    """Rule -> columns -> cards; without those of memory, which are what the table itself is about.

    `first` takes each rule as it is said of the first cell.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for row in matrix.rows:
        columns: dict[str, list[str]] = {}
        for way, verdict in zip(matrix.ways, row.verdicts, strict=True):
            for rule in for_people(rule for rule in verdict.broken if rule.rule not in _OF_MEMORY):
                first.setdefault(rule.rule, rule)
                titles = columns.setdefault(rule.rule, [])
                if way.title not in titles:
                    titles.append(way.title)
        for name, titles in columns.items():
            found.setdefault(name, {}).setdefault(", ".join(titles), []).append(row.card)
    return found
