"""A name can be changed while the session runs; a tag can't, although the answer looks like it."""

from __future__ import annotations

import pytest

from backendai import errors, sessions

from .beds import Bed


async def test_a_running_session_gets_another_name_and_keeps_its_tag(bed: Bed) -> None:
    async with bed.light() as api:
        session_id = await bed.started(api, "old")
        await sessions.rename(api, session_id, bed.name("new"))
        answer = await bed.ask("PATCH", f"/v2/sessions/{session_id}", {"tag": "another"})
        assert (answer.status, answer.body["session"]["metadata"]["tag"]) == (200, bed.spec("old").tag)
        state = await sessions.read(api, session_id)
        assert (state.name, state.tag) == (bed.name("new"), bed.spec("old").tag)
        assert await sessions.find_living(api, bed.name("old")) is None
        other = await sessions.ensure(api, bed.spec("old"))
        taken = await bed.ask("PATCH", f"/v2/sessions/{session_id}", {"name": bed.name("old")})
        assert taken.problem == (400, "session_create_already-exists")
        assert other != session_id


async def test_only_a_running_session_gets_another_name(bed: Bed) -> None:
    async with bed.light() as api:
        session_id = await sessions.ensure(api, bed.spec("early", environ={"BAI_FAULT_CREATE_DELAY": "20"}))
        answer = await bed.ask("PATCH", f"/v2/sessions/{session_id}", {"name": bed.name("new")})
        assert answer.problem == (400, "api_generic_invalid-parameters")
        with pytest.raises(errors.InvalidRequest, match="running session only"):
            await sessions.rename(api, session_id, bed.name("new"))
        assert (await sessions.read(api, session_id)).name == bed.name("early")


@pytest.mark.parametrize("change", [{"name": ""}, {"name": "x" * 65}, {"tag": "x" * 65}], ids=str)
async def test_what_is_no_name(change: dict[str, str], bed: Bed) -> None:
    made = await bed.create("plain")
    answer = await bed.ask("PATCH", f"/v2/sessions/{made.id}", change)
    assert answer.problem == (400, "api_parsing_invalid-parameters")
