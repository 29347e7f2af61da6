"""Where everything is: the state in the clone, the packages in the user's cache."""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.cluster.problems import CannotRun

HERE = Path(__file__).resolve().parent
CLONE = HERE.parents[1]
REQUIREMENTS = HERE / "requirements.txt"
VERSION = "26.9.6"
LONGEST_ROOT = 65  # characters: a Unix socket below it has a path of 107 at most


@dataclass(frozen=True)
class Places:
    """The folders of one cluster.  `root` is all that it writes to, apart from `cache` and mount points."""

    root: Path
    moved: str = ""  # why it isn't in the clone

    @property
    def config(self) -> Path:
        return self.root / "config"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def faults(self) -> Path:
        return self.root / "faults"

    @property
    def scratches(self) -> Path:
        """One folder a kernel; it has the session's home, its console log and the pid of its container."""
        return self.root / "scratches"

    @property
    def volume(self) -> Path:
        return self.root / "vfolders" / "local"

    @property
    def session_settings(self) -> Path:
        """What every new session gets; the agent reads it at each start of a process."""
        return self.root / "session.json"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def lease(self) -> Path:
        """Locked, shared, by each test run that uses the cluster."""
        return self.root / "lease"

    @property
    def begun_by_tests(self) -> Path:
        """There when a test run brought the cluster up, which then ends it; `up` by hand takes it away."""
        return self.root / "begun-by-tests"

    @cached_property
    def cache(self) -> Path:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        return Path(base) / "backendai-vllm" / f"cluster-{VERSION}"

    @cached_property
    def venv(self) -> Path:
        """One for each set of packages and interpreter, so that clones that differ don't fight for it."""
        digest = hashlib.sha256(REQUIREMENTS.read_bytes() + base_python().encode()).hexdigest()
        return self.cache / f"venv-{digest[:12]}"

    @property
    def python(self) -> Path:
        return self.venv / "bin" / "python"

    def make(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (self.config, self.keys, self.logs, self.run, self.faults, self.scratches, self.volume):
            folder.mkdir(parents=True, exist_ok=True)


def base_python() -> str:
    """The interpreter itself, not a virtual environment's: that may be removed any time."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def find_places() -> Places:
    """BAI_ROOT, else .local/cluster of the clone, else (its path is too long) a folder of the clone's own in /var/tmp.

    Raises CannotRun for a BAI_ROOT that can't be used.
    """
    if asked := os.environ.get("BAI_ROOT"):
        root = Path(asked).resolve()
        if len(str(root)) > LONGEST_ROOT:
            raise CannotRun(f"the path of BAI_ROOT={asked} has {len(str(root))} characters, {LONGEST_ROOT} at most")
        return Places(root)
    root = CLONE / ".local" / "cluster"
    if len(str(root)) <= LONGEST_ROOT:
        return Places(root)
    digest = hashlib.sha256(str(CLONE).encode()).hexdigest()[:10]
    return Places(
        Path("/var/tmp") / f"backendai-vllm-cluster-{digest}",
        moved=f"the clone's path is too long for Unix sockets ({len(str(root))} characters, {LONGEST_ROOT} at most)",
    )
