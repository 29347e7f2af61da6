"""The real SDK against the emulator: sessions are made, watched and refused as a user sees it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from ai.backend.client.config import APIConfig
from ai.backend.client.exceptions import BackendAPIError
from ai.backend.client.request import Request
from ai.backend.client.session import AsyncSession

from emulator import Emulator
from tests.conftest import ADMIN

PYTHON_IMAGE = "cr.backend.ai/stable/python:3.11-ubuntu22.04"
VLLM_IMAGE = "cr.backend.ai/stable/vllm:0.11-cuda12.8-ubuntu22.04"
SERVE = 'exec python3 -u -m http.server "$EMULATOR_PORT_8000" --bind 127.0.0.1'
_numbers = itertools.count()


class Client:
    """One user's conversation."""

    def __init__(self, sdk: AsyncSession) -> None:
        self.sdk = sdk

    async def call(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        """The JSON of one signed request. Raises BackendAPIError."""
        request = Request(method, path, params=params or None)
        if body is not None:
            request.set_json(body)
        async with request.fetch() as response:
            return await response.json()

    async def create(self, command: str | None = "sleep 60", **changes: Any) -> Any:
        """POST /session of a small batch session; a change whose key is in `config` goes there."""
        config: dict[str, Any] = {
            "resources": {"cpu": "1", "mem": "1g"},
            "resource_opts": {},
            "environ": {},
            "scalingGroup": "default",
            "preopen_ports": [8000],
            "mounts": [],
            "mount_map": {},
            "attach_network": None,
        }
        config |= {key: changes.pop(key) for key in list(changes) if key in config}
        body = {
            "name": f"t-{next(_numbers)}",
            "image": VLLM_IMAGE,
            "type": "batch",
            "startupCommand": command,
            "enqueueOnly": True,
            "config": config,
        }
        return await self.call("POST", "/session", body | changes)

    async def started(self, command: str | None = "sleep 60", **changes: Any) -> str:
        """The id of a new session, once it is RUNNING."""
        made = await self.create(command, **changes)
        await self.until(made["sessionId"], "RUNNING")
        return str(made["sessionId"])

    async def node(self, session_id: str) -> Any:
        return await self.call("GET", f"/v2/sessions/{session_id}")

    async def status(self, session_id: str) -> str:
        return str((await self.node(session_id))["lifecycle"]["status"])

    async def until(self, session_id: str, *statuses: str, seconds: float = 8) -> list[str]:
        """Wait for one of the statuses; all that were seen on the way."""
        seen: list[str] = []
        async with asyncio.timeout(seconds):
            while not seen or seen[-1] not in statuses:
                status = await self.status(session_id)
                if status not in seen:
                    seen.append(status)
                await asyncio.sleep(0.01)
        return seen

    async def row(self, session_id: str) -> Any:
        """What GraphQL tells."""
        fields = "id name status status_info result tag startup_command mounts service_ports occupied_slots"
        kernels = "containers {status status_info}"
        query = f"query($id: UUID!) {{compute_session(id: $id) {{{fields} created_at image {kernels}}}}}"
        answer = await self.call("POST", "/admin/gql", {"query": query, "variables": {"id": session_id}})
        return answer["data"]["compute_session"]


@contextlib.asynccontextmanager
async def connected(emulator: Emulator, key: str = ADMIN[0], secret: str = ADMIN[1]) -> AsyncIterator[Client]:
    config = APIConfig(
        endpoint=emulator.endpoint, endpoint_type="api", access_key=key, secret_key=secret, read_timeout=5
    )
    async with AsyncSession(config=config) as sdk:
        yield Client(sdk)


@contextlib.contextmanager
def refused(status: int, error_code: str, text: str = "") -> Iterator[None]:
    """The block raises the SDK's exception with this status, error code and text."""
    with pytest.raises(BackendAPIError) as caught:
        yield
    error = caught.value
    assert (error.status, error.data.get("error_code")) == (status, error_code)
    assert text in str(error.data)
