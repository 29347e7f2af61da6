"""A frame of `bai-vllm monitor`: models with bars, what is free on the cluster, what has happened last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.listing.table import figures, fitted, label, notes, state
from cli.stack import Stack

from .seen import Event, Seen, totals

_WIDE = 120
_BAR, _WIDE_BAR = 10, 16  # cells
_GIB = 1024**3
_EVENTS = 8
_FULL, _HIGH = 0.9, 0.7  # shares from which on a bar is red, or yellow
_DAYS_AGO = "%m-%d %H:%M:%S"


def frame(seen: Seen, stack: Stack, endpoint: str, width: int, *, hint: str = "") -> RenderableType:
    """All of it."""
    sums = totals(seen.rows)
    head = Table.grid(expand=True)
    head.add_column(no_wrap=True, overflow="ellipsis")
    head.add_column(justify="right", no_wrap=True)
    title = Text.assemble(("stack ", "dim"), (stack.name, "bold"), ("  on ", "dim"), endpoint)
    head.add_row(title, Text(f"{seen.at:%H:%M:%S}{hint}", "dim"))
    told = (
        f"{sums['sessions']:g} living sessions, {sums['gpus']:g} GPUs held, "
        f"{sums['running']:g} requests running, {sums['waiting']:g} waiting"
    )
    pieces: list[RenderableType] = [head, Text(told), "", _models(seen, width)]
    if any(row.deployed is None and row.session for row in seen.rows):
        pieces.append(Text("* of another stack, or left behind: `bai-vllm orphans` tells", "dim"))
    pieces += [Text(f"not known: {what}", "yellow") for what in seen.unknown]
    pieces += ["", _rooms(seen, width)]
    if seen.events:
        pieces += ["", _events(seen.events[:_EVENTS], width)]
    if problems := list(notes(seen.rows)):  # last: a low terminal cuts them off, and `list` says them, too
        pieces += ["", *problems]
    return Group(*pieces)


def _models(seen: Seen, width: int) -> RenderableType:
    if not seen.rows:
        return Text("no models")
    wide = width >= _WIDE
    titles = ["MODEL", "STATE", "AGE", "GPUS", "RUN", "WAIT", "KV CACHE", *(("SESSION", "SERVES") if wide else ())]
    lines: list[list[str | Text]] = []
    for row in seen.rows:
        *counts, _use = figures(row)
        use = row.load.kv_use if row.load else None
        kv = Text("–") if use is None else bar(use, _WIDE_BAR if wide else _BAR).append(f" {use:4.0%}")
        mark = "" if row.deployed or row.session is None else "* "
        more = (row.session_name or "–", row.hub_model or "–") if wide else ()
        lines.append([mark + label(row, seen.rows), state(row), *counts, kv, *more])
    return fitted(titles, lines, width, right=range(2, 6), elastic=(7, 8, 0) if wide else (0,))


def bar(share: float, cells: int) -> Text:
    """`███·······` in the colour of how full it is."""
    share = min(1.0, max(0.0, share))
    full = round(share * cells)
    style = "red" if share >= _FULL else "yellow" if share >= _HIGH else "green"
    return Text.assemble(("█" * full, style), ("·" * (cells - full), "dim"))


def _rooms(seen: Seen, width: int) -> Table:
    """What of each slot is taken, and what this key pair may still have."""
    cells = _WIDE_BAR if width >= _WIDE else _BAR
    lines: list[list[str | Text]] = []
    for room in seen.rooms:
        name = room.resource_group
        for slot in sorted(room.free, key=lambda slot: (slot in ("cpu", "mem"), slot)):
            free, used = room.free[slot], room.used.get(slot, Decimal(0))
            if not (total := free + used):
                continue
            left = room.quota_left.get(slot)
            taken = bar(float(used / total), cells).append(f" {_amount(slot, used)} of {_amount(slot, total)}")
            lines.append([name, slot, taken, _amount(slot, free), "–" if left is None else _amount(slot, left)])
            name = ""
        if name:
            lines.append([name, "–", "the cluster doesn't say it", "–", "–"])
    titles = ("RESOURCE GROUP", "SLOT", "TAKEN", "FREE", "QUOTA LEFT")
    return fitted(titles, lines, width, right=(3, 4), elastic=(0, 1))


def _amount(slot: str, amount: Decimal) -> str:
    return f"{float(amount / _GIB):.0f} GiB" if slot == "mem" else f"{float(amount):g}"


def _events(events: Sequence[Event], width: int) -> Table:
    lines = [(Text(when, "dim"), event.name, event.what) for when, event in _timed(events)]
    return fitted(("LAST EVENTS", "SESSION", "WHAT"), lines, width, elastic=(2, 1))


def _timed(events: Sequence[Event]) -> Iterator[tuple[str, Event]]:
    from datetime import datetime

    today = datetime.now().astimezone().date()
    for event in events:
        yield event.at.strftime("%H:%M:%S" if event.at.date() == today else _DAYS_AGO), event
