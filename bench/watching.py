"""What is seen from outside while a command of the CLI runs: memory of its processes, and when models were ready."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Self

import psutil

from emulator import Emulator
from emulator.cluster.models import Session
from tests.lifecycle.driver import PulumiStack, kill_group

EVERY = 0.1  # seconds between two looks
MIB = 1024**2
ROLES = {"provider": "pulumi.dynamic", "program": "pulumi-language-python-exec", "CLI": "pulumi"}
_SEEN = re.compile(r"(\S+): ready: a completion came back")


class Watched:
    """A command under observation: `seconds`; by role `peak` (MiB), `cpu` (seconds); by resource `late` (seconds)."""

    def __init__(self, stack: PulumiStack, emulator: Emulator, *, probing: bool = True) -> None:
        self.seconds = 0.0
        self.peak = dict.fromkeys(ROLES, 0.0)
        self.cpu = dict.fromkeys(ROLES, 0.0)
        self._stack, self._emulator, self._probing = stack, emulator, probing
        self._possible: dict[str, float] = {}  # by session name
        self._seen: dict[str, float] = {}  # by resource
        self._done = threading.Event()

    def run(self, command: str, *, timeout: float = 900) -> Self:
        """`up`, `preview`, `refresh` or `destroy`.  Raises AssertionError when it fails."""
        words = [command, *(() if command == "preview" else ("--yes", "--skip-preview")), "--stack", self._stack.name]
        started = time.perf_counter()
        process = self._stack.start(*words)
        threads = [threading.Thread(target=self._measure, args=(process.pid,), daemon=True)]
        if self._probing:
            threads.append(threading.Thread(target=self._probe, daemon=True))
        for thread in threads:
            thread.start()
        timer = threading.Timer(timeout, kill_group, (process,))
        timer.start()
        assert process.stdout is not None and process.stderr is not None
        lines = []
        for line in process.stdout:
            if found := _SEEN.search(line):
                self._seen.setdefault(found[1], time.monotonic())
            lines.append(line)
        code = process.wait()
        self.seconds = time.perf_counter() - started
        timer.cancel()
        self._done.set()
        for thread in threads:
            thread.join()
        said = process.stderr.read()
        process.stdout.close()
        process.stderr.close()
        assert code == 0, "".join(lines) + said
        return self

    @property
    def late(self) -> dict[str, float]:
        """How long after its first possible completion each model was told to be ready."""
        by_name = {name.rpartition("-")[0]: when for name, when in self._possible.items()}
        return {resource: self._seen[resource] - by_name[resource] for resource in self._seen}

    def _measure(self, pid: int) -> None:
        while not self._done.wait(EVERY):
            for role, rss, cpu in _measured(pid):
                self.peak[role] = max(self.peak[role], rss / MIB)
                self.cpu[role] = max(self.cpu[role], cpu)

    def _probe(self) -> None:
        while not self._done.wait(EVERY):
            for session in list(self._emulator.cluster.sessions.values()):
                if session.name not in self._possible and _answers(session):
                    self._possible[session.name] = time.monotonic()


def _measured(pid: int) -> Iterator[tuple[str, int, float]]:
    """Resident bytes and CPU seconds of the CLI and of those Python processes that it has started."""
    with contextlib.suppress(psutil.NoSuchProcess):
        cli = psutil.Process(pid)
        for process in (cli, *cli.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                words = " ".join(process.cmdline())
                role = next((role for role, mark in ROLES.items() if mark in words), None)
                if role and (role != "CLI" or process.pid == pid):
                    spent = process.cpu_times()
                    yield role, process.memory_info().rss, spent.user + spent.system


def _answers(session: Session) -> bool:
    """Whether its vLLM gives a completion, asked at the session's port itself."""
    port = session.host_port("8000")
    if port is None:
        return False
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    body = json.dumps({"model": "backendai-vllm/tiny-llama", "prompt": "1", "max_tokens": 1})
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {session.environ.get('VLLM_API_KEY')}"}
    try:
        connection.request("POST", "/v1/completions", body, headers)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
