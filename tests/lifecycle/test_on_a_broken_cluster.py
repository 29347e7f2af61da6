"""The invariant: whatever part of a real control plane goes down, an `up` ends with a model or with the cause."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.control import Cluster
from tests.cluster.processes import wait_until

from .driver import TINY, PulumiStack, stack_on

CHAT: dict[str, Any] = {"name": "chat", **TINY}
SLOW = {"VLLM_STANDIN_LOAD_SECONDS": "12"}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def stack(tmp_path: Path, cluster: Cluster) -> Iterator[PulumiStack]:
    with stack_on(cluster, tmp_path) as stack:
        yield stack


def test_redis_and_the_manager_restart_during_a_wait(stack: PulumiStack, cluster: Cluster) -> None:
    stack.configure([{**CHAT, "env": SLOW}])
    process = stack.start("up", "--yes", "--skip-preview", "--stack", stack.name)
    assert wait_until(lambda: [session.status for session in cluster.sessions()] == ["RUNNING"], 60)
    waited_for = cluster.session_ids()
    for part in (cluster.redis, cluster.manager):
        assert process.poll() is None, "it waits"
        part.restart()
    stdout, stderr = process.communicate(timeout=180)
    assert process.returncode == 0, stdout + stderr
    assert cluster.session_ids() == stack.session_ids() == waited_for
    assert cluster.running


def test_without_its_app_proxy_the_tunnel_is_offered(stack: PulumiStack, cluster: Cluster) -> None:
    stack.configure([CHAT])
    cluster.app_proxy.stop()
    try:
        stack.up()
    finally:
        cluster.app_proxy.start()
    assert [e["via"] for e in stack.output("endpoints")] == ["tunnel"]
    assert len(cluster.session_ids()) == 1
    assert cluster.running


def test_an_agent_that_is_lost_does_not_keep_a_stack_from_being_destroyed(stack: PulumiStack, cluster: Cluster) -> None:
    stack.configure([CHAT])
    stack.up()
    cluster.agent.kill()
    try:
        stack.destroy(timeout=240)
        assert cluster.session_ids() == set()
        assert stack.resources() == []
    finally:
        cluster.agent.start()
