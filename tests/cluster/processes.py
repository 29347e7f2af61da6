"""Programs in the background: started detached, found again by pid and start time, ended with all they started."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.places import HERE
from tests.cluster.problems import DidNotStart

POLL = 0.1  # seconds
_STATE, _SESSION, _STARTED = 0, 3, 19  # fields of /proc/PID/stat, counted behind the name


@dataclass(frozen=True)
class Process:
    """One started program.  `started` tells it from a later process that got the same pid."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        return _alive(self.pid, self.started)

    def members(self) -> list[int]:
        """The living processes of its session: itself and what it forked, also when it is dead itself."""
        found = []
        for pid, fields in _all_stats():
            if int(fields[_SESSION]) == self.pid and int(fields[_STARTED]) >= self.started and fields[_STATE] != "Z":
                found.append(pid)
        return found


class Program:
    """A named program of which at most one runs; its pid is in `run/NAME.json`, its output in `logs/NAME.log`."""

    def __init__(self, name: str, run: Path, logs: Path) -> None:
        self.name = name
        self.log = logs / f"{name}.log"
        self._record = run / f"{name}.json"

    @property
    def process(self) -> Process | None:
        """What was started last, if any of it may still be there."""
        try:
            return Process(**json.loads(self._record.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    @property
    def alive(self) -> bool:
        process = self.process
        return process is not None and process.alive

    def start(self, command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> int:
        """Start it; the answer is where in its log this run begins."""
        self.end()  # a part of it may have outlived the rest
        begin = self.log.stat().st_size if self.log.exists() else 0
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(HERE / "detach.py"), str(self.log), str(cwd), *command],
            env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        pid = int(done.stdout)
        started = _started(pid)
        self._record.write_text(json.dumps({"pid": pid, "started": started or 0}))
        return begin

    def end(self, *, first: signal.Signals = signal.SIGTERM, seconds: float = 15.0) -> None:
        """Ask the program to end, wait, and kill what is left of it.  Nothing running is fine."""
        process = self.process
        if process is None:
            return
        if process.alive:
            self.ask_to_end(first)
            wait_until(lambda: not process.members(), seconds)
        self.kill()

    def ask_to_end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Without waiting."""
        process = self.process
        if process is not None and process.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, how)

    def kill(self) -> None:
        """SIGKILL for the program and all of its processes; back when they are gone."""
        process = self.process
        if process is None:
            return

        def gone() -> bool:
            members = process.members()
            for pid in members:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not members

        if not wait_until(gone, 10.0):
            raise DidNotStart(f"{self.name} (pid {process.pid}) doesn't end although it was killed")
        self._record.unlink(missing_ok=True)

    def await_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until it is ready.  Raises DidNotStart with the end of its log when it ends or takes too long."""
        if wait_until(lambda: not self.alive or ready(), seconds) and self.alive:
            return
        how = "didn't get ready within {:.0f} seconds" if self.alive else "ended while it started"
        lines = self.log.read_text(errors="replace").splitlines()[-8:] if self.log.exists() else []
        said = "".join(f"\n    {line[:300]}" for line in lines)
        raise DidNotStart(f"{self.name} {how.format(seconds)}; its log is {self.log}, which ends with:{said}")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL)
    return True


def kill_where(named: str) -> int:
    """SIGKILL for each process that has this text in its command line; how many there were.  Waits for their end."""
    asked: set[int] = set()

    def gone() -> bool:
        found = [pid for pid, _fields in _all_stats() if pid != os.getpid() and named in _command(pid)]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        asked.update(found)
        return not found

    wait_until(gone, 10.0)
    return len(asked)


def described(pid: int) -> str:
    """`pid 123 (redis-server 127.0.0.1:18110)` for a message."""
    return (
        f"pid {pid} ({_command(pid)[:100].strip() or 'unknown'})" if pid else "a process that can't be seen from here"
    )


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def _stat(pid: int) -> list[str] | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _started(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[_STARTED]) if fields else None


def _alive(pid: int, started: int) -> bool:
    fields = _stat(pid)
    return fields is not None and fields[_STATE] != "Z" and int(fields[_STARTED]) == started


def _all_stats() -> Iterator[tuple[int, list[str]]]:
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            yield int(entry), fields
