"""Can the cluster run on this machine?  One reason why not is enough; each comes with its cure."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from tests.cluster.packages import missing_programs
from tests.cluster.places import Places, find_places
from tests.cluster.ports import CIRCUITS, Port, listeners
from tests.cluster.problems import CannotRun
from tests.cluster.processes import described

FREE_DISK = 3 * 1024**3  # bytes: packages, database, logs
FREE_MEMORY = 2.5 * 1024**3  # bytes


def check(places: Places | None = None) -> Places:
    """The places to use.  Raises CannotRun, in one line, when the cluster can't run here."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise CannotRun(f"it needs Linux on x86_64, this is {sys.platform} on {platform.machine()}")
    if sys.version_info[:2] != (3, 13):
        raise CannotRun(f"it needs Python 3.13, this is {platform.python_version()}: use .venv/bin/python (make setup)")
    if os.geteuid() != 0:
        raise CannotRun("it needs root (namespaces, a user for PostgreSQL): run it as root")
    places = places or find_places()
    _check_namespaces()
    if (missing := missing_programs()) and not shutil.which("apt-get"):
        raise CannotRun(f"{', '.join(missing)} are missing and there is no apt-get: install them by hand")
    _check_room(places)
    _check_ports(places)
    return places


def _check_namespaces() -> None:
    if not shutil.which("unshare") or not shutil.which("setpriv"):
        raise CannotRun("unshare or setpriv is missing: install the package util-linux")
    done = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise CannotRun(
            f"namespaces can't be made ({done.stderr.strip()}): sessions need them; a container needs CAP_SYS_ADMIN"
        )


def _check_room(places: Places) -> None:
    for folder in (places.root, places.cache):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if shutil.disk_usage(there).free < FREE_DISK:
            raise CannotRun(f"less than {FREE_DISK // 1024**3} GB are free in {there}: make room")
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    available = int(lines["MemAvailable"].split()[0]) * 1024
    if available < FREE_MEMORY and not _own_pids(places):
        raise CannotRun(f"it needs {FREE_MEMORY / 1024**3:.1f} GB of memory, {available / 1024**3:.1f} are available")


def _check_ports(places: Places) -> None:
    """Each port must be free or our own; the two for tests are the tests' affair."""
    own = _own_pids(places)
    names = dict.fromkeys(range(CIRCUITS[0], CIRCUITS[1] + 1), "a URL of the app-proxy")
    names |= {int(port): port.name for port in Port}
    for port, pid in sorted(listeners(frozenset(names)).items()):
        if pid == 0 or _session_of(pid) not in own:
            whose = _other_cluster(pid)
            cure = f"stop it: BAI_ROOT={whose} python -m tests.cluster down" if whose else "stop it"
            raise CannotRun(f"port {port} ({names[port]}) is used by {described(pid)}: {cure}")


def _own_pids(places: Places) -> set[int]:
    own = set()
    for record in places.run.glob("*.json"):
        try:
            own.add(int(json.loads(record.read_text())["pid"]))
        except (OSError, ValueError, KeyError):
            continue
    return own


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def _other_cluster(pid: int) -> str:
    """The root of the cluster of another clone that this process belongs to, if it does."""
    try:
        folder = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return ""
    root = folder.parent
    return str(root) if folder.name == "config" and (root / "run").is_dir() else ""
