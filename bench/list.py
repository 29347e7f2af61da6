"""`bai-vllm list` against a bare listing by the SDK: a program that opens its session and asks the same."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.rows import Row, paired, pairwise
from emulator import Emulator
from scripts import launcher
from tests.lifecycle.driver import ADMIN, TINY, PulumiStack

ROUNDS = 7
AIM = 1.5
MODELS = 4

BARE = """
from ai.backend.client.request import Request
from ai.backend.client.session import Session
from ai.backend.client.func.base import api_function, BaseFunction

class Sessions(BaseFunction):
    @api_function
    @classmethod
    async def list(cls):
        request = Request("POST", "/v2/sessions/my/search")
        request.set_json({"filter": {"tag": {"starts_with": "bai-vllm:"}}, "limit": 200})
        async with request.fetch() as response:
            return await response.json()

with Session():
    found = Sessions.list()
for item in found["items"]:
    print(item["metadata"]["name"], item["lifecycle"]["status"])
"""


def rows(folder: Path, emulator: Emulator) -> Iterator[Row]:
    """With the state, and what each server says of its load: that is more than the bare one does."""
    env = {
        "BACKEND_ENDPOINT": emulator.endpoint,
        "BACKEND_ENDPOINT_TYPE": "api",
        "BACKEND_ACCESS_KEY": ADMIN[0],
        "BACKEND_SECRET_KEY": ADMIN[1],
        "HF_ENDPOINT": emulator.hub_endpoint,
    }
    stack = PulumiStack.new(folder / "listed", env)
    stack.configure([{"name": f"model-{i}", **TINY, "gpus": 0.5} for i in range(MODELS)], {"gpu_unit": "cuda.shares"})
    stack.up()
    command = str(launcher.write())

    def ran(*words: str) -> None:
        done = subprocess.run(
            words,
            env={**stack.env, "PULUMI_STACK": stack.name},
            cwd=stack.folder,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert done.stdout.count("model-") >= MODELS, done.stdout

    ours, bare = paired(lambda: ran(command, "list"), lambda: ran(sys.executable, "-c", BARE), ROUNDS)
    stack.destroy()
    detail = f"{statistics.median(ours):.2f} s ÷ {statistics.median(bare):.2f} s, {MODELS} models"
    yield Row("bai-vllm list ÷ bare SDK listing", pairwise(ours, bare), AIM, detail)
