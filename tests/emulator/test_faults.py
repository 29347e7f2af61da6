"""What a test may break: answers on the wire, before or after the manager acted, and the cluster itself."""

from __future__ import annotations

import asyncio
import json
import time

import aiohttp
import pytest
import requests
from ai.backend.client.exceptions import BackendAPIError, BackendClientError

from emulator import Emulator, mock_backendai
from tests.emulator.cluster_client import Client, connected, refused


@pytest.mark.parametrize(("when", "sessions"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("action", ["status", "html", "reset", "truncate", "timeout"])
async def test_a_create_whose_answer_is_lost(action: str, when: str, sessions: int, emulator: Emulator) -> None:
    async with connected(emulator) as client:
        emulator.faults.add(method="POST", path="^/session$", when=when, action=action, delay=0.3)
        with pytest.raises((BackendAPIError, BackendClientError, aiohttp.ClientError)):
            await client.create(name="lost")
        assert len(emulator.cluster.living()) == sessions
        assert (await client.create(name="lost"))["created"] is (sessions == 0), "the next one gets through"


async def test_the_status_and_words_of_a_fault(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        code, body = "x_y_z", {"Retry-After": "7"}
        emulator.faults.add(action="status", path="/v2/", status=429, error_code=code, headers=body, times=2, skip=1)
        await client.call("POST", "/v2/sessions/my/search", {})
        for _ in range(2):
            with refused(429, code):
                await client.call("POST", "/v2/sessions/my/search", {})
        await client.call("POST", "/v2/sessions/my/search", {})
        assert [status for _, path, status in emulator.cluster.requests if path.startswith("/v2")] == [
            200,
            429,
            429,
            200,
        ]


async def test_slow_then_right(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        emulator.faults.add(action="slow", delay=0.3, path="search")
        began = time.monotonic()
        assert (await client.call("POST", "/v2/sessions/my/search", {}))["items"] == []
        assert time.monotonic() - began > 0.3


def test_what_is_no_fault(emulator: Emulator) -> None:
    with pytest.raises(ValueError, match="no fault"):
        emulator.faults.add(action="explode")


async def failed(client: Client, session_id: str, *end: str) -> list[str | None]:
    """How the session came out: status, its words, its kernel's words."""
    await client.until(session_id, *end)
    row = await client.row(session_id)
    assert row["result"] == "UNDEFINED"
    return [row["status"], row["status_info"], row["containers"][0]["status_info"]]


async def test_a_container_that_cannot_be_created(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        emulator.cluster.faults.create_fail = True
        session_id = (await client.create())["sessionId"]
        assert await failed(client, session_id, "TERMINATED") == ["TERMINATED", None, "failed-to-create"]


async def test_an_image_that_cannot_be_pulled(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        emulator.cluster.faults.pull_fail = "manifest unknown"
        session_id = (await client.create())["sessionId"]
        assert await failed(client, session_id, "CANCELLED") == [
            "CANCELLED",
            "All kernels cancelled",
            "Image pull failed: RuntimeError('manifest unknown')",
        ]


async def test_a_container_that_is_killed(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started()
        emulator.cluster.kill_container(emulator.cluster.sessions[session_id])
        assert await failed(client, session_id, "TERMINATED") == ["TERMINATED", None, "self-terminated"]


async def test_stuck_in_creating_until_forced(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        emulator.cluster.faults.stuck_in("CREATING")
        session_id = (await client.create())["sessionId"]
        await client.until(session_id, "CREATING")
        await asyncio.sleep(0.4)
        assert await client.status(session_id) == "CREATING"
        with refused(500, "backendai_generic_internal-error"):
            await client.call("GET", f"/session/{session_id}/logs")
        await client.call("DELETE", f"/session/{session_id}", forced="true")
        await client.until(session_id, "TERMINATED")


async def test_a_lost_agent(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started("sleep 0.1; exit 3")
        emulator.cluster.faults.agent_lost = True
        await asyncio.sleep(0.5)
        assert await client.status(session_id) == "RUNNING", "nobody saw the process end"
        with refused(503, "agent_access_unavailable"):
            await client.call("GET", f"/session/{session_id}/logs")
        await client.call("DELETE", f"/session/{session_id}")
        await asyncio.sleep(0.4)
        assert await client.status(session_id) == "TERMINATING", "a plain destroy hangs"
        await client.call("DELETE", f"/session/{session_id}", forced="true")
        assert await client.status(session_id) == "TERMINATED"


def test_another_process_orders_by_http(emulator: Emulator) -> None:
    url = emulator.endpoint + "/_emulator"
    order = {"action": "status", "status": 418, "path": "^/$"}
    switch = {"cluster": {"no_agent": True}}
    for body in (order, switch):
        assert requests.post(f"{url}/faults", data=json.dumps(body), timeout=5).status_code == 200
    assert requests.get(f"{emulator.endpoint}/", timeout=5).status_code == 418
    assert emulator.cluster.faults.no_agent
    assert requests.post(f"{url}/faults", json={"cluster": {"x": 1}}, timeout=5).status_code == 400
    seen = requests.get(f"{url}/requests", timeout=5).json()
    assert seen["cluster"] == [{"method": "GET", "path": "/", "status": 418}]
    assert requests.get(f"{url}/sessions", timeout=5).json() == []
    requests.post(f"{url}/reset", timeout=5)
    assert emulator.cluster.requests == [] and not emulator.cluster.faults.no_agent


@mock_backendai
def test_the_same_behind_requests_without_a_server() -> None:
    assert requests.get("http://backendai.test/", timeout=5).json()["manager"] == "26.9.6"
    answer = requests.post("http://backendai.test/session", json={}, timeout=5)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "user_auth_unauthorized")


def test_faults_behind_requests() -> None:
    with mock_backendai() as standin:
        standin.faults.add(action="reset")
        standin.faults.add(action="timeout", delay=0.01)
        with pytest.raises(requests.ConnectionError):
            requests.get("http://backendai.test/", timeout=5)
        with pytest.raises(requests.ReadTimeout):
            requests.get("http://backendai.test/", timeout=5)
        assert requests.head("https://huggingface.co/nobody/nothing/resolve/main/x", timeout=5).status_code >= 400
