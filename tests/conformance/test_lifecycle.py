"""A session walks one way through statuses that the door knows, and says when it began, ran and ended."""

from __future__ import annotations

import itertools
from datetime import datetime
from typing import Any

from backendai import Stage, sessions
from backendai.statuses import STAGES

from .beds import Bed

WAY = ["PENDING", "SCHEDULED", "PREPARING", "PULLING", "PREPARED", "CREATING", "RUNNING", "TERMINATING", "TERMINATED"]


async def test_the_way_to_running_and_to_the_end(bed: Bed) -> None:
    async with bed.api() as api:
        session_id = await sessions.ensure(api, bed.spec("walk"))
        seen = await bed.until(api, session_id, "RUNNING")
        running = await sessions.read(api, session_id)
        assert (running.result, running.stage) == ("UNDEFINED", Stage.RUNNING)
        await api.call("DELETE", f"/session/{session_id}")
        seen += await bed.until(api, session_id, "TERMINATED")
        assert sorted(seen, key=WAY.index) == seen, "never back"
        assert len(seen) == len(set(seen)) and set(seen) <= set(STAGES)
        ended = await sessions.read(api, session_id)
        assert (ended.result, ended.ended) == ("UNDEFINED", True)
        assert await sessions.why_ended(api, session_id) == "user-requested"
        lifecycle = (await api.call("GET", f"/v2/sessions/{session_id}"))["lifecycle"]
    moments = [datetime.fromisoformat(lifecycle[name]) for name in ("created_at", "starts_at", "terminated_at")]
    assert all(earlier <= later for earlier, later in itertools.pairwise(moments)), moments
    assert moments[0] == ended.created_at


async def test_what_a_create_answers(bed: Bed) -> None:
    made = await bed.create("new")
    assert made.answer.body == {
        "sessionId": made.id,
        "sessionName": bed.name("new"),
        "status": "PENDING",
        "servicePorts": [],
        "created": True,
    }


async def test_a_create_that_waits_answers_when_it_runs(bed: Bed) -> None:
    made = await bed.create("waits", enqueueOnly=False)
    assert made.answer.body["status"] == "RUNNING"


async def test_a_create_that_waits_too_short_leaves_the_session(bed: Bed) -> None:
    made = await bed.create("hurried", enqueueOnly=False, maxWaitSeconds=1, environ={"BAI_FAULT_CREATE_DELAY": "5"})
    assert made.answer.body["status"] == "TIMEOUT"
    async with bed.api() as api:
        await bed.until(api, made.id, "RUNNING")


async def test_a_session_that_cannot_be_created_ends_without_a_result(bed: Bed) -> None:
    async with bed.api() as api:
        spec = bed.spec("broken", environ={"BAI_FAULT_CREATE_FAIL": "no space left on device"})
        session_id = await sessions.ensure(api, spec)
        ended = await bed.ended(api, session_id)
        assert (ended.status, ended.result) == ("TERMINATED", "UNDEFINED")
        assert await sessions.why_ended(api, session_id) == "failed-to-create"
        row: Any = await bed.row(session_id)
        assert row["status_info"] is None


async def test_an_interactive_session_ignores_its_command(bed: Bed) -> None:
    made = await bed.create("interactive", type="interactive", startupCommand="echo never; exit 3")
    async with bed.api() as api:
        await bed.until(api, made.id, "RUNNING")
        assert await sessions.logs(api, made.id) == ""
        assert (await sessions.read(api, made.id)).status == "RUNNING"
