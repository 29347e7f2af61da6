"""The invariant: two at once, an older state, another program, other keys: the cluster holds what the state holds."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from emulator import Emulator
from tests.cli.operated import Operated
from tests.lifecycle.driver import ADMIN, TINY, PulumiStack, kill_group

from .marks import Marks, whole

CLUSTER = {"gpu_unit": "cuda.shares"}
CHAT: dict[str, Any] = {"name": "chat", **TINY, "gpus": 0.5, "wait": False}
TAKEN: dict[str, Any] = {**CHAT, "session_name": "shared-name"}

SCENES = (
    "two ups at once on one stack",
    "two stacks with the same names",
    "two stacks that want one session name",
    "state restored from an older export",
    "an older export, destroyed directly",
    "program changed after a killed up",
    "program changed between refresh and up",
    "destroy with credentials rotated since",
    "destroy with the program gone",
)


def agree(bed: Emulator, number: int, *stacks: PulumiStack) -> None:
    living = [session.id for session in bed.cluster.living()]
    recorded = [id_ for stack in stacks for id_ in stack.session_ids()]
    assert sorted(living) == sorted(recorded)
    assert len(living) == number


def started(stack: PulumiStack) -> Any:
    return stack.start("up", "--yes", "--skip-preview", "--stack", stack.name)


def second(stack: PulumiStack, folder: Path, env: dict[str, str]) -> PulumiStack:
    """Another stack of the same project, in the same state backend."""
    other = PulumiStack(folder / "other", env, "other", backend=stack.folder / "state")
    other.init()
    return other


def test_two_ups_at_once_on_one_stack(stack: PulumiStack, bed: Emulator, marks: Marks) -> None:
    stack.configure([CHAT], CLUSTER)
    with marks.cell(SCENES[0]):
        both = [started(stack), started(stack)]
        ended = [(process.communicate(timeout=120), process.returncode) for process in both]
        codes = [code for _, code in ended]
        assert codes.count(0) <= 1, codes
        for (stdout, stderr), code in ended:
            assert code == 0 or "locked" in stdout + stderr, stdout + stderr
        assert len(bed.cluster.living()) <= 1
        stack.up()
        agree(bed, 1, stack)


@whole
def test_two_stacks_with_the_same_names(
    stack: PulumiStack, bed: Emulator, marks: Marks, tmp_path: Path, env: dict[str, str]
) -> None:
    other = second(stack, tmp_path, env)
    stack.configure([CHAT], CLUSTER)
    other.configure([CHAT], CLUSTER)
    with marks.cell(SCENES[1]):
        for process in [started(stack), started(other)]:
            stdout, stderr = process.communicate(timeout=120)
            assert process.returncode == 0, stdout + stderr
        agree(bed, 2, stack, other)
        stack.destroy()
        agree(bed, 1, other)


def test_two_stacks_that_want_one_session_name(
    stack: PulumiStack, bed: Emulator, marks: Marks, tmp_path: Path, env: dict[str, str]
) -> None:
    other = second(stack, tmp_path, env)
    stack.configure([TAKEN], CLUSTER)
    other.configure([TAKEN], CLUSTER)
    with marks.cell(SCENES[2]):
        both = [started(stack), started(other)]
        ended = [(process.communicate(timeout=120), process.returncode) for process in both]
        assert sorted(code != 0 for _, code in ended) == [False, True], ended
        for (stdout, stderr), code in ended:
            if code:
                assert "shared-name" in stdout + stderr, stdout + stderr
                assert "`session_name`" in stdout + stderr
        agree(bed, 1, stack, other)


@whole
def test_state_restored_from_an_older_export(stack: PulumiStack, bed: Emulator, marks: Marks, tmp_path: Path) -> None:
    stack.configure([CHAT], CLUSTER)
    stack.up()
    older = tmp_path / "older.json"
    stack.run("stack", "export", "--stack", stack.name, "--file", str(older))
    writer = {**CHAT, "name": "writer"}
    stack.configure([{**CHAT, "max_model_len": 256}, writer], CLUSTER)
    stack.up()
    living = {session.id for session in bed.cluster.living()}
    with marks.cell(SCENES[3]):
        stack.run("stack", "import", "--stack", stack.name, "--file", str(older))
        stack.up()
        agree(bed, 2, stack)
        assert {session.id for session in bed.cluster.living()} == living, "taken over, not made again"
        stack.run("stack", "import", "--stack", stack.name, "--file", str(older))
        stack.configure([CHAT, writer], CLUSTER)  # the older program, too
        stack.up()
        agree(bed, 2, stack)
        stack.destroy()
        agree(bed, 0, stack)


@whole
def test_an_older_export_that_is_destroyed_directly(
    stack: PulumiStack, bed: Emulator, marks: Marks, tmp_path: Path
) -> None:
    """Pulumi ends what the export knows, and `orphans` the rest: by name once the stack's identity is gone, too."""
    command = Operated(stack, bed)
    stack.configure([CHAT], CLUSTER)
    stack.up()
    older = tmp_path / "older.json"
    stack.run("stack", "export", "--stack", stack.name, "--file", str(older))
    stack.configure([CHAT, {**CHAT, "name": "writer"}, {**CHAT, "name": "coder"}], CLUSTER)

    def restored() -> dict[str, str]:
        """What lives and isn't in the older state: id -> name."""
        stack.up()
        stack.run("stack", "import", "--stack", stack.name, "--file", str(older))
        known = stack.session_ids()
        missed = {session.id: session.name for session in bed.cluster.living() if session.id not in known}
        assert sorted(name.partition("-")[0] for name in missed.values()) == ["coder", "writer"]
        return missed

    with marks.cell(SCENES[4]):
        missed = restored()
        listed = command.json("orphans")
        assert ({row["session_id"] for row in listed["orphans"]}, listed["other_stacks"]) == (set(missed), [])
        assert set(command.json("orphans", "--delete", "--yes")["deleted"]) == set(missed)
        agree(bed, 1, stack)
        missed = restored()
        stack.destroy()
        assert {session.id for session in bed.cluster.living()} == set(missed)
        listed = command.json("orphans", "--delete", "--yes")
        assert ({row["session_id"] for row in listed["other_stacks"]}, listed["deleted"]) == (set(missed), [])
        assert set(command.json("orphans", "--delete", "--yes", *missed.values())["deleted"]) == set(missed)
        agree(bed, 0, stack)


