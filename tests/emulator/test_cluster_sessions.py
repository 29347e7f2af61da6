"""A session's life: the statuses it walks through, what it runs, how it ends, and what can be read of it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from ai.backend.client.v2.auth import HMACAuth
from ai.backend.client.v2.config import ClientConfig
from ai.backend.client.v2.v2_registry import V2ClientRegistry
from ai.backend.common.dto.manager.v2.session.request import AdminSearchSessionsInput, UpdateSessionInput
from yarl import URL

from emulator import Emulator
from tests.conftest import ADMIN, LIMITED
from tests.emulator.cluster_client import PYTHON_IMAGE, connected, refused


async def ended(emulator: Emulator, command: str, **changes: object) -> tuple[str, str, str]:
    """Result, status_info and log of a batch session that ran to its end."""
    async with connected(emulator) as client:
        session_id = (await client.create(command, **changes))["sessionId"]
        await client.until(session_id, "TERMINATED")
        row = await client.row(session_id)
        logs = await client.call("GET", f"/session/{session_id}/logs")
        assert logs["result"] == await client.call("GET", f"/v2/sessions/{session_id}/logs")
        return row["result"], row["status_info"], logs["result"]["logs"]


async def test_the_way_to_running_and_to_terminated(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator.cluster.settings, "start_seconds", 1.2)
    async with connected(emulator) as client:
        made = await client.create(name="walk")
        assert made == {
            "sessionId": made["sessionId"],
            "sessionName": "walk",
            "status": "PENDING",
            "servicePorts": [],
            "created": True,
        }
        seen = await client.until(made["sessionId"], "RUNNING")
        assert seen == ["PENDING", "SCHEDULED", "PREPARING", "PREPARED", "CREATING", "RUNNING"]
        assert await client.call("DELETE", "/session/walk") == {"stats": {"status": "terminated"}}
        assert await client.until(made["sessionId"], "TERMINATED") == ["TERMINATING", "TERMINATED"]
        row = await client.row(made["sessionId"])
        assert (row["result"], row["status_info"]) == ("UNDEFINED", "user-requested")
        assert row["containers"] == [{"status": "TERMINATED", "status_info": "user-requested"}]


async def test_exit_0_is_success(emulator: Emulator) -> None:
    assert await ended(emulator, "echo out; echo err >&2") == ("SUCCESS", "task-finished", "out\nerr\n")


async def test_any_other_exit_is_failure(emulator: Emulator) -> None:
    assert await ended(emulator, "echo no; exit 3") == ("FAILURE", "task-failed", "no\n")
    assert await ended(emulator, "kill -9 $$") == ("FAILURE", "task-failed", "")
    assert (await ended(emulator, "exec no-such-program"))[0] == "FAILURE"


async def test_a_batch_runs_as_long_as_somebody_holds_its_output(emulator: Emulator) -> None:
    assert (await ended(emulator, "(sleep 0.3; echo late) & exit 0"))[2] == "late\n"


async def test_batch_timeout(emulator: Emulator) -> None:
    assert (await ended(emulator, "sleep 60", batch_timeout="0.2s"))[:2] == ("FAILURE", "task-timeout")


async def test_the_environment_of_a_process(emulator: Emulator) -> None:
    command = "echo $_BACKEND_BATCH_MODE $A $EMULATOR_GPUS $HF_ENDPOINT; command -v vllm; pwd; env"
    resources = {"cpu": "1", "mem": "1g", "cuda.device": "2"}
    _, _, log = await ended(emulator, command, environ={"A": "b c"}, resources=resources)
    first, vllm, folder = log.splitlines()[:3]
    assert first == f"1 b c 2 {emulator.hub_endpoint}"
    assert vllm.endswith("emulator/bin/vllm")
    assert f"HOME={folder}" in log
    for name in ("BACKEND_SECRET_KEY", "PYTEST_CURRENT_TEST"):
        assert name not in log, "the emulator's own environment stays its own"


async def test_an_own_hf_endpoint_wins(emulator: Emulator) -> None:
    environ = {"HF_ENDPOINT": "http://hub.test"}
    assert (await ended(emulator, "echo $HF_ENDPOINT", environ=environ))[2] == "http://hub.test\n"


async def test_cancelled_while_pending(emulator: Emulator) -> None:
    emulator.cluster.faults.no_agent = True
    async with connected(emulator) as client:
        session_id = (await client.create())["sessionId"]
        with refused(404, "agent_read_not-found", "'kernel_id': None"):
            await client.call("GET", f"/session/{session_id}/logs")
        path = f"/session/{session_id}"
        assert await client.call("DELETE", path, forced="true") == {"stats": {"status": "cancelled"}}
        assert await client.call("DELETE", path, forced="true") == {"stats": {}}
        row = await client.row(session_id)
        assert (row["status"], row["status_info"], row["occupied_slots"]) == (
            "CANCELLED",
            "force-terminated",
            "{}",
        )


async def test_destroy_ends_the_process_and_what_it_left_behind(emulator: Emulator, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    command = f"setsid sleep 1000 & echo $! > {pids}; sleep 1000 & echo $! >> {pids}; wait"
    async with connected(emulator) as client:
        session_id = await client.started(command)
        while not pids.exists() or pids.read_text().count("\n") < 2:
            await asyncio.sleep(0.01)
        await client.call("DELETE", f"/session/{session_id}")
        await client.until(session_id, "TERMINATED")
        assert not [pid for pid in pids.read_text().split() if alive(int(pid))]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


async def test_names_after_the_end(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = (await client.create("echo bye", name="gone"))["sessionId"]
        await client.until(session_id, "TERMINATED")
        for method, path in (
            ("GET", "/session/gone"),
            ("GET", "/session/gone/logs"),
            ("DELETE", "/session/gone"),
        ):
            with refused(404, "session_read_not-found", "No SessionRow matches the given key"):
                await client.call(method, path)
        with refused(404, "session_read_not-found", "does not exist"):
            await client.call("GET", f"/session/{session_id}")
        assert await client.call("DELETE", f"/session/{session_id}") == {"stats": {}}
        again = await client.create(name="gone")
        assert again["created"] and again["sessionId"] != session_id


async def test_v1_info_and_graphql_write_the_same_differently(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        resources = {"cpu": "4", "mem": "4g", "cuda.device": "1"}
        session_id = await client.started(resources=resources, environ={"A": "b"}, mounts=["hf-cache"], tag="t")
        info = await client.call("GET", f"/session/{session_id}")
        slots = "{'cpu': Decimal('4.000000'), 'cuda.device': Decimal('1.000000'), "
        assert info["occupiedSlots"] == slots + "'mem': Decimal('4294967296.000000')}"
        assert (info["statusInfo"], info["environ"]) == ("None", "{'A': 'b'}")
        assert info["resourceOpts"] == "{'main1': {'shmem': 67108864}}"
        row = await client.row(session_id)
        assert json.loads(row["occupied_slots"]) == {"cpu": "4", "cuda.device": "1", "mem": "4294967296"}
        assert (row["mounts"], row["tag"], row["status_info"]) == (["hf-cache"], "t", None)
        ports = {port["name"]: port for port in json.loads(row["service_ports"])}
        assert ports["8000"]["container_ports"] == [8000]
        assert ports["8000"]["host_ports"] == [emulator.cluster.sessions[session_id].host_port("8000")]


async def test_the_v2_client_understands_the_answers(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started(name="v2", tag="t")
    registry = await V2ClientRegistry.create(ClientConfig(endpoint=URL(emulator.endpoint)), HMACAuth(*ADMIN))
    try:
        node = await registry.session.get(UUID(session_id))
        assert (node.metadata.name, node.metadata.tag, str(node.lifecycle.status)) == ("v2", "t", "RUNNING")
        found = await registry.session.my_search(
            AdminSearchSessionsInput.model_validate({"filter": {"name": {"equals": "v2"}}, "limit": 5})
        )
        assert [str(item.id) for item in found.items] == [session_id]
        updated = await registry.session.update(UUID(session_id), UpdateSessionInput(name="v2b", tag="u"))
        assert (updated.session.metadata.name, updated.session.metadata.tag) == ("v2b", "t"), "the tag is ignored"
        assert (await registry.session.get_logs(UUID(session_id))).logs == ""
    finally:
        await registry.close()


async def test_the_v1_client_understands_the_answers(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        compute = client.sdk.ComputeSession
        made = await compute.get_or_create(
            PYTHON_IMAGE,
            name="v1-session",
            type_="batch",
            startup_command="echo $A; sleep 60",
            envs={"A": "b"},
            resources={"cpu": "1", "mem": "1g"},
            resource_opts={"shmem": "64m"},
            preopen_ports=[8000],
            mounts=["hf-cache"],
            enqueue_only=True,
        )
        assert (made.created, made.status, made.service_ports) == (True, "PENDING", [])
        await client.until(str(made.id), "RUNNING")
        info: Any = await made.get_info()
        assert info["status"] == "RUNNING"
        apps: Any = await made.stream_app_info()
        assert "8000" in [app["name"] for app in apps]
        assert await made.destroy() == {"stats": {"status": "terminated"}}
        await client.until(str(made.id), "TERMINATED")
        assert made.id is not None
        logs: Any = await compute.from_session_id(made.id).get_logs()
        assert logs["result"]["logs"] == "b\n"


async def test_rename_only_while_running_and_to_a_free_name(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started()
        emulator.cluster.faults.stuck_in("PENDING")
        waiting = await client.create(name="taken")
        with refused(400, "session_create_already-exists", "'taken' already exists"):
            await client.call("PATCH", f"/v2/sessions/{session_id}", {"name": "taken"})
        with refused(400, "api_generic_invalid-parameters", "not running session"):
            await client.call("PATCH", f"/v2/sessions/{waiting['sessionId']}", {"name": "other"})


async def test_search_by_name_and_status(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        first = await client.started(name="same")
        await client.call("DELETE", f"/session/{first}")
        await client.until(first, "TERMINATED")
        second = (await client.create(name="same", image=PYTHON_IMAGE))["sessionId"]

        async def found(**filter: object) -> list[str]:
            answer = await client.call("POST", "/v2/sessions/my/search", {"filter": filter, "limit": 10})
            assert answer["total_count"] == len(answer["items"])
            return [item["id"] for item in answer["items"]]

        assert await found(name={"equals": "same"}) == [second, first]
        assert await found(name={"equals": "same"}, status={"not_in": ["TERMINATED"]}) == [second]
        assert await found(name={"contains": "am"}, status={"in": ["TERMINATED"]}) == [first]
        with refused(400, "api_parsing_invalid-parameters"):
            await found(status={"in": ["NOPE"]})


async def test_a_limited_user_sees_only_its_own(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        theirs = await client.started(name="theirs")
    async with connected(emulator, *LIMITED) as client:
        for unknown in (theirs, "00000000-0000-0000-0000-000000000000"):
            for path in (f"/v2/sessions/{unknown}", f"/session/{unknown}", f"/session/{unknown}/logs"):
                with refused(403, "permission_access_forbidden", "Permission.READ: 1"):
                    await client.call("GET", path)
            with refused(403, "permission_access_forbidden", "Permission.SOFT_DELETE: 8"):
                await client.call("DELETE", f"/session/{unknown}")
        with refused(404, "session_read_not-found", "No SessionRow"):
            await client.call("GET", "/session/theirs")
        assert await client.row(theirs) is None
        assert (await client.call("POST", "/v2/sessions/my/search", {}))["items"] == []
        for path in ("/v2/sessions/search", "/scheduling-history/sessions/search"):
            with refused(403, "backendai_generic_forbidden", "Insufficient privileges"):
                await client.call("POST", path, {})
        answer = await client.call("POST", "/admin/gql", {"query": "{user_list(limit: 1, offset: 0) {total_count}}"})
        assert answer["errors"][0]["extensions"] == {"code": "user_auth_forbidden"}
        assert (await client.create(name="theirs"))["created"], "names are a user's own"
    assert len(emulator.cluster.living()) == 2


async def test_reads_are_no_writes_and_the_log_has_no_queries(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started()
        assert emulator.cluster.writes == 1
        await client.call("DELETE", f"/session/{session_id}", forced="true")
        assert emulator.cluster.writes == 2
    assert ("DELETE", f"/session/{session_id}", 200) in emulator.cluster.requests
    assert not [path for _, path, _ in emulator.cluster.requests if "?" in path]
