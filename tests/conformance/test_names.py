"""A name belongs to one living session of a user: it is adopted, refused or free, and never created twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from backendai import errors, sessions

from .beds import Bed

OTHER_TAG = "bai-vllm:somebody:1"
TAKEN = (400, "session_create_already-exists")
RACE_LOST = (409, "database_generic_already-exists")


async def test_a_name_with_another_tag_is_taken(bed: Bed) -> None:
    async with bed.api() as api:
        theirs = await sessions.ensure(api, bed.spec("one", tag=OTHER_TAG))
        with pytest.raises(errors.NameTaken, match=theirs):
            await sessions.ensure(api, bed.spec("one"))
        assert await bed.living(api) == [theirs]


async def test_a_name_with_the_same_tag_is_adopted(bed: Bed) -> None:
    async with bed.api() as api:
        first = await sessions.ensure(api, bed.spec("one"))
        assert await sessions.ensure(api, bed.spec("one")) == first
        assert await bed.living(api) == [first]


async def test_an_older_one_of_the_same_stack_makes_room(bed: Bed) -> None:
    async with bed.api() as api:
        older = await sessions.ensure(api, bed.spec("one", tag="bai-vllm:conformance:0"))
        newer = await sessions.ensure(api, bed.spec("one"))
        assert newer != older
        assert (await sessions.read(api, older)).ended
        assert await bed.living(api) == [newer]


async def test_reuse_ignores_other_resources_silently(bed: Bed) -> None:
    first = await bed.create("one")
    again = await bed.create("one", resources={"cpu": "2", "mem": "1g", "cuda.device": "8"}, environ={"A": "b"})
    assert (again.id, again.answer.body["created"]) == (first.id, False)
    node = (await bed.ask("GET", f"/v2/sessions/{first.id}")).body
    requested = {e["resource_type"]: e["quantity"] for e in node["resource"]["allocation"]["requested"]["entries"]}
    assert requested == {"cpu": "1.000000", "mem": f"{256 * 1024**2}.000000"}


@pytest.mark.parametrize("how", ["no reuse", "other image"])
async def test_without_reuse_or_with_another_image_it_is_refused(how: str, bed: Bed) -> None:
    first = await bed.create("one")
    refused = await bed.create("one", **({"reuseIfExists": False} if how == "no reuse" else {"image": bed.other_image}))
    assert refused.answer.problem == TAKEN
    assert refused.answer.body["data"] == {"existingSessionId": first.id}


@pytest.mark.parametrize("reuse", [True, False])
async def test_six_creates_of_one_name_at_once(reuse: bool, bed: Bed) -> None:
    """One wins.  The others find it there already, or lose the race in the database."""
    made = await asyncio.gather(*(bed.create("race", reuseIfExists=reuse) for _ in range(6)))
    winners = [one.id for one in made if one.answer.status == 201 and one.answer.body["created"]]
    assert len(winners) == 1
    for one in made:
        if one.answer.status == 201:
            assert one.id == winners[0] and (reuse or one.answer.body["created"])
        else:
            assert one.answer.problem in ((RACE_LOST,) if reuse else (RACE_LOST, TAKEN))
    async with bed.api() as api:
        assert await bed.living(api) == winners


async def test_six_runs_agree_on_one_session(bed: Bed) -> None:
    async with bed.api() as api:
        ids = await asyncio.gather(*(sessions.ensure(api, bed.spec("agreed")) for _ in range(6)))
        assert len(Counter(ids)) == 1
        assert await bed.living(api) == [ids[0]]


async def test_a_name_is_free_after_the_end(bed: Bed) -> None:
    async with bed.api() as api:
        first = await bed.started(api, "again")
        await sessions.destroy(api, first, force_after=0.0)
        second = await sessions.ensure(api, bed.spec("again"))
        assert second != first
        found = await sessions.find_living(api, bed.name("again"))
        assert found is not None and found.id == second


@pytest.mark.usefixtures("limited_alone")
async def test_names_are_a_users_own(bed: Bed) -> None:
    async with bed.api() as api, bed.api(bed.limited) as limited:
        mine = await sessions.ensure(api, bed.spec("same"))
        theirs = await sessions.ensure(limited, bed.spec("same"))
        assert mine != theirs
        found = await sessions.find_living(limited, bed.name("same"))
        assert found is not None and found.id == theirs


async def test_the_server_takes_any_name(bed: Bed) -> None:
    """Only the SDK's own create checks it, which isn't used here."""
    made = await bed.create("bad name!")
    assert made.answer.body["sessionName"] == bed.name("bad name!")
