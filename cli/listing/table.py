"""`bai-vllm list` as a terminal shows it: a line a session, and below them what is wrong."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.cluster import ABSENT, ENDED, GONE, LOADING, SERVING, SILENT, Row
from cli.stack import Stack

_GAP, _NARROWEST = 2, 8  # columns between two, and what is left of one that gives way
_NARROW = 76
_WIDE = 120  # columns from which on session and address have a column each
STYLES = {
    SERVING: "green",
    LOADING: "yellow",
    SILENT: "bold red",
    ENDED: "bold red",
    GONE: "bold red",
    "broken": "bold red",
    ABSENT: "dim",
}
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def page(stack: Stack, endpoint: str, rows: Sequence[Row], width: int) -> RenderableType:
    """All of it."""
    own = [row for row in rows if row.deployed or row.session is None]
    others = [row for row in rows if not (row.deployed or row.session is None)]
    pieces: list[RenderableType] = [Text.assemble(("stack ", "dim"), (stack.name, "bold"), ("  on ", "dim"), endpoint)]
    pieces += ["", table(own, width) if own else Text("no models: the stack file names none, or none is deployed")]
    if others:
        title = "other sessions of this key pair, of other stacks or left behind (`bai-vllm orphans` tells)"
        pieces += ["", Text(title, "dim"), table(others, width)]
    problems = list(notes(rows))
    return Group(*pieces, *(["", *problems] if problems else []))


def table(rows: Sequence[Row], width: int) -> Table:
    """Without lines: a terminal has few columns, and a narrow one no room for how and where it is reached."""
    wide, narrow = width >= _WIDE, width < _NARROW
    where = () if narrow else ("ENDPOINT" if wide else "VIA", "SESSION")
    lines: list[list[str | Text]] = []
    for row in rows:
        reached = () if narrow else (_endpoint(row, wide), row.session_name or "–")
        lines.append([label(row, rows), state(row), *figures(row), *reached])
    titles = ("MODEL", "STATE", "AGE", "GPUS", "RUN", "WAIT", "KV", *where)
    return fitted(titles, lines, width, right=range(2, 7), elastic=(0,) if narrow else (8, 0, 7))


def fitted(
    titles: Sequence[str],
    lines: Sequence[Sequence[str | Text]],
    width: int,
    *,
    right: Iterable[int] = (),
    elastic: Sequence[int],
) -> Table:
    """A table in which only the `elastic` columns give way, the widest of them first: a figure is never cut."""
    widths = [max(cell_len(str(line[i])) for line in ((titles), *lines)) for i in range(len(titles))]
    room = width - sum(widths) - _GAP * len(widths)  # rich gives the last one its gap, too
    while room < 0 and any(widths[i] > _NARROWEST for i in elastic):
        widest = max(elastic, key=lambda i: widths[i])
        widths[widest] -= 1
        room += 1
    made = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
    for index, title in enumerate(titles):
        justify: Literal["right", "left"] = "right" if index in right else "left"
        made.add_column(title, no_wrap=True, overflow="ellipsis", width=widths[index], justify=justify)
    for line in lines:
        made.add_row(*line)
    return made


def label(row: Row, rows: Iterable[Row]) -> str:
    """The model, with the replica's number where it has several; of another stack's session what it serves."""
    if row.deployed is None:
        return row.hub_model.rpartition("/")[2] or row.model
    several = sum(other.model == row.model for other in rows if other.deployed) > 1
    return row.deployed.resource if several else row.model


def named(row: Row, rows: Iterable[Row]) -> str:
    """As it can be typed."""
    return label(row, rows) if row.deployed else row.model


def figures(row: Row) -> tuple[str, str, str, str, str]:
    """Age, GPUs, running, waiting, use of the KV cache."""
    load = row.load
    use = f"{load.kv_use:.0%}" if load and load.kv_use is not None else "–"
    counts = (str(load.running), str(load.waiting)) if load else ("–", "–")
    return span(row.age()), "–" if row.gpus is None else f"{row.gpus:g}", *counts, use


def span(seconds: float | None) -> str:
    """`12s`, `4m`, `3h10m`, `2d4h`."""
    if seconds is None:
        return "–"
    total = int(seconds)
    if total < _MINUTE:
        return f"{total}s"
    if total < _HOUR:
        return f"{total // _MINUTE}m"
    if total < _DAY:
        return f"{total // _HOUR}h{total % _HOUR // _MINUTE:02}m"
    return f"{total // _DAY}d{total % _DAY // _HOUR}h"


def state(row: Row) -> Text:
    return Text(row.state, STYLES.get(row.state, "yellow" if row.ok else "bold red"))


def _endpoint(row: Row, wide: bool) -> str:
    if row.deployed is None or row.deployed.via is None:
        return "–"
    if not wide or row.deployed.via == "tunnel":
        return row.deployed.via
    return row.deployed.url or row.deployed.via


def notes(rows: Sequence[Row]) -> Iterator[RenderableType]:
    """What is wrong with its cure, and how far the others are; the same for several is said once."""
    said: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.detail:
            said.setdefault((row.state, row.detail, row.cure), []).append(named(row, rows))
    for (word, detail, cure), names in said.items():
        made = Table.grid(padding=(0, 1))
        made.add_column(no_wrap=True)
        made.add_column()
        mark = Text("✗", "bold red") if cure and word != ABSENT else Text("·", "yellow")
        made.add_row(mark, Text.assemble((f"{', '.join(names)}: ", "bold"), detail))
        if cure:
            made.add_row("", Text.assemble(("cure: ", "green"), cure))
        yield made
