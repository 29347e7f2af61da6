"""The programs that are compared, each a project of its own against one emulator that has room for all."""

from __future__ import annotations

from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from emulator import Emulator
from tests.lifecycle.driver import ADMIN, TINY, PulumiStack

HERE = Path(__file__).parent
SLOT = "cuda.shares"
ROOM = {"cpu": Decimal(1024), "mem": Decimal(4 * 1024**4), SLOT: Decimal(512)}


class Beds:
    """`ours`, `floor` (as many no-op dynamic resources) and `empty` (no resources); each made when it is first used."""

    def __init__(self, folder: Path, emulator: Emulator) -> None:
        self.folder, self.emulator = folder, emulator
        emulator.cluster.settings.capacity = ROOM
        self.env = {
            "BACKEND_ENDPOINT": emulator.endpoint,
            "BACKEND_ENDPOINT_TYPE": "api",
            "BACKEND_ACCESS_KEY": ADMIN[0],
            "BACKEND_SECRET_KEY": ADMIN[1],
            "HF_ENDPOINT": emulator.hub_endpoint,
        }

    def stack(self, name: str) -> PulumiStack:
        """One more of ours, in a folder of that name."""
        return PulumiStack.new(self.folder / name, self.env)

    @cached_property
    def ours(self) -> PulumiStack:
        return self.stack("ours")

    @cached_property
    def floor(self) -> PulumiStack:
        return self._plain("floor")

    @cached_property
    def empty(self) -> PulumiStack:
        return self._plain("empty")

    def _plain(self, name: str) -> PulumiStack:
        stack = PulumiStack(self.folder / name, self.env)
        for file in (HERE / name).iterdir():
            if file.is_file():
                (stack.folder / file.name).write_bytes(file.read_bytes())
        stack.init()
        return stack

    def size_floor(self, models: int) -> int:
        """A session and an endpoint for each model, and the identity.  Says how many."""
        count = 2 * models + 1
        self.floor.env["RESOURCES"] = str(count)
        return count


def serve(stack: PulumiStack, count: int, *, load_seconds: float = 1, wait: bool = True) -> None:
    """The stack is to have so many small models, each loading for so long."""
    env = {"VLLM_STANDIN_LOAD_SECONDS": str(load_seconds)}
    models: list[dict[str, Any]] = [
        {"name": f"model-{i}", **TINY, "gpus": 0.5, "env": env, "wait": wait} for i in range(count)
    ]
    stack.configure(models, {"gpu_unit": SLOT})


def state_file(stack: PulumiStack) -> Path:
    """The state as the backend keeps it."""
    folder = Path(urlsplit(stack.env["PULUMI_BACKEND_URL"]).path)
    (file,) = folder.glob(".pulumi/stacks/*/*.json")
    return file
