"""The invariant: on a real control plane, too, the cluster holds exactly the sessions that the state holds."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emulator import Emulator
from tests.cluster.control import Cluster
from tests.cluster.fixtures import running_cluster
from tests.turns import turn

from .driver import TINY, PulumiStack, kill_group

__all__ = ["running_cluster"]

CHAT: dict[str, Any] = {"name": "chat", **TINY}
WRITER: dict[str, Any] = {"name": "writer", **TINY}
SLOW = {"VLLM_STANDIN_LOAD_SECONDS": "12"}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def real(running_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster for this test alone, empty, with a Hub that sessions can reach."""
    with turn("cluster", exclusive=True), Emulator(hub_port=running_cluster.hub_port):
        asyncio.run(running_cluster.clear())
        yield running_cluster
        asyncio.run(running_cluster.clear())


@pytest.fixture
def stack(tmp_path: Path, real: Cluster) -> PulumiStack:
    stack = PulumiStack(tmp_path / "project", real.environ())
    stack.init()
    return stack


def living(real: Cluster) -> set[str]:
    return {session.id for session in real.sessions()}


def until(check: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.1)


def test_from_up_to_destroy(stack: PulumiStack, real: Cluster) -> None:
    stack.configure([CHAT, WRITER])
    stack.up()
    assert living(real) == stack.session_ids()
    assert len(living(real)) == 2
    assert {e["via"] for e in stack.output("endpoints")} == {"app-proxy"}
    stack.up("--expect-no-changes")

    lost = next(iter(living(real)))
    real.kill_container(lost)
    until(lambda: lost not in living(real))
    stack.up()
    assert living(real) == stack.session_ids()
    assert lost not in living(real)

    before = living(real)
    stack.configure([CHAT, {**WRITER, "max_model_len": 256}])
    stack.up()
    assert living(real) == stack.session_ids()
    assert len(living(real) & before) == 1

    stack.configure([{**CHAT, "env": {"ROUND": "2"}}, {**WRITER, "env": {"ROUND": "2"}}])
    process = stack.start("up", "--yes", "--skip-preview", "--stack", stack.name)
    time.sleep(6)
    kill_group(process)
    stack.run("cancel", "--yes", "--stack", stack.name, code=None)
    stack.up()
    assert living(real) == stack.session_ids()
    assert len(living(real)) == 2

    stack.destroy()
    assert living(real) == set()
    assert stack.resources() == []


def test_a_container_that_cannot_be_created(stack: PulumiStack, real: Cluster) -> None:
    stack.configure([CHAT])
    with real.fault("create-fail", "no space left on device"):
        failed = stack.up(code=None)
    assert failed.code != 0
    assert "failed-to-create" in failed.text
    stack.up()
    assert living(real) == stack.session_ids()
    assert len(living(real)) == 1


def test_a_session_that_is_stuck_while_it_is_created(stack: PulumiStack, real: Cluster) -> None:
    stack.configure([{**CHAT, "ready_timeout": 6}])
    with real.fault("create-delay", "45"):
        failed = stack.up(code=None)
        assert failed.code != 0
        assert "nothing has moved for" in failed.text
        assert re.search(r"\(session (PREPARED|CREATING), starting\)", failed.text), failed.text
        assert living(real) == stack.session_ids()
    stack.destroy()
    assert living(real) == set()


@pytest.mark.parametrize("part", ["manager", "redis"])
def test_a_part_that_restarts_during_a_wait(part: str, stack: PulumiStack, real: Cluster) -> None:
    stack.configure([{**CHAT, "env": SLOW}])
    process = stack.start("up", "--yes", "--skip-preview", "--stack", stack.name)
    until(lambda: any(session.status == "RUNNING" for session in real.sessions()))
    getattr(real, part).restart()
    stdout, stderr = process.communicate(timeout=180)
    assert process.returncode == 0, stdout + stderr
    assert living(real) == stack.session_ids()
    assert len(living(real)) == 1


def test_without_its_app_proxy_the_tunnel_is_offered(stack: PulumiStack, real: Cluster) -> None:
    stack.configure([CHAT])
    real.app_proxy.stop()
    try:
        stack.up()
    finally:
        real.app_proxy.start()
    assert [e["via"] for e in stack.output("endpoints")] == ["tunnel"]
    assert len(living(real)) == 1


def test_an_agent_that_is_lost_does_not_keep_a_stack_from_being_destroyed(stack: PulumiStack, real: Cluster) -> None:
    stack.configure([CHAT])
    stack.up()
    real.agent.kill()
    try:
        stack.destroy(timeout=240)
        assert living(real) == set()
        assert stack.resources() == []
    finally:
        real.agent.start()
