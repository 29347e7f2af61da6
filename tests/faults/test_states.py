"""The invariant: in whatever state a session is stuck or ends, each operation says so, and the next run repairs it."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from emulator import Emulator
from tests.lifecycle.driver import TINY, PulumiStack, Result

from .marks import Marks, whole

CLUSTER = {"gpu_unit": "cuda.shares"}
LONGEST = 120.0  # seconds for one run of the CLI
OPERATIONS = ("create", "read", "update", "delete")
# By the session's own environment: all of them side by side in one stack.  What each operation says of it; None: it
# has nothing to say.
ENDED = r"has ended"
OF_ONE: dict[str, tuple[dict[str, str], dict[str, str | None]]] = {
    "stuck CREATING": (
        {"BAI_FAULT_CREATE_DELAY": "600"},
        {
            "create": r"nothing has moved for \d+ s \(session CREATING",
            "read": None,
            "update": r"a running session only",
        },
    ),
    "ends at once, exit 0": ({"VLLM_STANDIN_EXIT": "0@start"}, {"create": ENDED, "read": ENDED, "update": None}),
    "ends at once, exit 3": ({"VLLM_STANDIN_EXIT": "3@start"}, {"create": ENDED, "read": ENDED, "update": None}),
    "dies while loading": ({"VLLM_STANDIN_EXIT": "1@loading"}, {"create": ENDED, "read": ENDED, "update": None}),
    "dies after ready": ({"VLLM_STANDIN_EXIT": "1@ready+6"}, {"create": None, "read": ENDED, "update": None}),
    "another model": (
        {"VLLM_STANDIN_SERVES": "another-model"},
        {
            "create": r"it serves another-model and not",
            "read": r"drift: serves 'another-model', not",
            "update": r"it serves another-model and not",
        },
    ),
    "healthy, no completion": (
        {"VLLM_STANDIN_BROKEN_ENGINE": "1"},
        {"create": r"EngineCore|the engine", "read": ENDED, "update": None},
    ),
}
OF_ALL = ("agent lost", "endless PENDING")
STATES = (*OF_ALL, *OF_ONE)


def name_of(operation: str, state: str) -> str:
    return f"{operation} | {state}"


def of(result: Result, model: str) -> str:
    """All lines of the CLI about one model, in one line."""
    lines = [line for line in result.text.splitlines() if model in line]
    blocks = re.split(r"\n  (?=\S)", result.text.partition("Diagnostics:")[2])
    blocks = [block for block in blocks if model in block.partition("\n")[0]]
    return " ".join(" ".join([*lines, *blocks]).split())


def ours(result: Result) -> str:
    """What the CLI shows, without the last lines of vLLM's own log, and without what Pulumi's SDK raises by itself when
    a component's outputs need a resource that has failed (with --continue-on-error only).
    """
    pulumis = r"Traceback (?:(?!Traceback).)*?pulumi\.runtime\.stack\.ResourceRegistrationFailed"
    own = "\n".join(line for line in result.text.splitlines() if "  | " not in line)
    return re.sub(pulumis, "", own, flags=re.DOTALL)


def timed(stack: PulumiStack, command: str, *args: str) -> Result:
    started = time.monotonic()
    result = stack.run(command, "--yes", "--skip-preview", "--stack", stack.name, *args, code=None)
    assert time.monotonic() - started < LONGEST
    return result


def models(*, broken: bool, generation: int) -> list[dict[str, Any]]:
    found = []
    for n, (env, _) in enumerate(OF_ONE.values()):
        one = {"name": f"m{n}", "session_name": f"m{n}-{generation}-x", **TINY, "gpus": 0.5, "ready_timeout": 5}
        found.append({**one, "env": env} if broken else one)
    return found


def check(operation: str, result: Result, marks: Marks) -> None:
    for n, (state, (_, words)) in enumerate(OF_ONE.items()):
        with marks.cell(name_of(operation, state)):
            said = of(result, f"m{n}-")
            assert "Traceback" not in ours(result)
            if wanted := words[operation]:
                assert re.search(wanted, said), said or result.text[-3000:]


def agree(stack: PulumiStack, bed: Emulator, number: int) -> None:
    living = {session.id for session in bed.cluster.living()}
    assert living == stack.session_ids()
    assert len(living) == number


@whole
@pytest.mark.timeout(600)
def test_create_read_update(stack: PulumiStack, bed: Emulator, marks: Marks) -> None:
    stack.configure(models(broken=True, generation=1), CLUSTER)
    up = timed(stack, "up", "--continue-on-error")
    assert up.code != 0
    check("create", up, marks)
    assert {s.id for s in bed.cluster.living()} <= stack.session_ids()

    time.sleep(8)  # the one that dies after ready
    refresh = timed(stack, "refresh")
    assert refresh.code == 0
    check("read", refresh, marks)
    assert {s.id for s in bed.cluster.living()} == stack.session_ids()

    stack.configure(models(broken=True, generation=2), CLUSTER)
    renamed = timed(stack, "up", "--continue-on-error", "--refresh=false")
    assert renamed.code != 0
    check("update", renamed, marks)

    stack.configure(models(broken=False, generation=3), CLUSTER)
    assert timed(stack, "up").code == 0
    agree(stack, bed, len(OF_ONE))


@whole
@pytest.mark.timeout(600)
def test_delete(stack: PulumiStack, bed: Emulator, marks: Marks) -> None:
    stack.configure(models(broken=True, generation=1), CLUSTER)
    timed(stack, "up", "--continue-on-error")
    destroy = timed(stack, "destroy")
    for n, state in enumerate(OF_ONE):
        with marks.cell(name_of("delete", state)):
            assert destroy.code == 0, destroy.text
            assert not [s for s in bed.cluster.living() if s.name.startswith(f"m{n}-")]
    agree(stack, bed, 0)


@whole
def test_endless_pending(stack: PulumiStack, bed: Emulator, marks: Marks) -> None:
    chat = {"name": "chat", "session_name": "chat-1", **TINY, "gpus": 0.5, "ready_timeout": 2}
    bed.cluster.faults.no_agent = True
    stack.configure([chat], CLUSTER)
    with marks.cell(name_of("create", "endless PENDING")):
        up = timed(stack, "up")
        assert up.code != 0
        assert "The cluster has no room for it" in up.text
        agree(stack, bed, 1)
    with marks.cell(name_of("read", "endless PENDING")):
        assert timed(stack, "refresh").code == 0
        agree(stack, bed, 1)
    with marks.cell(name_of("update", "endless PENDING")):
        stack.configure([{**chat, "session_name": "chat-2"}], CLUSTER)
        up = timed(stack, "up")
        assert up.code != 0
        assert "changes the name of a running session only" in up.text
        agree(stack, bed, 1)
    with marks.cell(name_of("delete", "endless PENDING")):
        assert timed(stack, "destroy").code == 0
        agree(stack, bed, 0)


@whole
@pytest.mark.timeout(600)
def test_agent_lost(stack: PulumiStack, bed: Emulator, marks: Marks) -> None:
    chat = {"name": "chat", "session_name": "chat-1", **TINY, "gpus": 0.5, "ready_timeout": 4}
    stack.configure([chat], CLUSTER)
    stack.up()
    bed.cluster.faults.agent_lost = True
    with marks.cell(name_of("read", "agent lost")):
        assert timed(stack, "refresh").code == 0
        agree(stack, bed, 1)
    with marks.cell(name_of("update", "agent lost")):
        stack.configure([{**chat, "session_name": "chat-2"}], CLUSTER)
        timed(stack, "up")  # the cluster renames without asking the agent; the endpoint may have to wait
        agree(stack, bed, 1)
        assert [s.name for s in bed.cluster.living()] == ["chat-2"]
    with marks.cell(name_of("create", "agent lost")):
        other = {"name": "late", "session_name": "late-1", **TINY, "gpus": 0.5, "ready_timeout": 4}
        stack.configure([{**chat, "session_name": "chat-2"}, other], CLUSTER)
        up = timed(stack, "up")
        assert up.code != 0
        assert "nothing has moved for" in up.text
        agree(stack, bed, 2)
    with marks.cell(name_of("delete", "agent lost")):
        assert timed(stack, "destroy").code == 0
        agree(stack, bed, 0)
