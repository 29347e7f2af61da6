"""A batch session's command as a real process: own folder, own process group, its output kept.

Nothing outlives the emulator, not even after SIGKILL: every process carries the emulator's id in its
environment, and a reaper that holds the other end of a pipe kills them all when that pipe closes.
(PR_SET_PDEATHSIG would not do: it reaches only the direct child, and when the *thread* that forked ends.)
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from emulator.cluster import reaper

MARK = "EMULATOR_ID"
BIN = Path(__file__).parent.parent / "bin"
PORTS = range(20000, 29000)  # below the range from which the system takes ports for outgoing connections
MAX_OUTPUT = 10 * 1024**2  # bytes; the manager keeps as much


class Processes:
    """All session processes of one emulator."""

    def __init__(self) -> None:
        self.id = uuid.uuid4().hex
        self.folder = Path(tempfile.mkdtemp(prefix="backendai-emulator-"))
        self._reaper = subprocess.Popen(
            [sys.executable, "-S", "-E", reaper.__file__, f"{MARK}={self.id}", str(self.folder)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self._next_port = random.choice(PORTS)

    def free_port(self) -> int:
        """A loopback port nobody listens on."""
        for _ in PORTS:
            self._next_port = self._next_port + 1 if self._next_port + 1 in PORTS else PORTS.start
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", self._next_port))
                return self._next_port
        raise RuntimeError("no free port")

    def start(
        self,
        session_id: str,
        command: str,
        environ: Mapping[str, str],
        mounts: Mapping[str, str],
        on_end: Callable[[], None],
    ) -> "SessionProcess":
        """Run the command by /bin/sh with just this environment and what every session has."""
        home = self.folder / session_id
        home.mkdir()
        for name, path in mounts.items():
            self._mount(name, path, home)
        full = {
            "LANG": os.environ.get("LANG", "C.UTF-8"),
            "HOME": str(home),
            **environ,
            "PATH": os.pathsep.join([str(BIN), str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "_BACKEND_BATCH_MODE": "1",
            "BACKENDAI_SESSION_ID": session_id,
            "EMULATOR_PYTHON": sys.executable,
            MARK: self.id,
        }
        return SessionProcess(command, full, home, on_end)

    def _mount(self, name: str, path: str, home: Path) -> None:
        """A folder of all sessions, where this one asked for it: below $HOME, which is /home/work on a real cluster.

        One that is to be elsewhere isn't there: that would be the machine's own files.
        """
        target = (home / path.removeprefix("/home/work/")).resolve()
        if not target.is_relative_to(home) or target == home:
            return
        source = self.folder / "folders" / name
        source.mkdir(parents=True, exist_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)

    def close(self, processes: list["SessionProcess"]) -> None:
        """End all of them (half a second to end by themselves) and remove their folders."""
        for process in processes:
            process.terminate(grace=0.5)
        for process in processes:
            process.wait()
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        self._reaper.wait(10)


class SessionProcess:
    """One running command. It has ended when the process has *and* nobody holds its output any more."""

    def __init__(self, command: str, environ: Mapping[str, str], home: Path, on_end: Callable[[], None]) -> None:
        self.output = bytearray()
        self.exit_code: int | None = None
        self._on_end = on_end
        self._home = home
        self._session_mark = f"BACKENDAI_SESSION_ID={environ['BACKENDAI_SESSION_ID']}"
        self._ended = threading.Event()
        self._grace: float | None = None
        self._popen = subprocess.Popen(
            ["/bin/sh", "-c", command],
            env=dict(environ),
            cwd=home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            bufsize=0,
        )
        threading.Thread(target=self._watch, name=f"watch {self._popen.pid}", daemon=True).start()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    def wait(self) -> None:
        self._ended.wait()

    def terminate(self, grace: float) -> None:
        """Begin to end it: SIGTERM to its group, `grace` seconds, SIGKILL to all that is left."""
        if self.ended or (self._grace is not None and self._grace <= grace):
            return
        self._grace = grace
        threading.Thread(target=self._kill, args=(grace,), daemon=True).start()

    def _kill(self, grace: float) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._popen.pid, signal.SIGKILL)
        reaper.kill_marked(self._session_mark)

    def _watch(self) -> None:
        assert self._popen.stdout is not None
        with self._popen.stdout as pipe:
            while data := pipe.read(65536):
                self.output += data
                del self.output[:-MAX_OUTPUT]
        self.exit_code = self._popen.wait()
        reaper.kill_marked(self._session_mark)  # as with a container, nothing stays behind
        shutil.rmtree(self._home, ignore_errors=True)
        self._ended.set()
        self._on_end()
