"""One real `vllm serve` on a loopback port, with the face of the stand-in's process (emulator/vllm_process.py)."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path

from tests.cluster.configuration import REAL_VLLM, SYSTEM_PATH
from tests.emulator.vllm_process import READY, Vllm

from .install import install

START_SECONDS = 240.0  # the first start on two busy cores took 104


class RealVllm(Vllm):
    def __init__(self, folder: Path, *argv: str, **environ: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._log = folder / f"{self.port}.log"
        programs = install()
        env = {"PATH": f"{programs}:{SYSTEM_PATH}", "HOME": os.environ["HOME"], "HF_HUB_OFFLINE": "1", **REAL_VLLM}
        command = [str(programs / "vllm"), *argv, "--host=127.0.0.1", f"--port={self.port}", "--enforce-eager"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, env=env | environ, stdout=log, stderr=subprocess.STDOUT)

    def wait_for(self, text: str = READY) -> Vllm:
        end = time.monotonic() + START_SECONDS
        while text not in self.log:
            assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.log[-3000:]}"
            assert time.monotonic() < end, f"never said {text!r}:\n{self.log[-3000:]}"
            time.sleep(0.2)
        return self
