"""What tests do with the cluster: who to be, what to break, what is there.

cluster.agent.kill(); ...; cluster.agent.start()
with cluster.fault("create-delay", "5"): ...
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import backendai
from backendai import Connection
from emulator.cluster import fixtures
from emulator.cluster.models import TERMINAL, User
from tests.cluster import bring_up, ports
from tests.cluster.infrastructure import Postgres, Redis
from tests.cluster.places import Places
from tests.cluster.processes import wait_until
from tests.cluster.services import services

FAULTS = ("pull-delay", "pull-fail", "create-delay", "create-fail", "destroy-delay")
HUB_PORT, OTHER_PORT = ports.HOST_PORTS
CONFORMANCE = "c-"  # begins the name of each session of the conformance suite, which clears them away itself


class Keys(NamedTuple):
    access_key: str
    secret_key: str


@dataclass(frozen=True)
class Session:
    """A row of the manager's database."""

    id: str
    name: str
    status: str
    result: str
    access_key: str


class AppProxy:
    """Coordinator and worker; without them start-service fails, tunnels still work."""

    def __init__(self, places: Places) -> None:
        found = services(places)
        self.coordinator, self.worker = found.coordinator, found.worker

    def start(self) -> None:
        self.coordinator.start()
        self.worker.start()

    def stop(self) -> None:
        self.worker.stop()
        self.coordinator.stop()


class RedisServer:
    """It keeps nothing over a restart: queued events and counters are lost, as with a cache that crashed."""

    def __init__(self, places: Places) -> None:
        self._redis = Redis(places)

    def restart(self) -> None:
        self.stop()
        self.start()

    def start(self) -> None:
        self._redis.start()

    def stop(self) -> None:
        self._redis.stop()


