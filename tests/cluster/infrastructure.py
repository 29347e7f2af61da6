"""PostgreSQL, Redis and etcd, each a program of our own on a port of our own; nothing of the machine's is touched."""

from __future__ import annotations

import shutil
import signal
import subprocess
from pathlib import Path

from tests.cluster.configuration import DATABASE_PASSWORD, SYSTEM_PATH, etcd_values
from tests.cluster.packages import postgres_bin
from tests.cluster.places import Places
from tests.cluster.ports import LOOPBACK, Port, is_open
from tests.cluster.problems import CannotRun, DidNotStart
from tests.cluster.processes import Program

SECONDS = 30.0  # in which each of them is ready
_ETCD_PREFIX = "/sorna/local"
_ENV = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "HOME": "/"}

# PostgreSQL refuses to run as root, and its user can't enter everybody's folders.  So it gets a mount namespace of
# its own, in which its data folder lies on the home that the Debian package made for it.
_POSTGRES_HOME = "/var/lib/postgresql"
_AS_POSTGRES = (
    "unshare", "--mount", "--propagation", "private", "sh", "-c",
    f'mount --bind "$0" {_POSTGRES_HOME} && cd {_POSTGRES_HOME} && '
    'exec setpriv --reuid postgres --regid postgres --init-groups -- "$@"',
)  # fmt: skip


class Postgres:
    def __init__(self, places: Places) -> None:
        self._places = places
        self.program = Program("postgres", places.run, places.logs)

    @property
    def data(self) -> Path:
        return self._places.root / "postgres"

    def start(self) -> None:
        if self.program.alive:
            return
        binaries = postgres_bin()
        assert binaries is not None
        data = str(self.data)
        if not self._initialised():
            shutil.rmtree(self.data, ignore_errors=True)  # half of one may be there
            self.data.mkdir(mode=0o700)
            shutil.chown(self.data, "postgres", "postgres")
            options = ("-D", f"{_POSTGRES_HOME}/data", "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8")
            password = self.data / "password"
            password.write_text(DATABASE_PASSWORD)
            shutil.chown(password, "postgres", "postgres")
            done = subprocess.run(
                [*_AS_POSTGRES, data, str(binaries / "initdb"), *options, "--locale=C.UTF-8", "--no-sync",
                 f"--pwfile={_POSTGRES_HOME}/password"],
                env=_ENV, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode != 0:
                raise DidNotStart(f"PostgreSQL's data folder can't be made: {done.stderr.strip()[-500:]}")
        (self.data / "data" / "postmaster.pid").unlink(missing_ok=True)  # of one that was killed
        settings = {
            "port": int(Port.POSTGRES), "listen_addresses": LOOPBACK, "unix_socket_directories": "",
            "max_connections": 256, "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
        }  # fmt: skip
        switches = tuple(word for name, value in settings.items() for word in ("-c", f"{name}={value}"))
        command = [*_AS_POSTGRES, data, str(binaries / "postgres"), "-D", f"{_POSTGRES_HOME}/data", *switches]
        self.program.start(command, self._places.config, _ENV)
        self.program.await_ready(self._answers, SECONDS)

    def stop(self) -> None:
        self.program.end(first=signal.SIGINT)  # its "fast" shutdown: doesn't wait for clients

    def query(self, sql: str, database: str = "backend") -> list[list[str]]:
        """The rows of a query.  Raises DidNotStart when PostgreSQL refuses it or isn't there."""
        done = self._psql(sql, database)
        if done.returncode != 0:
            raise DidNotStart(f"PostgreSQL on port {Port.POSTGRES} says: {done.stderr.strip()}")
        return [line.split("\x1f") for line in done.stdout.splitlines()]

    def _answers(self) -> bool:
        return is_open(Port.POSTGRES) and self._psql("select 1", "postgres").returncode == 0

    def _psql(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["psql", "-h", LOOPBACK, "-p", str(int(Port.POSTGRES)), "-U", "postgres", "-X", "-q", "-A", "-t",
             "-F", "\x1f", "-v", "ON_ERROR_STOP=1", "-c", sql, database],
            env={**_ENV, "PGPASSWORD": DATABASE_PASSWORD, "PGCONNECT_TIMEOUT": "5",
                 "PGOPTIONS": "-c client_min_messages=warning"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def _initialised(self) -> bool:
        """A data folder of a PostgreSQL of another major version is of no use.  Raises CannotRun."""
        version = self.data / "data" / "PG_VERSION"
        if not version.exists() or not (self.data / "data" / "global" / "pg_control").exists():
            return False
        binaries = postgres_bin()
        if binaries is not None and binaries.parent.name != version.read_text().strip():
            raise CannotRun(
                f"{self.data} is of PostgreSQL {version.read_text().strip()}, installed is {binaries.parent.name}: "
                "python -m tests.cluster down --wipe"
            )
        return True


class Redis:
    def __init__(self, places: Places) -> None:
        self._places = places
        self.program = Program("redis", places.run, places.logs)

    def start(self) -> None:
        if self.program.alive:
            return
        folder = self._places.root / "redis"
        folder.mkdir(exist_ok=True)
        options = ("--bind", LOOPBACK, "--port", str(int(Port.REDIS)), "--dir", str(folder), "--save", "")
        command = ["redis-server", *options, "--appendonly", "no", "--daemonize", "no"]
        self.program.start(command, self._places.config, _ENV)
        self.program.await_ready(lambda: is_open(Port.REDIS), SECONDS)

    def stop(self) -> None:
        self.program.end()


class Etcd:
    def __init__(self, places: Places) -> None:
        self._places = places
        self.program = Program("etcd", places.run, places.logs)

    def start(self) -> None:
        if self.program.alive:
            return
        client, peer = (f"http://{LOOPBACK}:{port}" for port in (int(Port.ETCD), int(Port.ETCD_PEER)))
        folder = self._places.root / "etcd"
        folder.mkdir(mode=0o700, exist_ok=True)
        options = {
            "name": "backendai", "data-dir": folder, "initial-cluster": f"backendai={peer}",
            "listen-client-urls": client, "advertise-client-urls": client,
            "listen-peer-urls": peer, "initial-advertise-peer-urls": peer,
        }  # fmt: skip
        command = ["etcd", *(f"--{name}={value}" for name, value in options.items())]
        env = {**_ENV, "ETCD_UNSAFE_NO_FSYNC": "true"}
        self.program.start(command, self._places.config, env)
        self.program.await_ready(lambda: self._ctl("endpoint", "health").returncode == 0, SECONDS)

    def stop(self) -> None:
        self.program.end()

    def put_values(self) -> None:
        """Everything that the services look up there, in one transaction."""
        puts = "".join(f'put {_ETCD_PREFIX}/{key} "{value}"\n' for key, value in etcd_values().items())
        done = self._ctl("txn", stdin=f"\n{puts}\n\n")
        if done.returncode != 0 or "SUCCESS" not in done.stdout:
            raise DidNotStart(f"etcd doesn't take its values: {done.stderr.strip() or done.stdout.strip()}")

    def _ctl(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["etcdctl", f"--endpoints={LOOPBACK}:{int(Port.ETCD)}", *arguments],
            env={**_ENV, "ETCDCTL_API": "3"}, input=stdin,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
