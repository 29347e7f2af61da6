"""The invariant: on a real control plane, too, the cluster holds exactly the sessions that the state holds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.control import Cluster
from tests.cluster.processes import wait_until

from .driver import TINY, PulumiStack, kill_group, stack_on

CHAT: dict[str, Any] = {"name": "chat", **TINY}
WRITER: dict[str, Any] = {"name": "writer", **TINY}

pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def stack(tmp_path: Path, shared_cluster: Cluster) -> Iterator[PulumiStack]:
    with stack_on(shared_cluster, tmp_path) as stack:
        yield stack


def test_from_up_to_destroy(stack: PulumiStack, shared_cluster: Cluster) -> None:
    living = shared_cluster.session_ids
    stack.configure([CHAT, WRITER])
    stack.up()
    assert living() == stack.session_ids()
    assert len(living()) == 2
    assert {e["via"] for e in stack.output("endpoints")} == {"app-proxy"}
    stack.up("--expect-no-changes")

    lost = next(iter(living()))
    shared_cluster.kill_container(lost)
    assert wait_until(lambda: lost not in living(), 60)
    stack.up()
    assert living() == stack.session_ids()
    assert lost not in living()

    before = living()
    stack.configure([CHAT, {**WRITER, "max_model_len": 256}])
    stack.up()
    assert living() == stack.session_ids()
    assert len(living() & before) == 1

    before = living()
    stack.configure([{**CHAT, "env": {"ROUND": "2"}}, {**WRITER, "env": {"ROUND": "2"}}])
    process = stack.start("up", "--yes", "--skip-preview", "--stack", stack.name)
    assert wait_until(lambda: bool(living() - before), 60)  # one of them is just made
    kill_group(process)
    stack.run("cancel", "--yes", "--stack", stack.name, code=None)
    stack.up()
    assert living() == stack.session_ids()
    assert len(living()) == 2
    assert living().isdisjoint(before)

    stack.destroy()
    assert living() == set()
    assert stack.resources() == []


def test_a_container_that_cannot_be_created(stack: PulumiStack, shared_cluster: Cluster) -> None:
    stack.configure([{**CHAT, "env": {"BAI_FAULT_CREATE_FAIL": "no space left on device"}}])
    failed = stack.up(code=None)
    assert failed.code != 0
    assert "failed-to-create" in failed.text
    stack.configure([CHAT])
    stack.up()
    assert shared_cluster.session_ids() == stack.session_ids()
    assert len(shared_cluster.session_ids()) == 1


def test_a_session_that_is_stuck_while_it_is_created(stack: PulumiStack, shared_cluster: Cluster) -> None:
    stack.configure([{**CHAT, "env": {"BAI_FAULT_CREATE_DELAY": "45"}, "ready_timeout": 6}])
    failed = stack.up(code=None)
    assert failed.code != 0
    assert "nothing has moved for" in failed.text
    assert re.search(r"\(session (PREPARED|CREATING), starting\)", failed.text), failed.text
    assert len(shared_cluster.session_ids()) == 1
    assert shared_cluster.session_ids() == stack.session_ids()
    stack.destroy()
    assert shared_cluster.session_ids() == set()
