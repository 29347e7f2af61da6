"""A kernel that is real processes: what the agent asks of it goes to its container (shim.py) over a socket."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from ai.backend.agent.dummy.kernel import DummyFakeCodeRunner, DummyKernel
from ai.backend.agent.kernel import RUN_ID_FOR_BATCH_JOB
from ai.backend.common.types import ServicePortProtocols, SessionTypes

HOME = "/home/work"
SETTINGS = Path(os.environ.get("CLUSTER_ROOT", "/nonexistent")) / "session.json"

type Answer = dict[str, Any]


class ProcessKernel(DummyKernel):
    """One container.  `running` (its shim is there) is kept up to date by ProcessAgent.watch."""

    running = False
    batch_requested = False

    @property
    def folder(self) -> Path:
        return Path(self.agent_config["container"]["scratch-root"]) / str(self.kernel_id)

    def __getstate__(self) -> dict[str, Any]:
        """For recovery after a restart of the agent, which makes a new runner."""
        return {name: value for name, value in super().__getstate__().items() if name not in ("runner", "running")}

    def __setstate__(self, props: dict[str, Any]) -> None:
        super().__setstate__(props)
        self.runner = None

    async def shim(self, op: str, **arguments: Any) -> Answer:
        """One request to the shim.  Raises OSError or ValueError when it is gone."""
        folder = os.open(self.folder, os.O_PATH)  # a socket's path may have 107 characters only
        try:
            reader, writer = await asyncio.open_unix_connection(f"/proc/self/fd/{folder}/shim.sock")
        finally:
            os.close(folder)
        try:
            writer.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            answer: Answer = json.loads(await reader.readline())
            return answer
        finally:
            writer.close()

    async def run(self, name: str, argv: Sequence[str], cwd: str = HOME, **environ: str) -> Answer:
        """Start a program in the container."""
        settings = json.loads(SETTINGS.read_text())
        told = {
            "LANG": "C.UTF-8", "TERM": "xterm", "SHELL": "/bin/bash", "HOME": HOME, "PATH": settings["path"],
            "EMULATOR_GPUS": str(self._gpus()), **settings["environ"],
        }  # fmt: skip
        own = {key: str(value) for key, value in self.environ.items()}
        return await self.shim("run", name=name, argv=list(argv), env={**told, **own, **environ}, cwd=cwd)

    def _gpus(self) -> Decimal:
        """As the emulator tells its stand-in for vLLM, which offers as many cards."""
        slots: Mapping[str, Any] = self.resource_spec.slots
        return sum((Decimal(amount) for slot, amount in slots.items() if str(slot).startswith("cuda.")), Decimal(0))

    async def create_code_runner(self, event_producer: Any, *, client_features: Any, api_version: Any) -> Any:
        return await ProcessCodeRunner.new(self, event_producer)

    async def check_status(self) -> Answer:
        """The agent waits for this before it reports the kernel as started."""
        if (self.folder / "work" / "bootstrap.sh").exists():
            await self.run("bootstrap", ["/bin/sh", f"{HOME}/bootstrap.sh"])
            await self.shim("wait", name="bootstrap")  # its exit code is ignored, as in production
        return {}

    async def get_logs(self) -> Answer:
        return {"logs": (self.folder / "console.log").read_text(errors="replace")}

    async def start_service(self, service: str, opts: Mapping[str, Any]) -> Answer:
        for port in self.service_ports:
            if port["name"] == service:
                if port["protocol"] == ServicePortProtocols.PREOPEN:
                    return {"status": "started"}  # the user runs it: nothing to start
                return {"status": "failed", "error": f"unsupported service: {service}"}
        return {"status": "failed", "error": "invalid service name"}

    async def start_model_service(self, model: Mapping[str, Any]) -> Answer:
        service = model["service"]
        command = service["start_command"]
        if isinstance(command, str):
            command = [service["shell"], "-c", command] if service.get("shell") else shlex.split(command)
        answer = await self.run(f"{model['name']}-{service['port']}", command, cwd=model["model_path"])
        return {"status": "failed", **answer} if "error" in answer else {"status": "started"}


class ProcessCodeRunner(DummyFakeCodeRunner):
    """What the stock AbstractKernel.execute() talks to: one batch run, reported as the kernel runner does it."""

    def __init__(self, kernel: ProcessKernel, event_producer: Any) -> None:
        super().__init__(
            kernel.kernel_id, kernel.session_id, event_producer,
            kernel_host="127.0.0.1", repl_in_port=0, repl_out_port=0,
        )  # fmt: skip
        self.kernel = kernel
        self.waiter: asyncio.Task[Answer] | None = None

    async def feed_batch(self, opts: Mapping[str, Any]) -> None:
        command = ["/bin/sh", "-c", opts.get("exec") or ""]
        answer = await self.kernel.run("batch", command, _BACKEND_BATCH_MODE="1")
        if "error" in answer:
            raise RuntimeError(answer["error"])

    async def get_next_result(self, api_ver: int = 2, flush_timeout: float = 2.0) -> Answer:
        result = {"runId": RUN_ID_FOR_BATCH_JOB, "exitCode": None, "options": None, "console": []}
        if self.kernel.session_type != SessionTypes.BATCH:  # no interpreter behind interactive sessions
            return {**result, "status": "finished", "exitCode": 127}
        if self.waiter is None:
            self.waiter = asyncio.create_task(self.kernel.shim("wait", name="batch"))
        done, _ = await asyncio.wait({self.waiter}, timeout=flush_timeout)
        if not done and not self._closed:
            return {**result, "status": "continued"}
        if self._closed or self.waiter.exception():
            raise asyncio.CancelledError  # destroyed, or the shim died: then the container's end is what is reported
        return {**result, "status": "finished", "exitCode": self.waiter.result()["exit"]}

    async def close(self) -> None:
        self._closed = True
        if self.waiter is not None:
            self.waiter.cancel()
