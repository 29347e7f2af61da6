"""Preview and up of the selected stack through Pulumi's Automation API."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.pulumi_cli import path_for_programs, pulumi_environment, refusal
from cli.stack import Stack

from .watching import Watch

if TYPE_CHECKING:
    from pulumi.automation import Stack as AutomatedStack


@dataclass(frozen=True)
class Manner:
    """What is shown: `verbose`, all that Pulumi prints; `debug`, with its details; `verdicts`, what will start."""

    verbose: bool = False
    debug: bool = False
    verdicts: bool = True

    @property
    def raw(self) -> bool:
        """Whether Pulumi's own output is shown instead of ours."""
        return self.verbose or self.debug


@dataclass(frozen=True)
class Run:
    """How a run ended.  `begun`: it had done something to a session; `errors`: none when it succeeded."""

    begun: bool
    errors: tuple[str, ...]
    changes: dict[str, int]
    interrupted: bool = False

    @property
    def failed(self) -> bool:
        return bool(self.errors) or self.interrupted

    @property
    def unchanged(self) -> bool:
        """Nothing was, or would be, changed."""
        return not any(count for op, count in self.changes.items() if op not in ("same", "read", "refresh"))


def preview(stack: Stack, config_file: Path, manner: Manner) -> Run:
    """What an `up` with that file would do; nothing is written."""
    return _run(stack, manner, preview=True, config_file=str(config_file))


def up(stack: Stack, manner: Manner) -> Run:
    """Makes the stack as its file says."""
    return _run(stack, manner, preview=False)


def _run(stack: Stack, manner: Manner, *, preview: bool, **options: Any) -> Run:
    from pulumi.automation import CommandError

    watch, failure = Watch(preview=preview, quiet=manner.raw, verdicts=manner.verdicts), ""
    automated = _automated(stack)
    start = automated.preview if preview else automated.up
    with _interrupts() as interrupts:
        try:
            start(
                on_event=watch.event,
                on_output=_print if manner.raw else None,
                on_error=_print_error if manner.raw else None,
                debug=manner.debug or None,
                color="never",
                **options,
            )
        except CommandError as error:
            failure = str(error)
    stopped = bool(interrupts and failure)
    errors = tuple(watch.errors)
    if failure and not errors and not stopped:
        refused = refusal(failure.partition("stderr:")[2].strip() or failure, "up", stack.folder)
        if not watch.begun:
            raise refused
        errors = (refused.what,)
    return Run(watch.begun, errors, watch.changes, interrupted=stopped)


def _automated(stack: Stack) -> AutomatedStack:
    """The stack for the Automation API.  It leaves what `pulumi stack select` chose as it is."""
    from pulumi import automation
    from pulumi.automation._stack import StackInitMode  # without it, `select` makes no stack of our class

    class Workspace(automation.LocalWorkspace):
        def select_stack(self, stack_name: str) -> None:
            """Each command names its stack."""

    class Made(automation.Stack):
        def outputs(self) -> automation.OutputMap:
            """`up` would ask for them after each run, with two more calls of the CLI."""
            return {}

        def info(self, show_secrets: bool | None = None) -> automation.UpdateSummary:
            """The same; the answer is thrown away."""
            return automation.UpdateSummary("update", datetime.now(UTC), "", {}, {}, "succeeded")

    os.environ["PATH"] = path_for_programs()  # the API itself takes the first pulumi there
    columns = str(shutil.get_terminal_size((100, 24)).columns)
    environment = {**pulumi_environment(), "COLUMNS": columns}  # the program's tables are as wide as the terminal
    return Made(stack.name, Workspace(work_dir=str(stack.folder), env_vars=environment), StackInitMode.SELECT)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """Ctrl-C reaches the CLI, too, which ends in good order; meanwhile we only count."""
    seen: list[int] = []

    def count(number: int, _frame: object) -> None:
        seen.append(number)
        text = "stopping: what has begun is finished; Ctrl-C again ends it at once" if len(seen) == 1 else "ending"
        print(text, file=sys.stderr, flush=True)

    before = signal.signal(signal.SIGINT, count)
    try:
        yield seen
    finally:
        signal.signal(signal.SIGINT, before)


def _print(line: str) -> None:
    print(line, flush=True)


def _print_error(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
