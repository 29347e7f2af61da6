"""Sessions that were made by hand or by a script, beside a stack that may adopt them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

from backendai import Api, SessionSpec, Stage, sessions
from tests.lifecycle.driver import IMAGE, TINY

from .deploying import Bench

KEY = "sk-that-somebody-gave-by-hand"
MODEL = str(TINY["model"])


class ByHand(Bench):
    """With sessions that no stack has made."""

    def start(self, name: str, *, tag: str = "", **other: Any) -> str:
        """As the old scripts start one; the id of a session that runs."""
        length, key = other.pop("length", TINY["max_model_len"]), other.pop("key", KEY)
        command = f"exec vllm serve {MODEL} --port 8000 --max-model-len {length}"
        values: dict[str, Any] = {
            "image": IMAGE,
            "command": command,
            "resources": {"cpu": "1", "mem": "1g", "cuda.device": "1"},
            "shmem": "64m",
            "ports": (8000,),
            "environ": ({"VLLM_API_KEY": key} if key else {}) | other.pop("environ", {}),
        } | other
        values |= dict.fromkeys(("resource_group", "domain", "project"), "default")
        spec = SessionSpec(name=name, tag=tag, **values)

        async def running(api: Api) -> str:
            made = await sessions.ensure(api, spec)
            while (await sessions.read(api, made)).stage is not Stage.RUNNING:
                await asyncio.sleep(0.1)
            return made

        return self.asked(lambda api: asyncio.wait_for(running(api), 60))

    def wait_until_it_answers(self, session_id: str) -> None:
        async def answers(api: Api) -> None:
            while "startup complete" not in await sessions.logs(api, session_id):
                await asyncio.sleep(0.1)

        self.asked(lambda api: asyncio.wait_for(answers(api), 60))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """As another run has it."""
        folder = self.stack.folder / "state/.pulumi/locks/organization/backendai-vllm" / self.stack.name
        folder.mkdir(parents=True, exist_ok=True)
        lock = folder / "00000000-0000-0000-0000-000000000000.json"
        lock.write_text('{"pid":1,"username":"somebody","hostname":"elsewhere","timestamp":"2026-01-01T00:00:00Z"}')
        try:
            yield
        finally:
            lock.unlink()

    @property
    def exported(self) -> str:
        return json.dumps(self.stack.export())

    def replicas(self) -> dict[str, str]:
        return {str(r["urn"]).rpartition("::")[2]: str(r["id"]) for r in self.stack.resources()}
