"""The invariant: whoever is killed at whatever call, the next run leads to one session, and nobody is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import psutil
import pytest

from emulator import Emulator
from tests.lifecycle.driver import TINY, PulumiStack

from . import rows
from .marks import Marks, everything
from .rows import WHENS, Row

HOLD = 3.0  # seconds for which the call is held, so that the signal comes in the middle of it
LONGEST = 60.0  # seconds from the signal to the end of the CLI
LANGUAGE_HOST = "pulumi-language"  # Pulumi's own: it looks every five minutes whether its CLI is still there
CLUSTER = {"gpu_unit": "cuda.shares"}
CHAT: dict[str, Any] = {"name": "chat", **TINY, "gpus": 0.5, "session_name": "chat-1"}
ROWS = (*rows.CREATE, rows.WAIT[0], rows.PROVE[2], rows.READ[0], *rows.UPDATE, *rows.DELETE)
SIGNALS = ("SIGINT once", "SIGINT twice", "SIGKILL", "plugin killed")
# What the CLI (3.259) ends with: 1 the run isn't complete, 8 it was given up.  Asked to stop once, it finishes what has
# begun; in a destroy of one model that is all there was to do.
CODES = {"SIGINT once": 1, "SIGINT twice": 8, "SIGKILL": -signal.SIGKILL, "plugin killed": 1}
COMMANDS = {"read": "refresh", "update": "up", "delete": "destroy"}


@dataclass(frozen=True)
class Blow:
    """Who is hit, at which call."""

    what: str
    row: Row
    when: str

    @property
    def id(self) -> str:
        return f"{self.row.label} | {self.when} | {self.what}"

    @property
    def command(self) -> str:
        return COMMANDS.get(self.row.operation, "up")

    @property
    def code(self) -> int:
        return 0 if (self.what, self.command) == ("SIGINT once", "destroy") else CODES[self.what]

    @property
    def empty(self) -> str:
        """Why the combination can't occur; "" when it can."""
        at_wait = self.what == "plugin killed" and self.row in rows.WAIT
        return "it is the program that waits, not the plugin" if at_wait else ""


SAMPLE = (Blow("SIGINT twice", rows.CREATE[1], "after"), Blow("plugin killed", rows.DELETE[1], "after"))
BLOWS = tuple(Blow(what, row, when) for row in ROWS for when in WHENS for what in SIGNALS)


def mine() -> list[Blow]:
    return [blow for blow in BLOWS if not blow.empty and (everything() or blow in SAMPLE)]


def family(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)


def plugins(process: subprocess.Popen[str]) -> list[psutil.Process]:
    def command(child: psutil.Process) -> list[str]:
        try:
            return list(child.cmdline())
        except psutil.NoSuchProcess:
            return []

    return [child for child in family(process) if "pulumi.dynamic" in command(child)]


def send(what: str, process: subprocess.Popen[str]) -> None:
    match what:
        case "SIGINT once":
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group
        case "SIGINT twice":
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.5)
            os.killpg(process.pid, signal.SIGINT)
        case "SIGKILL":
            os.kill(process.pid, signal.SIGKILL)
        case _:
            found = plugins(process)
            assert found
            for plugin in found:
                plugin.kill()


def until(check: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("blow", mine(), ids=lambda blow: blow.id)
def test_a_cell(blow: Blow, stack: PulumiStack, bed: Emulator, marks: Marks) -> None:
    row, command = blow.row, blow.command
    chat = {**CHAT, "wait": row.operation in ("wait", "prove")}
    stack.configure([chat], CLUSTER)
    if row.operation in COMMANDS:
        stack.up()
        until(lambda: bed.cluster.living()[0].status == "RUNNING", "it doesn't run")
    if row.operation == "update":
        stack.configure([{**chat, "session_name": "chat-2"}], CLUSTER)
    with marks.cell(blow.id):
        said = struck(blow, stack, bed)
        bed.faults.clear()
        names = [session.name for session in bed.cluster.living()]
        assert len(names) == len(set(names)) <= 1, names
        stack.run("cancel", "--yes", "--stack", stack.name, code=None)  # the lock that a killed CLI leaves behind
        again = stack.run(command if command == "destroy" else "up", "--yes", "--skip-preview", "--stack", stack.name)
        living = {session.id for session in bed.cluster.living()}
        assert living == stack.session_ids(), (said, again.text)
        assert len(living) == (0 if command == "destroy" else 1)
        if row.operation == "update":
            assert [session.name for session in bed.cluster.living()] == ["chat-2"]


def struck(blow: Blow, stack: PulumiStack, bed: Emulator) -> str:
    """The run in which it happens; what the CLI said."""
    row, what, command = blow.row, blow.what, blow.command
    fault = bed.faults.add(action="slow", delay=HOLD, method=row.method, path=row.path, when=blow.when, skip=row.skip,
                           session="^chat-")  # fmt: skip
    refresh = [] if command == "refresh" else ["--refresh=false"]
    process = stack.start(command, "--yes", "--skip-preview", "--stack", stack.name, *refresh)
    until(lambda: fault.taken > 0 or process.poll() is not None, "the call doesn't come")
    assert fault.taken, process.communicate()
    time.sleep(0.3)
    relatives, started = family(process), time.monotonic()
    relatives = [child for child in relatives if not child.name().startswith(LANGUAGE_HOST)]
    send(what, process)
    stdout, stderr = process.communicate(timeout=LONGEST)
    assert time.monotonic() - started < LONGEST
    assert process.returncode == blow.code, f"{process.returncode}\n{stdout}{stderr}"
    _, alive = psutil.wait_procs(relatives, timeout=20)
    assert not alive, f"still running: {alive}"
    time.sleep(HOLD)  # what was sent is acted on even if nobody waits for it
    return stdout + stderr
