"""A bed: one cluster, emulated or real, with what a test needs to lay sessions on it and to clear them away."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from backendai import Api, Connection, SessionSpec, SessionState, errors, sessions
from backendai.light import LightApi
from emulator.cluster import fixtures
from emulator.cluster.models import User
from tests.cluster.control import CONFORMANCE

from .raw import Answer, Keys, ask

SECONDS = 40.0  # within which a status is reached; on a real cluster with short ticks it takes 2 to 4
WAIT = 0.05  # seconds between two looks
STARTING = ("PREPARING", "PREPARED", "CREATING")  # which of them is seen depends on how busy the manager is
PENDING, RUNNING, ENDED = "PENDING", "RUNNING", ("TERMINATED", "CANCELLED")
# Where a process finds the port that the session's port 8000 leads to: behind a container it is 8000 itself; the
# emulator, whose sessions share one network, says which one it is.
AT_8000 = "export HOST=${EMULATOR_PORT_8000:+127.0.0.1} PORT=${EMULATOR_PORT_8000:-8000};"
# Before a command that ends at once: its end is overlooked by a manager that is just writing RUNNING down.
A_MOMENT = "sleep 1; "
_numbers = itertools.count()


class Created(NamedTuple):
    """The cluster's answer to a create."""

    answer: Answer

    @property
    def id(self) -> str:
        assert self.answer.status == 201, self.answer
        return str(self.answer.body["sessionId"])


@dataclass(frozen=True)
class Place:
    """Where a cluster is and which one it is; it holds the emulator's users and images, as real as it is itself."""

    kind: str  # emulator or cluster
    endpoint: str
    run: str  # random, in every session's name