class Cluster:
    """The running cluster.  `agent` and `manager` have start, stop, kill, restart; each waits until it is done.

    An agent that was killed leaves the sessions' processes alive and reachable; the manager takes 40 seconds to call
    it LOST.  Started again (6 s) it takes its sessions over.
    """

    endpoint = ports.ENDPOINT
    admin = Keys(fixtures.ADMIN.access_key, fixtures.ADMIN.secret_key)
    limited = Keys(fixtures.LIMITED.access_key, fixtures.LIMITED.secret_key)
    images = tuple(image.name for image in fixtures.IMAGES)
    hub_port = HUB_PORT  # HF_ENDPOINT of the sessions: Emulator(hub_port=cluster.hub_port) is what they see
    other_port = OTHER_PORT  # another port of this machine's 127.0.0.1 that sessions reach under the same number

    def __init__(self, places: Places) -> None:
        self.places = places
        self._postgres = Postgres(places)
        found = services(places)
        self.agent, self.manager, self.storage = found.agent, found.manager, found.storage
        self.redis = RedisServer(places)
        self.app_proxy = AppProxy(places)

    @property
    def running(self) -> bool:
        """Whether every part runs and the manager answers."""
        return bring_up.running(self.places)

    def connection(self, keys: Keys | None = None) -> Connection:
        """For `backendai.Api`; the administrator's unless told otherwise."""
        return Connection(self.endpoint, *(keys or self.admin))

    def environ(self, keys: Keys | None = None) -> dict[str, str]:
        """The variables of a user of this cluster, for programs."""
        access_key, secret_key = keys or self.admin
        return {
            "BACKEND_ENDPOINT": self.endpoint,
            "BACKEND_ENDPOINT_TYPE": "api",
            "BACKEND_ACCESS_KEY": access_key,
            "BACKEND_SECRET_KEY": secret_key,
            "HF_ENDPOINT": f"http://{ports.LOOPBACK}:{self.hub_port}",
        }

    @contextlib.contextmanager
    def fault(self, name: str, value: object = "") -> Iterator[None]:
        """A fault of the agent for all sessions, as long as the block lasts; see inside/agent_faults.py."""
        if name not in FAULTS:
            raise ValueError(f"{name} is no fault: {', '.join(FAULTS)}")
        switch = self.places.faults / name
        new = switch.with_suffix(".new")
        new.write_text(str(value))
        new.replace(switch)
        try:
            yield
        finally:
            switch.unlink(missing_ok=True)

    @contextlib.contextmanager
    def session_environ(self, **environ: str) -> Iterator[None]:
        """Variables of every session that starts in the block, such as VLLM_STANDIN_LOAD_SECONDS."""
        before = self.places.session_settings.read_text()
        settings = json.loads(before)
        settings["environ"] |= environ
        self._write_settings(json.dumps(settings))
        try:
            yield
        finally:
            self._write_settings(before)

    def sessions(self, *, living: bool = True, but: str | None = None) -> list[Session]:
        """All users' sessions as the manager's database has them; also when the manager is down.

        `but`: except for those whose name begins so.
        """
        where = f"where status not in ({', '.join(repr(s) for s in sorted(TERMINAL))})" if living else ""
        rows = self._postgres.query(
            f"select id, name, status, result, access_key from sessions {where} order by created_at"
        )
        found = [Session(*row) for row in rows]
        return found if but is None else [session for session in found if not session.name.startswith(but)]

    def session_ids(self) -> set[str]:
        """The living sessions but for the conformance suite's, which may run beside."""
        return {session.id for session in self.sessions(but=CONFORMANCE)}

    def containers(self) -> Mapping[str, int]:
        """Kernel id -> pid of its container, for those that are alive."""
        found = {}
        for file in self.places.scratches.glob("*/shim.pid"):
            pid = int(file.read_text())
            if Path(f"/proc/{pid}").exists():
                found[file.parent.name] = pid
        return found

    def containers_of(self, session_id: str) -> Mapping[str, int]:
        """One session's; one that was ended while its agent was lost leaves its own behind."""
        kernels = {row[0] for row in self._postgres.query(f"select id from kernels where session_id = '{session_id}'")}
        return {kernel: pid for kernel, pid in self.containers().items() if kernel in kernels}

    def kill_container(self, session_id: str) -> None:
        """SIGKILL for all processes of a session, as by an out-of-memory killer."""
        found = self.containers_of(session_id)
        assert found, "it runs"
        for pid in found.values():
            os.kill(pid, signal.SIGKILL)

    def folder(self, name: str) -> Path:
        """Where the files of one of the cluster's folders are on this machine; sessions mount it."""
        ((found,),) = self._postgres.query(f"select id from vfolders where name = '{name}'")
        digits = found.replace("-", "")
        (path,) = self.places.volume.glob(f"*/{digits[:2]}/{digits[2:4]}/{digits[4:]}")
        return path

    def await_sessions_gone(self, seconds: float = 60.0) -> bool:
        """Whether no session of anybody is alive within the time."""
        return wait_until(lambda: not self.sessions(), seconds)

    async def clear(self, *, but: str | None = None) -> None:
        """No faults and no living sessions but those whose name begins so.  Each is ended by its owner."""
        for name in FAULTS:
            (self.places.faults / name).unlink(missing_ok=True)
        owners: Mapping[str, User] = {user.access_key: user for user in fixtures.USERS}
        for access_key, owner in owners.items():
            ids = [session.id for session in self.sessions(but=but) if session.access_key == access_key]
            if not ids:
                continue
            async with backendai.Api(self.connection(Keys(owner.access_key, owner.secret_key))) as api:
                await asyncio.gather(*(backendai.sessions.destroy(api, i, force_after=0.0) for i in ids))

    def _write_settings(self, text: str) -> None:
        new = self.places.session_settings.with_suffix(".new")
        new.write_text(text)
        new.replace(self.places.session_settings)


def start_cluster() -> Cluster:
    """The cluster, up.  Raises CannotRun or DidNotStart."""
    return Cluster(bring_up.up(lambda line: print(f"  cluster {line}", flush=True)))
