"""The invariant: how long a server wants to be left alone is heard in both conversations, also from a proxy's page."""

from __future__ import annotations

import time

import pytest

from backendai import Api, Connection, errors, sessions
from backendai.light import LightApi
from emulator import Emulator
from tests.conftest import ADMIN
from tests.emulator.test_cancel_lost import SPEC


@pytest.mark.parametrize("kind", [Api, LightApi])
@pytest.mark.parametrize("page", [False, True], ids=["problem", "page"])
async def test_a_read_waits_as_long(kind: type[Api], page: bool, emulator: Emulator) -> None:
    order = {"action": "html", "status": 429} if page else {"action": "status", "status": 429}
    fault = emulator.faults.add(**order, method="POST", path="search$", headers={"Retry-After": "1"})
    async with kind(Connection(emulator.endpoint, *ADMIN)) as api:
        started = time.monotonic()
        assert await sessions.find_living(api, "nobody") is None
    assert fault.taken == 1
    assert time.monotonic() - started >= 1


async def test_a_create_is_told_and_not_tried_again(emulator: Emulator) -> None:
    fault = emulator.faults.add(action="html", status=429, path="^/session$", headers={"Retry-After": "1"}, times=-1)
    async with Api(Connection(emulator.endpoint, *ADMIN)) as api:
        with pytest.raises(errors.RateLimited, match="limits the rate"):
            await sessions.ensure(api, SPEC)
    assert fault.taken == 1
