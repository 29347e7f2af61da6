"""One stack on an emulated cluster for all tests of a module that operate it, and `bai-vllm` as its operator has it.

What is wrong with its models is wrong from the beginning, so one `up` is enough:

    chat       serves                          writer     serves, two replicas
    greedy     out of its GPU's memory         stillborn  its container can't be created
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from backendai import Api, Connection, SessionSpec, sessions
from emulator import Emulator
from scripts import launcher
from tests.lifecycle.driver import ADMIN, IMAGE, TINY, PulumiStack

from .inside import Ended, inside

NOWHERE = "http://127.0.0.1:9"
OTHER_STACK = "0123456789ab"
MODELS: list[dict[str, Any]] = [
    {"name": "chat", **TINY, "api_key": "sk-of-the-operator-of-this-test"},
    {"name": "writer", **TINY, "replicas": 2},
    {"name": "greedy", **TINY, "wait": False, "env": {"EMULATOR_GPU_GIB": "0.0001"}},
    {"name": "stillborn", **TINY, "wait": False, "env": {"BAI_FAULT_CREATE_FAIL": "no space left on device"}},
]


class Operated:
    """The stack, its cluster, and the command."""

    def __init__(self, stack: PulumiStack, emulator: Emulator | None = None) -> None:
        self.stack, self._emulator = stack, emulator
        self.command = str(launcher.write())

    @property
    def emulator(self) -> Emulator:
        assert self._emulator is not None
        return self._emulator

    @property
    def connection(self) -> Connection:
        env = self.stack.env
        return Connection(env["BACKEND_ENDPOINT"], env["BACKEND_ACCESS_KEY"], env["BACKEND_SECRET_KEY"])

    @property
    def stack_id(self) -> str:
        return str(self.stack.resources("StackIdentity")[0]["id"])

    def serving(self) -> list[str]:
        """The ids of the sessions that serve."""
        names = ("chat-0", "writer-0", "writer-1")
        return [str(r["id"]) for r in self.stack.resources() if str(r["urn"]).endswith(names)]

    def words(self, *words: str) -> list[str]:
        return [self.command, *words]

    def environment(self, env: Mapping[str, str] | None = None) -> dict[str, str]:
        left_out = ("COLUMNS", "NO_COLOR", "FORCE_COLOR", "HF_TOKEN")
        kept = {key: value for key, value in self.stack.env.items() if key not in left_out}
        return {**kept, "PULUMI_STACK": self.stack.name, **(env or {})}

    def run(
        self, *words: str, env: Mapping[str, str] | None = None, folder: Path | None = None, code: int | None = 0
    ) -> Ended:
        """The verb in the stack's folder, in this process, which spares most of the time that one of its own takes."""
        done = inside(words, self.environment(env), folder or self.stack.folder)
        return _sound(done, code)

    def spawn(self, *words: str, env: Mapping[str, str] | None = None, code: int | None = 0) -> Ended:
        """The command as it is installed, in a process of its own."""
        done = subprocess.run(
            self.words(*words),
            env=self.environment(env),
            cwd=self.stack.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return _sound(done, code)

    @property
    def file(self) -> Path:
        return self.stack.folder / "stacks" / f"Pulumi.{self.stack.name}.yaml"

    @contextlib.contextmanager
    def file_with(self, content: str) -> Iterator[None]:
        """The stack file with another content."""
        before = self.file.read_text()
        self.file.write_text(content)
        try:
            yield
        finally:
            self.file.write_text(before)

    @contextlib.contextmanager
    def one_more_model(self, name: str, model: str) -> Iterator[None]:
        """In the stack file, and not deployed."""
        content = yaml.safe_load(self.file.read_text())
        content["config"]["backendai-vllm:models"].append({"name": name, "model": model})
        with self.file_with(yaml.safe_dump(content, sort_keys=False)):
            yield

    def error(self, *words: str, env: Mapping[str, str] | None = None, folder: Path | None = None) -> tuple[str, str]:
        """What and cure of a refusal: two lines and no more."""
        lines = self.run(*words, env=env, folder=folder, code=1).stderr.splitlines()
        assert [line[:7] for line in lines] == ["error: ", "cure:  "], lines
        return lines[0][7:], lines[1][7:]

    def json(self, *words: str, env: Mapping[str, str] | None = None, code: int = 0) -> Any:
        return json.loads(self.run(*words, "--output", "json", env=env, code=code).stdout)

    def rows(self) -> dict[str, dict[str, Any]]:
        """`list` as JSON by session name without its suffix."""
        return {str(row["session_name"]).rpartition("-")[0]: row for row in self.json("list")["sessions"]}

    def asked[T](self, work: Callable[[Api], Awaitable[T]]) -> T:
        """What the door to the cluster answers."""

        async def asking() -> T:
            async with Api(self.connection) as api:
                return await work(api)

        return asyncio.run(asking())

    def add_session(self, name: str, *, stack_id: str = OTHER_STACK, command: str = "sleep 600", gpus: int = 0) -> str:
        """One more session with the program's tag."""
        spec = SessionSpec(
            name=name,
            tag=f"bai-vllm:{stack_id}.abcdef:000000000000",
            image=IMAGE,
            command=command,
            resources={"cpu": "1", "mem": "256m", **({"cuda.device": str(gpus)} if gpus else {})},
            shmem="64m",
            resource_group="default",
            domain="default",
            project="default",
            ports=[8000],
        )
        return self.asked(lambda api: sessions.ensure(api, spec))

    def end_session(self, session_id: str) -> None:
        self.asked(lambda api: sessions.destroy(api, session_id))

    def status(self, session_id: str) -> str:
        return self.emulator.cluster.sessions[session_id].status


def _sound(done: Ended, code: int | None) -> Ended:
    assert "Traceback" not in done.stderr, done.stderr
    assert "a fault of this program" not in done.stderr, done.stderr
    assert code is None or done.returncode == code, done.stdout + done.stderr
    return done


@contextlib.contextmanager
def emulated(folder: Path, models: list[dict[str, Any]]) -> Iterator[tuple[PulumiStack, Emulator]]:
    """A stack with these models, which aren't up yet, on an emulated cluster of its own."""
    with Emulator(load_seconds=0.2) as emulator:
        env = {
            "BACKEND_ENDPOINT": emulator.endpoint,
            "BACKEND_ACCESS_KEY": ADMIN[0],
            "BACKEND_SECRET_KEY": ADMIN[1],
            "HF_ENDPOINT": emulator.hub_endpoint,
        }
        stack = PulumiStack.new(folder / "project", env)
        stack.configure(models)
        yield stack, emulator


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    with emulated(tmp_path_factory.mktemp("operated"), MODELS) as (stack, emulator):
        stack.up()
        yield Operated(stack, emulator)
