"""A batch session ends with its command: exit 0 is SUCCESS, anything else FAILURE, and its output stays readable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest

from backendai import sessions

from .beds import A_MOMENT, STARTING, Bed, Place, until


class Case(NamedTuple):
    command: str
    result: str
    why: str
    log: str  # that it contains; "" for an empty one
    more: dict[str, Any] = {}  # noqa: RUF012


CASES = {
    "exit 0": Case("echo out; echo err >&2", "SUCCESS", "task-finished", "out\nerr\n"),
    "exit 3": Case("echo no; exit 3", "FAILURE", "task-failed", "no\n"),
    "not found": Case("exec no-such-program", "FAILURE", "task-failed", "no-such-program"),
    "killed": Case("echo soon; kill -9 $$", "FAILURE", "task-failed", "soon\n"),
    "output held": Case("(sleep 1; echo late) & exit 0", "SUCCESS", "task-finished", "late\n"),
    "silent": Case("true", "SUCCESS", "task-finished", ""),
    "too long": Case("echo begun; sleep 600", "FAILURE", "task-timeout", "begun\n", {"batch_timeout": "3s"}),
}


@dataclass(frozen=True)
class Ended:
    id: str
    name: str
    result: str
    status: str


@pytest.fixture(scope="module")
def kept(place: Place) -> dict[str, Ended]:
    return {}


@pytest.fixture
async def ended(bed: Bed, kept: dict[str, Ended]) -> dict[str, Ended]:
    """All cases have run, side by side, once for all tests."""
    if kept:
        return kept
    ids = {}
    for label, case in CASES.items():
        made = await bed.create(label.replace(" ", "-"), startupCommand=A_MOMENT + case.command, **case.more)
        ids[label] = made.id
    async with bed.light() as api:
        for label, session_id in ids.items():
            state = await bed.ended(api, session_id)
            kept[label] = Ended(session_id, state.name, state.result, state.status)
    return kept


@pytest.mark.parametrize("label", CASES)
async def test_the_result_says_how_the_command_ended(label: str, ended: dict[str, Ended], bed: Bed) -> None:
    session = ended[label]
    assert (session.status, session.result) == ("TERMINATED", CASES[label].result)
    async with bed.light() as api:
        why = await sessions.why_ended(api, session.id)
    assert why == f"{CASES[label].why} (result {session.result})"


@pytest.mark.parametrize("label", CASES)
async def test_the_log_stays_readable_by_id(label: str, ended: dict[str, Ended], bed: Bed) -> None:
    text = CASES[label].log
    async with bed.light() as api:
        if text:
            log = await bed.logged(api, ended[label].id, text)
        else:
            log = await sessions.logs(api, ended[label].id)
            assert log == ""
    v1 = await bed.ask("GET", f"/session/{ended[label].id}/logs")
    assert v1.body == {"result": {"logs": log}}


async def test_a_session_that_has_lived_as_long_as_it_may_is_ended(bed: Bed) -> None:
    async with bed.light() as api:
        state = await bed.ran(api, "short-lived", "sleep 600", max_lifetime=3.0)
        assert state.result == "FAILURE"
        assert await sessions.why_ended(api, state.id) == "task-timeout (result FAILURE)"


async def test_the_log_is_not_readable_by_name(ended: dict[str, Ended], bed: Bed) -> None:
    answer = await bed.ask("GET", f"/session/{ended['exit 0'].name}/logs")
    assert answer.problem == (404, "session_read_not-found")
    assert answer.body["title"] == "Entity not found."


async def test_the_log_grows_while_the_command_runs(bed: Bed) -> None:
    async with bed.light() as api:
        session_id = await bed.started(api, "talks", "while :; do echo out; echo err >&2; sleep 0.2; done")
        first = await bed.logged(api, session_id, "out\nerr\n")
        more = await bed.logged(api, session_id, first + "out\nerr\n")
        assert more.startswith(first)
        by_name = await bed.ask("GET", f"/session/{bed.name('talks')}/logs")
        assert by_name.body["result"]["logs"].startswith(more)


@pytest.mark.usefixtures("limited_alone")
async def test_no_log_of_what_never_had_an_agent(bed: Bed) -> None:
    """Not an empty one: a problem of its own, while it waits and when it was cancelled."""
    made = await bed.create("waiting", bed.limited, resources={"cpu": "3", "mem": "256m"})
    async with bed.light(bed.limited) as api:
        for _ in range(2):
            for path in (f"/session/{made.id}/logs", f"/v2/sessions/{made.id}/logs"):
                answer = await bed.ask("GET", path, who=bed.limited)
                assert answer.problem == (404, "agent_read_not-found")
            assert await sessions.logs(api, made.id) == ""
            await sessions.destroy(api, made.id)


async def test_no_log_while_the_container_is_made(bed: Bed) -> None:
    made = await bed.create("slow", environ={"BAI_FAULT_CREATE_DELAY": "5"})
    async with bed.light() as api:
        await bed.until(api, made.id, *STARTING)

        async def refused() -> bool:
            answer = await bed.ask("GET", f"/v2/sessions/{made.id}/logs")
            return answer.problem == (500, "backendai_generic_internal-error")

        await until(refused)
        assert await sessions.logs(api, made.id) == ""
