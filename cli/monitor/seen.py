"""What one look has found: models, what the resource groups have free, what has happened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from cli.cluster import Observer, Row
from cli.stack import Stack

if TYPE_CHECKING:
    from backendai.listing import ListedSession, Room

KEPT = 50  # events


class Event(NamedTuple):
    """One thing that has happened, and when."""

    at: datetime
    name: str
    what: str


@dataclass(frozen=True)
class Seen:
    """All of one look.  `unknown`: what couldn't be asked."""

    at: datetime
    rows: Sequence[Row] = ()
    rooms: Sequence[Room] = ()
    events: Sequence[Event] = ()
    unknown: Sequence[str] = ()


class Watcher:
    """Looks again and again, and remembers what has changed in between."""

    def __init__(self, observer: Observer, stack: Stack) -> None:
        self.observer, self.stack = observer, stack
        self._states: dict[str, str] = {}
        self._changes: list[Event] = []
        self._ended: dict[str, ListedSession] = {}

    async def look(self, sessions: Sequence[ListedSession] | None = None) -> Seen:
        """Never raises for a cluster that doesn't answer now: the frame says so."""
        from backendai import errors

        now, unknown = datetime.now().astimezone(), list[str]()
        rooms = asyncio.ensure_future(self._rooms(unknown))
        ended = asyncio.ensure_future(self._newly_ended(unknown))
        try:
            rows = await self.observer.look(self.stack, sessions)
        except errors.ClusterError as error:
            rows = []
            unknown.append(error.what)
        await asyncio.gather(rooms, ended)
        self._compare(rows, now)
        events = sorted([*self._changes, *lifetimes([*_sessions(rows), *self._ended.values()])], reverse=True)
        return Seen(now, rows, rooms.result(), events[:KEPT], tuple(dict.fromkeys(unknown)))

    def _compare(self, rows: Iterable[Row], now: datetime) -> None:
        """What a session's own times don't tell: a server that begins or ceases to answer."""
        states = {row.session_id: row for row in rows if row.session_id}
        for session_id, row in states.items():
            before = self._states.get(session_id)
            if before is not None and before != row.state:
                self._changes.append(Event(now, row.session_name, f"{before} → {row.state}"))
        self._states |= {session_id: row.state for session_id, row in states.items()}
        del self._changes[:-KEPT]

    async def _rooms(self, unknown: list[str]) -> list[Room]:
        from backendai import errors
        from backendai.listing import room

        groups = {row.resource_group for row in self.stack.models}
        groups.add(str(self.stack.cluster_settings.get("resource_group") or "default"))
        found: list[Room] = []
        for group in sorted(groups):
            try:
                found.append(await room(self.observer.reader, self.stack.project, group))
            except errors.ClusterError as error:
                unknown.append(f"resource group {group}: {error.what}")
        return found

    async def _newly_ended(self, unknown: list[str]) -> None:
        from backendai import errors
        from backendai.listing import ended_sessions

        try:
            ended = await ended_sessions(self.observer.reader)
        except errors.ClusterError as error:
            unknown.append(error.what)
        else:
            self._ended = {session.id: session for session in ended}


def _sessions(rows: Iterable[Row]) -> Iterator[ListedSession]:
    return (row.session for row in rows if row.session is not None)


def lifetimes(sessions: Iterable[ListedSession]) -> list[Event]:
    """What the times of sessions tell."""
    events: dict[tuple[str, str], Event] = {}
    for session in sessions:
        created = session.created_at.astimezone()
        events[session.id, "created"] = Event(created, session.name, "created")
        if session.ended_at:
            result = f", result {session.result.lower()}" if session.result in ("SUCCESS", "FAILURE") else ""
            what = f"{session.status.lower()}{result}"
            events[session.id, "ended"] = Event(session.ended_at.astimezone(), session.name, what)
    return list(events.values())


def totals(rows: Iterable[Row]) -> Mapping[str, float]:
    """Of all servers together: running, waiting; living sessions, and the GPUs that they hold."""
    rows = [row for row in rows if row.session is not None and not row.session.ended]
    return {
        "sessions": len(rows),
        "gpus": sum(row.gpus or 0.0 for row in rows if row.session and row.session.stage.value != "queued"),
        "running": sum(row.load.running for row in rows if row.load),
        "waiting": sum(row.load.waiting for row in rows if row.load),
    }
