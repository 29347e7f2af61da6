"""The invariant: an answer that isn't Backend.AI's is told as that, followed nowhere and never taken for success."""

from __future__ import annotations

import pytest

from backendai import Api, Connection, errors, sessions
from backendai.light import LightApi
from backendai.listing import list_sessions
from emulator import Emulator
from tests.conftest import ADMIN
from tests.emulator.test_cancel_lost import SPEC

SSO = {"action": "status", "status": 302, "headers": {"Location": "https://login.example.com/sso?token=secret"}}
KINDS = [Api, LightApi]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", ["{}", "[]", '{"items": [{}]}', '{"items": [{"metadata": {}}]}'])
async def test_another_form(kind: type[Api], body: str, emulator: Emulator) -> None:
    emulator.faults.add(action="status", status=200, body=body, times=-1)
    async with kind(Connection(emulator.endpoint, *ADMIN)) as api:
        for asked in (sessions.find_living(api, "x"), sessions.read(api, "x"), list_sessions(api)):
            with pytest.raises(errors.ServerFault, match="an answer of an unexpected form"):
                await asked


@pytest.mark.parametrize("kind", KINDS)
async def test_a_redirect_is_not_followed(kind: type[Api], emulator: Emulator) -> None:
    async with Api(Connection(emulator.endpoint, *ADMIN)) as api:
        made = await sessions.ensure(api, SPEC)
    emulator.faults.add(**SSO, method="DELETE", times=-1)
    async with kind(Connection(emulator.endpoint, *ADMIN)) as api:
        with pytest.raises(
            errors.InvalidConnection, match=r"to https://login\.example\.com/sso \(status 302\)"
        ) as caught:
            await sessions.destroy(api, made)
    assert "secret" not in str(caught.value)
    assert not emulator.cluster.sessions[made].terminal


async def test_a_create_that_is_answered_in_another_form_finds_its_session(emulator: Emulator) -> None:
    emulator.faults.add(action="status", status=200, body="{}", method="POST", path="^/session$", when="after")
    async with Api(Connection(emulator.endpoint, *ADMIN)) as api:
        made = await sessions.ensure(api, SPEC)
    assert [session.id for session in emulator.cluster.living()] == [made]
