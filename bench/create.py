"""The create path in the provider process against a bare asyncio script that makes the same calls."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from backendai import statuses
from backendai.sessions import _create_body
from bench.beds import SLOT, Beds
from bench.rows import Row, paired, pairwise
from providers.session_inputs import parse
from providers.session_spec import session_spec
from providers.vllm_model_session import VLLMModelSessionProvider
from tests.lifecycle.driver import IMAGE, TINY
from tests.provider.driver import ProviderProcess

MODELS = 12
ROUNDS = 5
AIM = 1.3
CONFIG = {"cluster": "{}", "models": "[]"}  # our own program has these keys

BARE = """
import asyncio, json, sys
from ai.backend.client.config import APIConfig
from ai.backend.client.request import Request
from ai.backend.client.session import AsyncSession

async def call(path, body):
    request = Request("POST", path)
    request.set_json(body)
    async with request.fetch() as response:
        return await response.json()

async def one(search, create):
    assert not (await call("/v2/sessions/my/search", search))["items"]
    return (await call("/session", create))["sessionId"]

async def main():
    async with AsyncSession(config=APIConfig(endpoint_type="api"), proxy_mode=True):
        return await asyncio.gather(*(one(*bodies) for bodies in json.load(sys.stdin)))

print(len(set(asyncio.run(main()))))
"""


def rows(beds: Beds) -> Iterator[Row]:
    """Both begin with a new process, which imports the SDK; the sessions wait in the queue, so that nothing starts."""
    cluster = beds.emulator.cluster
    cluster.faults.stuck_status = "PENDING"
    inputs = [_inputs(f"bare-{i}", f"{i:06x}") for i in range(MODELS)]
    bodies = json.dumps([[_search(each["session_name"]), _create_body(session_spec(parse(each)))] for each in inputs])
    calls: dict[str, int] = {}

    def ours() -> None:
        provider = ProviderProcess(VLLMModelSessionProvider(), beds.env, CONFIG)
        with provider, ThreadPoolExecutor(MODELS) as pool:
            ids = {id_ for id_, _outs in pool.map(provider.create, inputs)}
        forget("ours", len(ids))

    def bare() -> None:
        words = [sys.executable, "-c", BARE]
        done = subprocess.run(words, env=beds.env, input=bodies, check=True, stdout=subprocess.PIPE, text=True)
        forget("bare", int(done.stdout))

    def forget(who: str, created: int) -> None:
        assert created == MODELS, f"{who} created {created}"
        calls[who] = len(cluster.requests)
        beds.emulator.reset()
        cluster.faults.stuck_status = "PENDING"

    beds.emulator.reset()
    cluster.faults.stuck_status = "PENDING"
    took, least = paired(ours, bare, ROUNDS)
    beds.emulator.reset()
    detail = f"{statistics.median(took):.2f} s ÷ {statistics.median(least):.2f} s, {MODELS} models, "
    detail += f"{calls['ours']} and {calls['bare']} calls"
    yield Row("create path ÷ bare asyncio script", pairwise(took, least), AIM, detail)


def _inputs(name: str, suffix: str) -> dict[str, object]:
    made = {"owner": f"0a1b2c3d4e5f.{suffix}", "session_name": name, "api_key": "sk-bench"}
    return {**TINY, **made, "served_model_name": TINY["model"], "image": IMAGE, "gpus": 0.5, "gpu_unit": SLOT}


def _search(name: object) -> dict[str, object]:
    return {"filter": {"name": {"equals": name}, "status": {"not_in": list(statuses.ENDED)}}, "limit": 2}