@whole
def test_program_changed_after_a_killed_up(stack: PulumiStack, bed: Emulator, marks: Marks) -> None:
    stack.configure([CHAT], CLUSTER)
    fault = bed.faults.add(action="slow", delay=5, method="POST", path="^/session$", when="after")
    process = started(stack)
    end = time.monotonic() + 60
    while not bed.cluster.living():
        assert time.monotonic() < end
        time.sleep(0.02)
    kill_group(process)
    assert fault.taken
    with marks.cell(SCENES[5]):
        stack.run("cancel", "--yes", "--stack", stack.name, code=None)
        stack.configure([{**CHAT, "max_model_len": 256}], CLUSTER)
        stack.up()
        agree(bed, 1, stack)
        assert "256" in str(bed.cluster.living()[0].command)


@whole
def test_program_changed_between_refresh_and_up(stack: PulumiStack, bed: Emulator, marks: Marks) -> None:
    writer = {**CHAT, "name": "writer"}
    stack.configure([CHAT, writer], CLUSTER)
    stack.up()
    stack.refresh()
    with marks.cell(SCENES[6]):
        for session in bed.cluster.living():  # and what was refreshed isn't true any more
            bed.cluster.kill_container(session)
        stack.configure([{**CHAT, "max_model_len": 256}, {**writer, "session_name": "renamed-1"}], CLUSTER)
        changed = stack.up("--refresh=false", code=None)
        assert "Traceback" not in changed.text
        stack.up()
        agree(bed, 2, stack)


def test_destroy_with_credentials_rotated_since(
    stack: PulumiStack, bed: Emulator, marks: Marks, env: dict[str, str]
) -> None:
    for variable in ("BACKEND_ACCESS_KEY", "BACKEND_SECRET_KEY"):
        del stack.env[variable]
    stack.configure([CHAT], CLUSTER)
    for key, value in zip(("access_key", "secret_key"), ADMIN, strict=True):
        stack.run("config", "set", "--secret", key, value, "--stack", stack.name)
    stack.up()
    user, rotated = bed.cluster.users[ADMIN[0]], "rotated-secret-key-0000000000000000000000"
    bed.cluster.users[ADMIN[0]] = replace(user, secret_key=rotated)
    with marks.cell(SCENES[7]):
        stack.run("config", "set", "--secret", "secret_key", rotated, "--stack", stack.name)
        failed = stack.destroy(code=None)
        assert failed.code != 0
        assert "doesn't accept the credentials" in failed.text
        assert "export them for one run" in failed.text
        assert ADMIN[1] not in failed.text
        agree(bed, 1, stack)
        stack.destroy(env={"BACKEND_ACCESS_KEY": ADMIN[0], "BACKEND_SECRET_KEY": rotated})
        agree(bed, 0, stack)


@whole
def test_destroy_with_the_program_gone(stack: PulumiStack, bed: Emulator, marks: Marks) -> None:
    stack.configure([CHAT], CLUSTER)
    stack.up()
    with marks.cell(SCENES[8]):
        (stack.folder / "__main__.py").unlink()
        (stack.folder / "components").unlink()
        shutil.rmtree(stack.folder / "cache", ignore_errors=True)
        stack.destroy()
        agree(bed, 0, stack)