class Bed:
    """One test's part of a cluster: its sessions have a prefix of their own, `clear` ends them."""

    def __init__(self, place: Place) -> None:
        self.kind, self.endpoint = place.kind, place.endpoint
        self.admin, self.limited = _keys(fixtures.ADMIN), _keys(fixtures.LIMITED)
        self.image, self.other_image = fixtures.IMAGES[1].name, fixtures.IMAGES[0].name
        self.prefix = f"{CONFORMANCE}{place.run}-{next(_numbers)}-"

    def name(self, label: str) -> str:
        return self.prefix + label

    # -- the door ----------------------------------------------------------------------------------

    def connection(self, who: Keys | None = None) -> Connection:
        who = who or self.admin
        return Connection(self.endpoint, who.access_key, who.secret_key)

    def api(self, who: Keys | None = None) -> Api:
        """A conversation, to be entered with `async with`."""
        return Api(self.connection(who))

    def light(self, who: Keys | None = None) -> LightApi:
        """The same without the SDK: what the program and most of the provider speak."""
        return LightApi(self.connection(who))

    def spec(self, label: str, command: str = "sleep 600", **changes: Any) -> SessionSpec:
        small = SessionSpec(
            name=self.name(label),
            tag="bai-vllm:conformance:1",
            image=self.image,
            command=command,
            resources={"cpu": "1", "mem": "256m"},
            shmem="64m",
            resource_group="default",
            domain="default",
            project="default",
            ports=[8000],
        )
        return dataclasses.replace(small, **changes)

    async def started(self, api: Api, label: str, command: str = "sleep 600", **changes: Any) -> str:
        """The id of a new session, once it is RUNNING."""
        session_id = await sessions.ensure(api, self.spec(label, command, **changes))
        await self.until(api, session_id, RUNNING)
        return session_id

    async def ran(self, api: Api, label: str, command: str, **changes: Any) -> SessionState:
        """A new session, once it has ended by itself."""
        spec = self.spec(label, A_MOMENT + command, **changes)
        return await self.ended(api, await sessions.ensure(api, spec))

    async def until(self, api: Api, session_id: str, *statuses: str, seconds: float = SECONDS) -> list[str]:
        """Wait for one of the statuses; all that were seen on the way.  An end that wasn't asked for is an error."""
        seen: list[str] = []

        async def there() -> bool:
            status = (await sessions.read(api, session_id)).status
            if status not in seen:
                seen.append(status)
            assert status in statuses or status not in ENDED, f"{seen}, not {statuses}"
            return status in statuses

        await until(there, seconds, lambda: f"{seen}, not {statuses}")
        return seen

    async def ended(self, api: Api, session_id: str) -> SessionState:
        await self.until(api, session_id, *ENDED)
        return await sessions.read(api, session_id)

    async def logged(self, api: Api, session_id: str, text: str) -> str:
        """The log, as soon as it contains this text."""
        log = ""

        async def there() -> bool:
            nonlocal log
            log = await sessions.logs(api, session_id)
            return text in log

        await until(there, SECONDS, lambda: f"{text!r} is not in {log!r}")
        return log

    # -- what the door hides -----------------------------------------------------------------------

    async def ask(self, method: str, path: str, body: Any = None, who: Keys | None = None, **options: Any) -> Answer:
        """One raw signed request."""
        return await ask(self.endpoint, who or self.admin, method, path, body, **options)

    async def create(self, label: str, who: Keys | None = None, **changes: Any) -> Created:
        """POST /session of a small batch session; a change whose key is in `config` goes there."""
        config: dict[str, Any] = {
            "resources": {"cpu": "1", "mem": "256m"},
            "resource_opts": {"shmem": "64m"},
            "environ": {},
            "scalingGroup": "default",
            "preopen_ports": [8000],
            "mounts": [],
            "attach_network": None,
        }
        config |= {key: changes.pop(key) for key in list(changes) if key in config}
        body = {
            "name": self.name(label),
            "image": self.image,
            "type": "batch",
            "startupCommand": "sleep 600",
            "enqueueOnly": True,
            "config": config,
        }
        return Created(await self.ask("POST", "/session", body | changes, who))

    async def row(self, session_id: str, who: Keys | None = None) -> Any:
        """What GraphQL tells of a session."""
        fields = "id name type status status_info result tag startup_command mounts service_ports occupied_slots"
        rest = "requested_slots image group_name access_key containers {status status_info}"
        query = f"query($id: UUID!) {{compute_session(id: $id) {{{fields} {rest}}}}}"
        answer = await self.ask("POST", "/admin/gql", {"query": query, "variables": {"id": session_id}}, who)
        assert answer.status == 200, answer
        return answer.body["data"]["compute_session"]

    # -- the end -----------------------------------------------------------------------------------

    async def clear(self) -> None:
        """End what the test has left.  The limited user's quota is small: its sessions are waited for."""
        await asyncio.gather(self._clear(self.admin, wait=False), self._clear(self.limited, wait=True))

    async def _clear(self, who: Keys, *, wait: bool) -> None:
        async with self.api(who) as api:
            living = await self.living(api)
            for session_id in living:
                with contextlib.suppress(errors.SessionNotFound):
                    await api.call("DELETE", f"/session/{session_id}", params={"forced": "true"})
            for session_id in living if wait else ():
                await self.until(api, session_id, *ENDED)

    async def living(self, api: Api) -> list[str]:
        """The ids of the test's own sessions that haven't ended."""
        wanted = {"name": {"starts_with": self.prefix}, "status": {"not_in": list(ENDED)}}
        found = await api.call("POST", "/v2/sessions/my/search", body={"filter": wanted, "limit": 50})
        return [item["id"] for item in found["items"]]


def _keys(user: User) -> Keys:
    return Keys(user.access_key, user.secret_key)


async def until(
    check: Callable[[], Awaitable[bool]], seconds: float = SECONDS, why: Callable[[], str] = lambda: "it never came"
) -> None:
    """Look again and again until it is so.  AssertionError when it isn't within the time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not await check():
        assert loop.time() < end, f"after {seconds} s: {why()}"
        await asyncio.sleep(WAIT)


@contextlib.asynccontextmanager
async def laid_on(place: Place) -> AsyncIterator[Bed]:
    """A bed that is cleared in the end."""
    bed = Bed(place)
    try:
        yield bed
    finally:
        await bed.clear()
