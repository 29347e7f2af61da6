"""What doesn't fit waits without a word: over quota it blocks nobody, beyond the cluster it blocks all behind it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from backendai import errors, sessions
from emulator.cluster import fixtures
from emulator.cluster.models import RESOURCE_GROUP_ID

from .beds import PENDING, RUNNING, Bed, until

SMALL = {"cpu": "1", "mem": "256m"}
A_WHILE = 1.0  # seconds in which a session that may start has left PENDING


async def history(bed: Bed, session_id: str) -> list[tuple[str, str]]:
    """What the scheduler wrote down, which only an administrator may read."""
    body = {"filter": {"session_id": {"equals": session_id}}, "limit": 50, "offset": 0}
    answer = await bed.ask("POST", "/scheduling-history/sessions/search", body)
    return [(item["result"], item["message"]) for item in answer.body["items"]]


async def retried(bed: Bed, session_id: str) -> str:
    """Why it isn't scheduled, as soon as that was tried."""
    said = ""

    async def tried() -> bool:
        nonlocal said
        said = next((text for result, text in await history(bed, session_id) if result == "NEED_RETRY"), "")
        return bool(said)

    await until(tried)
    return said


@pytest.mark.usefixtures("limited_alone")
async def test_over_the_quota(bed: Bed) -> None:
    greedy = await bed.create("greedy", bed.limited, resources={"cpu": "3", "mem": "256m"})
    assert greedy.answer.status == 201
    async with bed.api(bed.limited) as api:
        modest = await bed.started(api, "modest", resources=SMALL)
        assert "cpu" in await retried(bed, greedy.id)
        info = await bed.ask("GET", f"/session/{greedy.id}", who=bed.limited)
        assert (info.body["status"], info.body["statusInfo"]) == (PENDING, "None")
        assert await sessions.why_ended(api, greedy.id) == ""
        assert (await sessions.read(api, modest)).status == RUNNING
    refused = await bed.ask("POST", "/scheduling-history/sessions/search", {"limit": 1}, bed.limited)
    assert refused.problem == (403, "backendai_generic_forbidden")


@pytest.mark.usefixtures("limited_alone")
async def test_the_quotas_words(bed: Bed) -> None:
    greedy = await bed.create("greedy", bed.limited, resources={"cpu": "3", "mem": "256m"})
    assert "User resource quota exceeded." in (said := await retried(bed, greedy.id))
    assert "cpu: used 0 + requested 3 > limit 2 (over by 1)" in said


@pytest.mark.usefixtures("limited_alone")
async def test_more_sessions_than_allowed(bed: Bed) -> None:
    async with bed.api(bed.limited) as api:
        spec = [bed.spec(str(number), resources={"cpu": "0", "mem": "200m"}) for number in range(3)]
        first, second, third = [await sessions.ensure(api, one) for one in spec]
        await bed.until(api, first, RUNNING)
        await bed.until(api, second, RUNNING)
        assert (await sessions.read(api, third)).status == PENDING
        assert await retried(bed, third)
        await sessions.destroy(api, first, force_after=0.0)
        await bed.until(api, third, RUNNING)


@pytest.mark.usefixtures("alone")
async def test_more_gpus_than_there_are(bed: Bed) -> None:
    async with bed.api() as api:
        too_big = await bed.create("too-big", resources={**SMALL, "cuda.device": "100"})
        assert too_big.answer.status == 201
        said = await retried(bed, too_big.id)
        assert "could not be placed" in said and "cuda.device: missing=9" in said
        behind = await sessions.ensure(api, bed.spec("behind"))
        await asyncio.sleep(A_WHILE)
        assert [(await sessions.read(api, one)).status for one in (too_big.id, behind)] == [PENDING, PENDING]
        await sessions.destroy(api, too_big.id, force_after=0.0)
        await bed.until(api, behind, RUNNING)


