"""Up, down and status: in which order everything is made, started and ended."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from emulator.cluster import fixtures
from emulator.cluster.models import PROJECT_ID
from tests.cluster import check as checking
from tests.cluster.configuration import (
    DATABASE_PASSWORD,
    default_session_settings,
    service_environment,
    write_configuration,
)
from tests.cluster.content import FOLDERS, MODEL_FOLDER, tables
from tests.cluster.infrastructure import Etcd, Postgres, Redis
from tests.cluster.packages import install_debian_packages, install_python_packages
from tests.cluster.places import REQUIREMENTS, Places
from tests.cluster.ports import ENDPOINT
from tests.cluster.problems import DidNotStart
from tests.cluster.processes import Program
from tests.cluster.services import Services, end_containers, manager_answers, services

HOME_OF_SESSIONS = Path("/home/work")  # a mount point on this machine, empty outside of sessions


class Laps:
    """Tells each step with the seconds it took."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._first = self._last = time.monotonic()

    def lap(self, what: str) -> None:
        now = time.monotonic()
        self._say(f"{now - self._last:6.1f} s  {what}")
        self._last = now

    @property
    def total(self) -> float:
        return time.monotonic() - self._first


def running(places: Places) -> bool:
    """Whether every part of it runs and the manager answers."""
    if not all(program.alive for program in _programs(places).values()):
        return False
    return manager_answers() and _stamp(places).exists()


def up(say: Callable[[str], None] = print) -> Places:
    """Make and start what isn't there.  Raises CannotRun, or DidNotStart with the end of the log that says why."""
    places = checking.check()
    laps = Laps(say)
    if places.moved:
        say(f"state in {places.root}: {places.moved}")
    places.make()
    with _locked(places):
        if running(places) and _stamp(places).read_text() == _made_from():
            _refresh_session_settings(places)
            say(f"runs already, at {ENDPOINT} ({laps.total:.1f} s)")
            return places
        settings = default_session_settings()
        install_debian_packages(say)
        laps.lap("Debian packages")
        install_python_packages(places, say)
        laps.lap("Python packages")
        if _stamp(places).exists() and _stamp(places).read_text() != _made_from():
            say("users, images or packages have changed: the cluster is made anew")
            _end_all(places)
            _wipe(places)
            places.make()
        write_configuration(places)
        places.session_settings.write_text(json.dumps(settings))
        _make_mount_point(places)
        _start_infrastructure(places)
        laps.lap("PostgreSQL, Redis, etcd")
        fresh = not _stamp(places).exists()
        if fresh:
            _make_databases(places)
            laps.lap("keys, schema, users, images")
        _start_services(services(places), laps)
        if fresh:
            _seed(places)
            _stamp(places).write_text(_made_from())
            laps.lap("membership, folders")
    say(f"Backend.AI 26.9.6 answers at {ENDPOINT} ({laps.total:.1f} s); logs: {places.logs}")
    return places


def down(places: Places, *, wipe: bool = False, say: Callable[[str], None] = print) -> None:
    """End every process, also after some of them were killed; `wipe`: remove the state, too (the packages stay)."""
    if not places.root.exists():
        say("nothing runs and nothing is there")
        return
    laps = Laps(say)
    with _locked(places):
        sessions = _end_all(places)
        laps.lap(f"all ended, {sessions} of them sessions' containers")
        if wipe:
            _wipe(places)
            laps.lap(f"removed {places.root}")


def status(places: Places) -> dict[str, str]:
    """Part -> what can be said of it."""
    found = {}
    for name, program in _programs(places).items():
        process = program.process
        found[name] = f"runs, pid {process.pid}" if process and process.alive else "doesn't run"
    found["API"] = f"answers at {ENDPOINT}" if manager_answers() else f"doesn't answer at {ENDPOINT}"
    return found


def _programs(places: Places) -> dict[str, Program]:
    infrastructure = [part.program for part in (Postgres(places), Redis(places), Etcd(places))]
    found = [*infrastructure, *(service.program for service in reversed(services(places).all()))]
    return {program.name: program for program in found}


def _stamp(places: Places) -> Path:
    """There when the databases are complete; says what they were made from."""
    return places.root / "made-from"


