"""Starts the vLLM stand-in as a session does: by its executable, with flags, environment and a log."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

VLLM = Path(__file__).resolve().parents[2] / "emulator" / "bin" / "vllm"
READY = "Application startup complete."
_DEADLINE = 30.0  # seconds; a loaded machine


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Vllm:
    """One `vllm serve` on a free port that stands for the container's 8000."""

    def __init__(self, folder: Path, *argv: str, **environ: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._log = folder / f"{self.port}.log"
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        session = {
            "EMULATOR_PYTHON": sys.executable,
            "EMULATOR_PORT_8000": str(self.port),
            "VLLM_STANDIN_LOAD_SECONDS": "0",
        }
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [VLLM, *argv], env=kept | session | environ, stdout=log, stderr=subprocess.STDOUT
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_for(self, text: str = READY) -> "Vllm":
        """Until the log says so; AssertionError with the log when the process ends first, or never does."""
        until = time.monotonic() + _DEADLINE
        while text not in self.log:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log}"
            assert time.monotonic() < until, f"never said {text!r}:\n{self.log}"
            time.sleep(0.02)
        return self

    def ended(self) -> int:
        """The exit code, once it is there."""
        return self.process.wait(_DEADLINE)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request; `body` goes as JSON unless it is text."""
        content = body if body is None or isinstance(body, str) else json.dumps(body)
        sent = ({"Content-Type": "application/json"} if body is not None else {}) | headers
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            seen = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, seen, answer.read().decode())
        finally:
            connection.close()

    def stop(self) -> None:
        for end in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                self.process.send_signal(end)
                try:
                    self.process.wait(2)
                except subprocess.TimeoutExpired:
                    continue