def asked(bed: Bed, group: str, **slots: str) -> dict[str, Any]:
    image = next(image.id for image in fixtures.IMAGES if image.name == bed.image)
    resources = [{"resource_type": slot.replace("_", "."), "quantity": amount} for slot, amount in slots.items()]
    kernel = {"image_id": image, "resources": resources}
    return {"kernels": [kernel], "cluster_mode": "single-node", "resource_group_id": group}


async def test_whether_it_would_fit_can_be_asked_before(bed: Bed) -> None:
    for cuda, success, missing in (("1", True, None), ("100", False, "cuda.device")):
        body = asked(bed, RESOURCE_GROUP_ID, cpu="3", cuda_device=cuda)
        answer = await bed.ask("POST", "/v2/sessions/compute-schedule", body, bed.limited)
        assert answer.status == 200, answer
        result = answer.body["results"][0]
        assert result["success"] is success, "the quota doesn't count here"
        hint = result["reason_hint"]
        assert (hint and [e["resource_type"] for e in hint["required_reduction"]]) == (missing and [missing])


@pytest.mark.usefixtures("alone")
async def test_by_how_much_it_would_not_fit(bed: Bed) -> None:
    body = asked(bed, RESOURCE_GROUP_ID, cuda_device="100")
    result = (await bed.ask("POST", "/v2/sessions/compute-schedule", body)).body["results"][0]
    (reduction,) = result["reason_hint"]["required_reduction"]
    assert float(reduction["quantity"]) >= 92


async def test_a_group_that_there_is_not_and_no_group_at_all(bed: Bed) -> None:
    unknown = "00000000-0000-0000-0000-000000000000"
    body = asked(bed, unknown, cpu="1")
    refused = await bed.ask("POST", "/v2/sessions/compute-schedule", body, bed.limited)
    assert refused.problem == (403, "permission_access_forbidden")
    del body["resource_group_id"]
    refused = await bed.ask("POST", "/v2/sessions/compute-schedule", body, bed.limited)
    assert refused.problem == (400, "api_parsing_invalid-parameters")


@pytest.mark.usefixtures("limited_alone")
async def test_what_is_left_of_a_quota(bed: Bed) -> None:
    async def left() -> dict[str, str]:
        answer = await bed.ask("POST", "/resource/check-presets", {"group": "default"}, bed.limited)
        assert answer.status == 200, answer
        remaining: dict[str, str] = answer.body["keypair_remaining"]
        return remaining

    before = await left()
    assert {slot: before[slot] for slot in ("cpu", "cuda.device", "cuda.shares")} == {
        "cpu": "2",
        "cuda.device": "1",
        "cuda.shares": "0",
    }
    async with bed.api(bed.limited) as api:
        await bed.started(api, "one", resources={**SMALL, "cuda.device": "1"})
        after = await left()
    assert after == {
        "cpu": "1.000000",
        "mem": f"{int(before['mem']) - 256 * 1024**2}.000000",
        "cuda.device": "0.000000",
        "cuda.shares": "0",
    }


@pytest.mark.parametrize(
    ("body", "problem"),
    [({}, (400, "api_parsing_invalid-parameters")), ({"group": "nope"}, (404, "project_read_not-found"))],
    ids=str,
)
async def test_presets_of_no_project(body: dict[str, str], problem: tuple[int, str], bed: Bed) -> None:
    assert (await bed.ask("POST", "/resource/check-presets", body)).problem == problem


@pytest.mark.usefixtures("limited_alone")
async def test_more_containers_than_a_session_may_have_is_told_at_once(bed: Bed) -> None:
    """The one limit of a policy that isn't silent."""
    refused = await bed.create("wide", bed.limited, clusterSize=2)
    assert refused.answer.problem == (400, "session_create_unavailable")
    assert refused.answer.body["type"].endswith("/quota-exceeded")
    async with bed.api(bed.limited) as api:
        with pytest.raises(errors.InvalidRequest, match="resource policy"):
            await api.call("POST", "/session", body={"name": bed.name("w"), "image": bed.image, "clusterSize": 2})