def _made_from() -> str:
    content = json.dumps(tables(), sort_keys=True) + json.dumps(FOLDERS)
    return hashlib.sha256(content.encode() + REQUIREMENTS.read_bytes()).hexdigest()


@contextlib.contextmanager
def _locked(places: Places) -> Iterator[None]:
    """Two runs at once would start everything twice."""
    with places.lock.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _start_infrastructure(places: Places) -> None:
    etcd = Etcd(places)
    for part in (etcd, Redis(places), Postgres(places)):
        part.start()
    etcd.put_values()


def _make_databases(places: Places) -> None:
    postgres = Postgres(places)
    for sql in (
        "drop database if exists backend",
        "drop database if exists appproxy",
        "drop role if exists appproxy",
        f"create role appproxy with login password '{DATABASE_PASSWORD}'",
        "create database backend",
        "create database appproxy owner appproxy",
    ):
        postgres.query(sql, "postgres")
    for key in places.keys.iterdir():
        key.unlink()
    commands = {
        "database": ("-m", "tests.cluster.inside.database"),
        "app-proxy-database": ("-m", "alembic", "-c", "alembic-appproxy.ini", "upgrade", "head"),
    }
    started = []
    for name, arguments in commands.items():
        path = places.logs / f"{name}.log"
        with path.open("w") as log:
            process = subprocess.Popen(
                [str(places.python), *arguments], cwd=places.config, env=service_environment(places),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        started.append((process, path))
    failed = [path for process, path in started if process.wait() != 0]
    if failed:
        raise DidNotStart(f"a schema can't be made; {failed[0]} ends with:\n{failed[0].read_text()[-1500:]}")


def _start_services(found: Services, laps: Laps) -> None:
    """Each needs some seconds to load its modules, so those that don't need each other start together."""
    await_first = [service.begin() for service in (found.manager, found.coordinator, found.storage)]
    for await_ready in await_first:
        await_ready()
    laps.lap("manager, storage-proxy, app-proxy coordinator")
    await_then = [service.begin() for service in (found.agent, found.worker)]
    for await_ready in await_then:
        await_ready()
    laps.lap("agent, app-proxy worker")


def _seed(places: Places) -> None:
    asked = {
        "endpoint": ENDPOINT,
        "access_key": fixtures.ADMIN.access_key,
        "secret_key": fixtures.ADMIN.secret_key,
        "project": PROJECT_ID,
        "users": [user.id for user in fixtures.USERS],
        "folders": FOLDERS,
        "model_folder": MODEL_FOLDER,
    }
    done = subprocess.run(
        [str(places.python), "-m", "tests.cluster.inside.seed", json.dumps(asked)], cwd=places.config,
        env=service_environment(places), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise DidNotStart(f"the manager doesn't take members and folders: {done.stderr.strip()[-1500:]}")


def _end_all(places: Places) -> int:
    """How many sessions' containers there were.  Services first, so that none starts another container."""
    found = services(places).all()
    for service in found:
        service.program.ask_to_end()
    for service in found:
        service.stop()
    containers = end_containers(places)
    for folder in places.scratches.glob("*"):
        shutil.rmtree(folder, ignore_errors=True)
    for part in (Redis(places), Etcd(places), Postgres(places)):
        part.stop()
    return containers


def _wipe(places: Places) -> None:
    marker = _mount_point_marker(places)
    if marker.exists():
        with contextlib.suppress(OSError):  # somebody's files are in it
            HOME_OF_SESSIONS.rmdir()
    for entry in places.root.iterdir():
        if entry in (places.lock, places.lease):
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _mount_point_marker(places: Places) -> Path:
    return places.root / "made-home-work"


def _refresh_session_settings(places: Places) -> None:
    """Another vLLM or Python may be wanted now; what a test has set for its sessions stays otherwise."""
    wanted = default_session_settings()
    if json.loads(places.session_settings.read_text())["path"] != wanted["path"]:
        places.session_settings.write_text(json.dumps(wanted))


def _make_mount_point(places: Places) -> None:
    if not HOME_OF_SESSIONS.exists():
        HOME_OF_SESSIONS.mkdir(parents=True)
        _mount_point_marker(places).touch()
