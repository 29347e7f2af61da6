"""Every refusal of the table in the manager's terms: HTTP status, error_code, words."""

from __future__ import annotations

from typing import Any

import pytest

from emulator import Emulator
from tests.conftest import ADMIN, LIMITED
from tests.emulator.cluster_client import PYTHON_IMAGE, connected, refused

PARAMS, SCHEMA = "api_generic_invalid-parameters", "api_parsing_invalid-parameters"
SMALL = {"cpu": "1", "mem": "1g"}

REFUSALS: list[tuple[dict[str, Any], int, str, str]] = [
    ({"image": "nope/x:1"}, 404, "image_read_not-found", "Unknown image reference: nope/x:1 (x86_64)"),
    ({"architecture": "aarch64"}, 404, "image_read_not-found", "(aarch64)"),
    ({"scalingGroup": "nope"}, 404, "resource-group_read_not-found", "nope"),
    ({"group": "nope"}, 404, "project_read_not-found", "No ProjectRow"),
    ({"domain": "nope"}, 404, "project_read_not-found", "No ProjectRow"),
    ({"resources": SMALL | {"cuda.shares": "1"}}, 400, "backendai_parsing_not-found", "'cuda.shares'"),
    ({"resources": SMALL | {"cpu": "abc"}}, 400, PARAMS, "Cannot convert the slot 'cpu' to decimal: 'abc'"),
    ({"resources": SMALL | {"mem": "1zz"}}, 400, PARAMS, "Cannot convert the slot 'mem' to decimal: '1zz'"),
    ({"resources": SMALL | {"cpu": "-1"}}, 400, "backendai_parsing_invalid-parameters", "negative: -1"),
    ({"resources": SMALL | {"mem": "1m"}}, 400, PARAMS, "(cpu=1 cuda.device=0 cuda.shares=0 mem=128m)"),
    ({"resource_opts": {"shmem": "1g"}}, 400, PARAMS, "mem=1.06g"),
    ({"resource_opts": {"shmem": "zz"}}, 400, PARAMS, "resource_opts.shmem"),
    ({"mounts": ["hf-cache", "nope"]}, 404, "vfolder_read_not-found", "['nope']"),
    ({"preopen_ports": [2200]}, 400, PARAMS, "reserved ports ([2000, 2001, 2200, 7681])"),
    ({"preopen_ports": [8091]}, 400, PARAMS, "[8091]"),
    ({"environ": {"A": 1}}, 400, PARAMS, "environ.A"),
    ({"type": "bogus"}, 400, SCHEMA, "Input should be"),
    ({"priority": 101}, 400, SCHEMA, "less than or equal to 100"),
    ({"bootstrap_script": 3}, 400, SCHEMA, "bootstrap_script"),
    ({"startupCommand": ""}, 400, PARAMS, "Batch sessions must have a non-empty startup command."),
    ({"type": "interactive", "batch_timeout": "2s"}, 400, PARAMS, "only for batch sessions"),
    ({"type": "interactive", "starts_at": "2030-01-01T00:00:00Z"}, 400, PARAMS, "only for batch sessions"),
    ({"type": "inference"}, 400, PARAMS, "usage_mode=MODEL"),
    ({"attach_network": "0" * 32}, 500, "backendai_generic_internal-error", ""),
    ({"tag": "x" * 65}, 500, "backendai_generic_internal-error", ""),
    ({"owner_access_key": "AKIANOPE"}, 400, SCHEMA, "Unknown owner access key"),
    ({"image": None}, 400, SCHEMA, "valid string"),
]


@pytest.mark.parametrize(("changes", "status", "code", "text"), REFUSALS, ids=lambda value: str(value)[:40])
async def test_a_create_that_is_refused(
    changes: dict[str, Any], status: int, code: str, text: str, emulator: Emulator
) -> None:
    async with connected(emulator) as client:
        with refused(status, code, text):
            await client.create(**changes)
    assert emulator.cluster.sessions == {}


async def test_what_only_a_limited_user_is_refused(emulator: Emulator) -> None:
    async with connected(emulator, *LIMITED) as client:
        with refused(400, "session_create_unavailable", "exceeding the keypair limit of 1 containers per session"):
            await client.create(clusterSize=2)
        with refused(403, "backendai_generic_forbidden", "Only admins can"):
            await client.create(owner_access_key=ADMIN[0])


