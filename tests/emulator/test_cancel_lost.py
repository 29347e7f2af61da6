"""A waiting session that is cancelled just when the scheduler takes it comes back, and is ended all the same."""

from __future__ import annotations

from backendai import Api, Connection, SessionSpec, sessions
from backendai.retrying import poll
from emulator import Emulator
from tests.conftest import ADMIN
from tests.emulator.cluster_client import VLLM_IMAGE

SPEC = SessionSpec(
    name="comes-back",
    tag="bai-vllm:somebody:1",
    image=VLLM_IMAGE,
    command="sleep 600",
    resources={"cpu": "1", "mem": "256m", "cuda.device": "9"},  # more than there are: it waits
    shmem="64m",
    resource_group="default",
    domain="default",
    project="default",
    ports=[8000],
)


async def test_it_comes_back_when_it_was_only_cancelled(emulator: Emulator) -> None:
    emulator.cluster.faults.cancel_lost = True
    async with Api(Connection(emulator.endpoint, *ADMIN)) as api:
        session_id = await sessions.ensure(api, SPEC)
        answer = await api.call("DELETE", f"/session/{session_id}")
        assert answer == {"stats": {"status": "cancelled"}}
        assert (await sessions.read(api, session_id)).status == "CANCELLED"

        async def runs() -> bool:
            return (await sessions.read(api, session_id)).status == "RUNNING"

        assert await poll(runs, seconds=5)


async def test_destroy_ends_it_all_the_same(emulator: Emulator) -> None:
    emulator.cluster.faults.cancel_lost = True
    async with Api(Connection(emulator.endpoint, *ADMIN)) as api:
        session_id = await sessions.ensure(api, SPEC)
        await sessions.destroy(api, session_id)
        assert (await sessions.read(api, session_id)).status == "TERMINATED"
        assert emulator.cluster.living() == []
