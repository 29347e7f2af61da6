"""The event stream tells each step in order, from now on only, and to nobody whose session it isn't.

That holds for a session's own steps.  Those of its kernels come from an agent, some of them at once: under load a real
control plane has told kernel_terminated twice, and kernel_creating before kernel_preparing.  Listeners must bear it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import aiohttp

from .beds import A_MOMENT, Bed
from .raw import Keys, signed

# What is told of a session whose command exits with 3.
ORDER = [
    "session_pending",
    "session_scheduled",
    "session_preparing",
    "session_prepared",
    "kernel_preparing",
    "kernel_creating",
    "kernel_started",
    "session_creating",
    "session_started",
    "session_failure",
    "session_terminating",
    "kernel_terminated",
    "session_terminated",
]
LONG_ENOUGH = 60.0  # seconds


class Event(NamedTuple):
    name: str
    data: dict[str, Any]


@contextlib.asynccontextmanager
async def listening(bed: Bed, who: Keys, query: str = "scope=*") -> AsyncIterator[AsyncIterator[Event]]:
    """The stream of events from here on."""
    path = f"/events/session?{query}"
    timeout = aiohttp.ClientTimeout(total=LONG_ENOUGH)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.get(bed.endpoint + path, headers=signed(bed.endpoint, who, "GET", path)) as answer,
    ):
        assert (answer.status, answer.content_type) == (200, "text/event-stream")

        async def events() -> AsyncIterator[Event]:
            name = ""
            async for line in answer.content:
                field, _, value = line.decode().strip().partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield Event(name, json.loads(value))

        yield events()


async def test_the_steps_of_a_session(bed: Bed) -> None:
    async with bed.api() as api:
        before = await bed.started(api, "before")
    async with listening(bed, bed.admin) as events:
        made = await bed.create("walk", startupCommand=A_MOMENT + "exit 3")
        told = []
        async for event in events:
            assert event.data.get("sessionId") != before, "nothing is told again"
            if event.data.get("sessionId") != made.id:
                continue
            told.append(event)
            if event.name == "session_terminated":
                break
    names = [event.name for event in told]
    if bed.kind == "cluster":
        own, steps = "session_", list(dict.fromkeys(names))
        assert sorted(steps) == sorted(ORDER)
        assert [n for n in names if n.startswith(own)] == [n for n in ORDER if n.startswith(own)]
        assert steps.index("kernel_started") < steps.index("kernel_terminated")
    else:
        assert names == ORDER
    for event in told:
        assert (event.data["sessionName"], event.data["ownerAccessKey"]) == (bed.name("walk"), bed.admin.access_key)
        assert ("kernelId" in event.data) == event.name.startswith("kernel_")
    reasons = {event.name: event.data["reason"] for event in told}
    assert (reasons["session_failure"], reasons["session_terminating"]) == ("task-failed", "task-failed")


async def test_a_users_stream_has_nothing_of_others(bed: Bed) -> None:
    async with listening(bed, bed.limited) as theirs, listening(bed, bed.admin) as events:
        made = await bed.create("mine", startupCommand=A_MOMENT + "exit 0")
        async for event in events:
            if event.data.get("sessionId") == made.id and event.name == "session_terminated":
                break
        heard: list[Event] = []

        async def hear() -> None:
            async for event in theirs:
                heard.append(event)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await hear()
    assert [event for event in heard if event.data.get("sessionId") == made.id] == []