async def test_the_other_kind_of_gpu_slot() -> None:
    with Emulator(gpu_slot="cuda.shares") as shares:
        async with connected(shares) as client:
            assert (await client.create(resources=SMALL | {"cuda.shares": "0.5"}))["created"]
            with refused(400, "backendai_parsing_not-found", "Unknown slot type: 'cuda.device'"):
                await client.create(resources=SMALL | {"cuda.device": "1"})


async def test_reuse_of_a_name(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        first = await client.create(name="one")
        again = await client.create(name="one", resources=SMALL | {"cuda.device": "8"})
        assert (again["sessionId"], again["created"]) == (first["sessionId"], False), "other resources, silently"
        await client.until(first["sessionId"], "RUNNING")
        assert "8000" in [port["name"] for port in (await client.create(name="one"))["servicePorts"]]
        for changes in ({"reuseIfExists": False}, {"image": PYTHON_IMAGE}):
            with refused(400, "session_create_already-exists", first["sessionId"]):
                await client.create(name="one", **changes)


async def test_six_creates_of_one_name_at_once(emulator: Emulator) -> None:
    import asyncio

    from ai.backend.client.exceptions import BackendAPIError

    emulator.cluster.settings.create_latency = 0.3
    try:
        async with connected(emulator) as client:
            tries = [client.create(name="race") for _ in range(6)]
            answers = await asyncio.gather(*tries, return_exceptions=True)
    finally:
        emulator.cluster.settings.create_latency = 0.02
    lost = [a for a in answers if isinstance(a, BackendAPIError)]
    assert [(e.status, e.data["error_code"]) for e in lost] == [(409, "database_generic_already-exists")] * 5
    assert len(emulator.cluster.living()) == 1


async def test_paths_and_bodies_nobody_knows(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        with refused(404, "api_read_not-found", "/nope"):
            await client.call("GET", "/nope")
        with refused(405, "api_access_forbidden"):
            await client.call("PUT", "/session")
        with refused(400, "api_parsing_bad-request", "Malformed body"):
            await client.call("POST", "/session")
        with refused(400, "api_parsing_invalid-parameters", "valid UUID"):
            await client.call("GET", "/v2/sessions/abc")
        with refused(404, "session_read_not-found", "Session not found"):
            await client.call("GET", "/v2/sessions/00000000-0000-0000-0000-000000000000")
        with refused(501, "api_generic_not-implemented", "Terminate the session"):
            await client.call("PATCH", "/session/any")
        with refused(500, "backendai_generic_internal-error"):
            await client.call("POST", "/admin/gql", {"query": "query {"})


async def test_apps_of_a_session_without_an_app_proxy(emulator: Emulator) -> None:
    async with connected(emulator) as client:
        session_id = await client.started(name="apps")
        apps = await client.call("GET", "/stream/session/apps/apps")
        assert {"name": "8000", "protocol": "preopen", "ports": [8000]} in apps
        with refused(500, "appproxy_request_unavailable"):
            await client.call("POST", "/session/apps/start-service", {"app": "8000"})
        with refused(500, "appproxy_request_unavailable"):
            await client.call("POST", f"/v2/sessions/{session_id}/services/start", {"service": "8000"})
        with refused(404, "backendai_read_not-found", "apps:nope"):
            await client.call("POST", "/session/apps/start-service", {"app": "nope"})


@pytest.mark.parametrize(
    ("key", "secret", "text"),
    [
        (ADMIN[0], "wrong", "HMAC signature mismatch"),
        ("AKIANOBODY", "wrong", "Access key not found in HMAC"),
    ],
)
async def test_wrong_credentials(key: str, secret: str, text: str, emulator: Emulator) -> None:
    async with connected(emulator, key, secret) as client:
        with refused(401, "user_auth_unauthorized", text):
            await client.call("POST", "/v2/sessions/my/search", {})
    assert emulator.cluster.writes == 0


@pytest.mark.parametrize("minutes", [-16, 16])
async def test_a_clock_that_is_wrong(minutes: int, emulator: Emulator) -> None:
    async with connected(emulator) as client:
        emulator.cluster.faults.clock_skew = minutes * 60
        with refused(400, "user_auth_invalid-parameters", "Date/time sync error"):
            await client.call("POST", "/v2/sessions/my/search", {})
        emulator.cluster.faults.clock_skew = minutes / abs(minutes) * 14 * 60
        assert (await client.call("POST", "/v2/sessions/my/search", {}))["total_count"] == 0
