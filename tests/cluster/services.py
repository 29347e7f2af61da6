"""The five services of Backend.AI: how each is started, and when it is ready."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.cluster.configuration import service_environment
from tests.cluster.infrastructure import Postgres
from tests.cluster.places import Places
from tests.cluster.ports import LOOPBACK, Port, is_open
from tests.cluster.processes import Program, kill_where

SECONDS = 120.0  # in which each of them is ready; two cores that others use too need some


@dataclass(frozen=True)
class Service:
    """One service.  `ready` is asked with what it has logged in this run."""

    name: str
    program: Program
    command: Sequence[str]
    places: Places
    ready: Callable[[str], bool]

    @property
    def alive(self) -> bool:
        return self.program.alive

    def begin(self) -> Callable[[], None]:
        """Start it unless it runs; call the answer to wait until it is ready, which raises DidNotStart if it isn't."""
        if self.alive:
            return lambda: None
        begin = self.program.start(self.command, self.places.config, service_environment(self.places))
        return lambda: self.program.await_ready(lambda: self.ready(self._said_since(begin)), SECONDS)

    def start(self) -> None:
        self.begin()()

    def stop(self) -> None:
        """As an administrator would: SIGTERM, and patience."""
        self.program.end()

    def kill(self) -> None:
        """As a crash would."""
        self.program.kill()

    def restart(self) -> None:
        self.stop()
        self.start()

    def signal_all(self, number: signal.Signals) -> None:
        """SIGSTOP and SIGCONT make it hang and go on."""
        process = self.program.process
        for pid in process.members() if process else ():
            os.kill(pid, number)

    def _said_since(self, begin: int) -> str:
        with self.program.log.open("rb") as log:
            log.seek(begin)
            return log.read().decode(errors="replace")


@dataclass(frozen=True)
class Services:
    storage: Service
    coordinator: Service
    manager: Service
    worker: Service
    agent: Service

    def all(self) -> tuple[Service, ...]:
        """In the order in which they are stopped."""
        return (self.worker, self.coordinator, self.agent, self.storage, self.manager)


def services(places: Places) -> Services:
    def service(name: str, command: Sequence[str], ready: Callable[[str], bool]) -> Service:
        return Service(name, Program(name, places.run, places.logs), command, places, ready)

    python, program = str(places.python), str(places.venv / "bin" / "backend.ai")
    postgres = Postgres(places)

    def agent_ready(said: str) -> bool:
        return "Started the agent service" in said and postgres.query(
            "select count(*) from agents where status = 'ALIVE'"
        ) == [["1"]]

    return Services(
        storage=service("storage", (program, "storage", "start-server"), lambda _said: is_open(Port.STORAGE_MANAGER)),
        coordinator=service(
            "coordinator",
            (program, "app-proxy-coordinator", "start-server", "-f", "coordinator.toml"),
            lambda _said: is_open(Port.COORDINATOR),
        ),
        manager=service("manager", (python, "-m", "tests.cluster.inside.manager"), lambda _said: manager_answers()),
        worker=service(
            "worker",
            (python, "-m", "tests.cluster.inside.worker", "-f", "worker.toml"),
            lambda said: "Started the app-proxy worker" in said and worker_joined(postgres),
        ),
        agent=service("agent", (python, "-m", "tests.cluster.inside.agent"), agent_ready),
    )


def manager_answers() -> bool:
    """Asked ten times a second: urllib's opener would load the machine's certificates each time."""
    connection = http.client.HTTPConnection(LOOPBACK, int(Port.MANAGER), timeout=2.0)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def worker_joined(postgres: Postgres) -> bool:
    return postgres.query("select count(*) from workers where status = 'ALIVE'", "appproxy") == [["1"]]


def end_containers(places: Places) -> int:
    """Kill the containers of all sessions, which outlive the agent; with each goes all that runs in it."""
    return kill_where(f"shim.py {places.scratches}/")
