"""Whatever state a session is in, it can be told to end, any number of times, and then its slots are free."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from backendai import sessions

from .beds import STARTING, Bed
from .raw import Answer

SLOW_START, SLOW_END = {"BAI_FAULT_CREATE_DELAY": "20"}, {"BAI_FAULT_DESTROY_DELAY": "2"}


async def told(bed: Bed, session_id: str, **options: Any) -> Answer:
    return await bed.ask("DELETE", f"/session/{session_id}?forced=true", **options)


def stats(answer: Answer) -> Any:
    assert answer.status == 200, answer
    return answer.body["stats"]


@pytest.mark.usefixtures("limited_alone")
@pytest.mark.parametrize("forced", [False, True])
async def test_pending(forced: bool, bed: Bed) -> None:
    made = await bed.create("waiting", bed.limited, resources={"cpu": "3", "mem": "256m"})
    path = f"/session/{made.id}" + ("?forced=true" if forced else "")
    assert stats(await bed.ask("DELETE", path, who=bed.limited)) == {"status": "cancelled"}
    async with bed.light(bed.limited) as api:
        assert (await bed.ended(api, made.id)).status == "CANCELLED"
        assert await sessions.why_ended(api, made.id) == ("force-terminated" if forced else "user-requested")
    assert stats(await told(bed, made.id, who=bed.limited)) == {}


async def test_starting(bed: Bed) -> None:
    made = await bed.create("starting", environ=SLOW_START)
    async with bed.light() as api:
        await bed.until(api, made.id, *STARTING)
        assert stats(await told(bed, made.id)) == {"status": "terminated"}
        assert (await bed.ended(api, made.id)).status == "TERMINATED"


async def test_running(bed: Bed) -> None:
    async with bed.light() as api:
        session_id = await bed.started(api, "running")
        assert stats(await bed.ask("DELETE", f"/session/{bed.name('running')}")) == {"status": "terminated"}
        assert (await bed.ended(api, session_id)).status == "TERMINATED"
        assert await sessions.why_ended(api, session_id) == "user-requested"


async def test_terminating(bed: Bed) -> None:
    async with bed.light() as api:
        session_id = await bed.started(api, "ending", environ=SLOW_END)
        path = f"/session/{session_id}"
        assert stats(await bed.ask("DELETE", path)) == {"status": "terminated"}
        await bed.until(api, session_id, "TERMINATING")
        assert stats(await bed.ask("DELETE", path)) == {}
        assert (await bed.ended(api, session_id)).status == "TERMINATED"


async def test_terminated(bed: Bed) -> None:
    async with bed.light() as api:
        session_id = (await bed.ran(api, "over", "exit 0")).id
        for _ in range(2):
            assert stats(await told(bed, session_id)) == {}
        assert (await sessions.read(api, session_id)).result == "SUCCESS", "what it was stays"
        await sessions.destroy(api, session_id)


async def test_unknown(bed: Bed) -> None:
    unknown = str(uuid.uuid4())
    assert (await told(bed, unknown)).problem == (404, "session_read_not-found")
    async with bed.light() as api:
        await sessions.destroy(api, unknown)


async def test_destroy_waits_until_it_has_ended(bed: Bed) -> None:
    async with bed.light() as api:
        session_id = await bed.started(api, "whole", environ=SLOW_END)
        await sessions.destroy(api, session_id)
        assert (await sessions.read(api, session_id)).ended
        row = await bed.row(session_id)
        assert row["occupied_slots"] == "{}"


async def test_the_process_is_asked_first(bed: Bed) -> None:
    """SIGTERM, and what the command prints then is in the log."""
    async with bed.light() as api:
        command = "trap 'echo asked; exit 0' TERM; echo ready; while :; do sleep 0.1; done"
        session_id = await bed.started(api, "polite", command)
        await bed.logged(api, session_id, "ready")
        await bed.ask("DELETE", f"/session/{session_id}")
        ended = await bed.ended(api, session_id)
        await bed.logged(api, session_id, "asked")
        assert ended.result == "UNDEFINED"
