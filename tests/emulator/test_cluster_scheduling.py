"""Who waits and who is told: quotas and capacity are silent, and the queue is first in, first out."""

from __future__ import annotations

import asyncio
from typing import Any

from emulator import Emulator
from emulator.cluster.models import RESOURCE_GROUP_ID
from tests.conftest import LIMITED
from tests.emulator.cluster_client import Client, connected, refused

LONG_ENOUGH = 0.4  # seconds; a session that may start runs after 0.06


async def history(client: Client, session_id: str) -> list[Any]:
    body = {"filter": {"session_id": {"equals": session_id}}, "limit": 10, "offset": 0}
    answer = await client.call("POST", "/scheduling-history/sessions/search", body)
    return [(item["result"], item["message"]) for item in answer["items"]]


async def test_over_quota_is_silent_and_blocks_nobody(emulator: Emulator) -> None:
    async with connected(emulator, *LIMITED) as client:
        greedy = (await client.create(resources={"cpu": "3", "mem": "1g"}))["sessionId"]
        modest = (await client.create(resources={"cpu": "1", "mem": "200m"}))["sessionId"]
        await client.until(modest, "RUNNING")
        await asyncio.sleep(LONG_ENOUGH)
        info = await client.call("GET", f"/session/{greedy}")
        assert (info["status"], info["statusInfo"]) == ("PENDING", "None")
    async with connected(emulator) as client:
        assert (await history(client, modest))[-1] == ("SUCCESS", "schedule-sessions success")
        result, message = (await history(client, greedy))[-1]
        assert result == "NEED_RETRY"
        assert "cpu: used 1 + requested 3 > limit 2 (over by 2)" in message


async def test_too_many_sessions_at_once(emulator: Emulator) -> None:
    async with connected(emulator, *LIMITED) as client:
        emulator.cluster.faults.stuck_in("CREATING")
        small = {"cpu": "1", "mem": "200m"}
        first, second, third = [(await client.create(resources=small))["sessionId"] for _ in range(3)]
        await client.until(second, "CREATING")
        await asyncio.sleep(LONG_ENOUGH)
        assert await client.status(third) == "PENDING"
        emulator.cluster.faults.stuck_in("")
        await client.call("DELETE", f"/session/{first}")
        await client.until(third, "RUNNING")


async def test_what_no_agent_can_hold_blocks_all_behind_it(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        too_big = (await client.create(resources={"cpu": "1", "mem": "1g", "cuda.device": "9"}))["sessionId"]
        behind = (await client.create())["sessionId"]
        await asyncio.sleep(LONG_ENOUGH)
        assert [await client.status(too_big), await client.status(behind)] == ["PENDING", "PENDING"]
        result, message = (await history(client, too_big))[-1]
        assert result == "NEED_RETRY" and "cuda.device: missing=1.000000" in message
        await client.call("DELETE", f"/session/{too_big}", forced="true")
        await client.until(behind, "RUNNING")


async def test_gpus_are_free_again_when_the_session_has_ended(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        all_of_them = {"cpu": "1", "mem": "1g", "cuda.device": "8"}
        first = await client.started(resources=all_of_them)
        second = (await client.create(resources=all_of_them))["sessionId"]
        await client.call("DELETE", f"/session/{first}", forced="true")
        await client.until(second, "RUNNING")
        assert await client.status(first) == "TERMINATED"


async def test_a_create_that_waits(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        assert (await client.create(enqueueOnly=False))["status"] == "RUNNING"
        emulator.cluster.faults.stuck_in("CREATING")
        assert (await client.create(enqueueOnly=False, maxWaitSeconds=1))["status"] == "TIMEOUT"


async def test_the_checks_before_a_create(emulator: Emulator) -> None:
    image = next(image.id for image in emulator.cluster.images.values())
    slots = [{"resource_type": "cpu", "quantity": "3"}, {"resource_type": "cuda.device", "quantity": "10"}]
    body = {
        "kernels": [{"image_id": image, "resources": slots}],
        "cluster_mode": "single-node",
        "resource_group_id": RESOURCE_GROUP_ID,
    }
    async with connected(emulator, *LIMITED) as client:
        result = (await client.call("POST", "/v2/sessions/compute-schedule", body))["results"][0]
        assert result["success"] is False
        assert result["reason_hint"]["required_reduction"] == [{"resource_type": "cuda.device", "quantity": "2.000000"}]
        with refused(400, "api_parsing_invalid-parameters", "resource_group_id"):
            await client.call("POST", "/v2/sessions/compute-schedule", {"kernels": [], "cluster_mode": "single-node"})
        await client.started(resources={"cpu": "1", "mem": "200m"})
        presets = await client.call("POST", "/resource/check-presets", {"group": "default"})
        assert presets["keypair_remaining"] | {"mem": ""} == {
            "cpu": "1.000000",
            "mem": "",
            "cuda.device": "1",
            "cuda.shares": "0",
        }
        with refused(400, "api_parsing_invalid-parameters", "group"):
            await client.call("POST", "/resource/check-presets", {})
