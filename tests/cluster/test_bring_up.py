"""The real control plane comes up, says so, runs a batch session for the project's door, and bears a dead agent."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import httpx
import pytest_asyncio

from backendai import Api, SessionSpec, Stage, open_tunnel, sessions
from emulator import Emulator
from emulator.cluster import fixtures
from tests.cluster.bring_up import status, up
from tests.cluster.control import Cluster
from tests.cluster.places import CLONE
from tests.cluster.processes import Program, wait_until
from tests.turns import turn

VLLM = "cr.backend.ai/stable/vllm:0.32.0-cuda12.9-ubuntu24.04"
MODEL = "backendai-vllm/tiny-llama"
SERVE = f"exec vllm serve {MODEL} --host=0.0.0.0 --port=8000"
SECONDS = 60.0  # for what takes a few on an idle machine


@pytest_asyncio.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    async with Api(cluster.connection()) as api:
        yield api


def spec(name: str, command: str, **changes: object) -> SessionSpec:
    wanted: dict[str, object] = {
        "name": name,
        "tag": f"bai-vllm:{name}:1",
        "image": VLLM,
        "command": command,
        "resources": {"cpu": "1", "mem": "2g", "cuda.device": "1"},
        "shmem": "64m",
        "resource_group": "default",
        "domain": "default",
        "project": "default",
        "ports": [8000],
    }
    return SessionSpec(**{**wanted, **changes})  # type: ignore[arg-type]


async def until(api: Api, session_id: str, stage: Stage) -> sessions.SessionState:
    end = time.monotonic() + SECONDS
    while (state := await sessions.read(api, session_id)).stage is not stage:
        assert time.monotonic() < end, f"{state} isn't {stage} after {SECONDS} s"
        assert not state.ended or stage is Stage.ENDED, await sessions.why_ended(api, session_id)
        await asyncio.sleep(0.1)
    return state


async def answers(url: str) -> bool:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                if (await client.get("/health")).status_code == 200:
                    return True
            except httpx.TransportError:
                await asyncio.sleep(0.2)
    return False


def test_a_second_up_does_nothing_and_takes_no_time(running_cluster: Cluster) -> None:
    with turn("cluster", exclusive=True):
        pids = status(running_cluster.places)
        begin = time.monotonic()
        up(lambda _line: None)
        assert time.monotonic() - begin < 5
        assert status(running_cluster.places) == pids
    assert not any("doesn't" in what for what in pids.values())


def test_the_command_says_the_same(running_cluster: Cluster) -> None:
    with turn("cluster", exclusive=True):
        command = [sys.executable, "-m", "tests.cluster", "status"]
        done = subprocess.run(command, cwd=CLONE, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"answers at {running_cluster.endpoint}" in done.stdout


async def test_it_holds_what_the_emulator_holds(cluster: Cluster, api: Api) -> None:
    query = """{
      images { id name tag }
      agent_list(limit: 1, offset: 0, status: "ALIVE") { items { available_slots } }
    }"""
    data = (await api.call("POST", "/admin/gql", body={"query": query}))["data"]
    assert {(image["id"], f"{image['name']}:{image['tag']}") for image in data["images"]} == {
        (image.id, image.name) for image in fixtures.IMAGES
    }
    slots = json.loads(data["agent_list"]["items"][0]["available_slots"])
    assert {slot: Decimal(amount) for slot, amount in slots.items()} == fixtures.capacity()


async def test_what_one_session_writes_to_a_folder_another_users_reads(cluster: Cluster, api: Api) -> None:
    mounts = {"llm-model": "/home/work/models", "hf-cache": "/home/work/.cache/huggingface"}
    write = "echo weights >models/w && echo cached >.cache/huggingface/c"
    written = await sessions.ensure(api, spec("writer", write, mounts=mounts))
    assert (await until(api, written, Stage.ENDED)).result == "SUCCESS"
    async with Api(cluster.connection(cluster.limited)) as limited:
        read = await sessions.ensure(limited, spec("reader", "cat models/w .cache/huggingface/c", mounts=mounts))
        assert (await until(limited, read, Stage.ENDED)).result == "SUCCESS"
        assert await sessions.logs(limited, read) == "weights\ncached\n"


async def test_a_model_is_served_through_the_tunnel_from_the_hub_of_the_test(cluster: Cluster, api: Api) -> None:
    with Emulator(hub_port=cluster.hub_port) as emulator:
        session_id = await sessions.ensure(api, spec("serving", SERVE))
        assert await sessions.ensure(api, spec("serving", SERVE)) == session_id
        await until(api, session_id, Stage.RUNNING)
        async with open_tunnel(api, session_id, "8000") as url:
            assert await answers(url)
            async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
                body = {"model": MODEL, "prompt": "one", "max_tokens": 1}
                completion = await client.post("/v1/completions", json=body)
        assert completion.status_code == 200, completion.text
        assert any(MODEL in path for _method, path, _status in emulator.hub_requests)
    assert [(s.name, s.status, s.access_key) for s in cluster.sessions()] == [
        ("serving", "RUNNING", cluster.admin.access_key)
    ]
    assert MODEL in await sessions.logs(api, session_id)
    await sessions.destroy(api, session_id)
    assert wait_until(
        lambda: not cluster.containers_of(session_id), SECONDS
    )  # the manager writes it down a moment earlier


async def test_a_killed_agent_leaves_its_sessions_and_takes_them_over_again(cluster: Cluster, api: Api) -> None:
    session_id = await sessions.ensure(api, spec("survivor", "exec sleep 600"))
    await until(api, session_id, Stage.RUNNING)
    containers = cluster.containers_of(session_id)
    assert len(containers) == 1
    cluster.agent.kill()
    try:
        assert not cluster.running
        assert cluster.containers_of(session_id) == containers
        assert (await sessions.read(api, session_id)).stage is Stage.RUNNING
    finally:
        cluster.agent.start()
    assert cluster.running
    assert (await sessions.read(api, session_id)).stage is Stage.RUNNING
    cluster.kill_container(session_id)
    await until(api, session_id, Stage.ENDED)
    assert "self-terminated" in await sessions.why_ended(api, session_id)


async def test_a_fault_holds_as_long_as_its_block(cluster: Cluster, api: Api) -> None:
    with cluster.fault("create-fail", "no such device"):
        session_id = await sessions.ensure(api, spec("failing", "true"))
        await until(api, session_id, Stage.ENDED)
    assert "failed-to-create" in await sessions.why_ended(api, session_id)
    session_id = await sessions.ensure(api, spec("working", "true"))
    assert (await until(api, session_id, Stage.ENDED)).result == "SUCCESS"


def test_processes_are_gone_after_down_even_when_their_parents_were_killed(tmp_path: Path) -> None:
    """What `down` does with each program, on one that leaves children behind."""
    program = Program("parent", tmp_path, tmp_path)
    program.start(["sh", "-c", "sleep 300 & sleep 301; true"], tmp_path, os.environ)
    process = program.process
    assert process is not None
    assert wait_until(lambda: len(process.members()) == 3, 10)  # sh and both sleeps
    os.kill(process.pid, signal.SIGKILL)
    assert wait_until(lambda: not process.alive, 10)
    assert len(process.members()) == 2
    program.end()
    assert not process.members()
    assert program.process is None
