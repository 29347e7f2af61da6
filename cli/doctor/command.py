"""The verb `doctor`: all checks side by side, within a bounded time, and one line each."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from cli.options import Output, OutputOption, StackOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from .check import Check
    from .here import Configured

LONGEST = 9.0  # seconds for all of it


def doctor(*, stack: StackOption = None, output: OutputOption = Output.TEXT) -> int:
    """Check what has to be right: this machine, the stack, the cluster and the Hub; each line with its cure.

    Works without a stack, for what can be checked without one. Exit code: 0 nothing fails, 1 something does.
    """
    from cli import console
    from cli.live import run_async

    from .check import Level

    checks = run_async(_all(stack))
    if output is Output.JSON:
        console.say(document(checks))
    else:
        console.show(lambda width: page(checks, width))
    return 1 if any(check.level is Level.FAIL for check in checks) else 0


async def _all(stack_name: str | None) -> list[Check]:
    import asyncio

    from . import here

    loop = asyncio.get_running_loop()
    ends = loop.time() + LONGEST
    told: dict[str, list[Check]] = {}

    async def within(name: str, work: Awaitable[list[Check]]) -> None:
        from .check import fail

        try:
            async with asyncio.timeout_at(ends):
                told[name] = await work
        except TimeoutError:
            what = f"Not checked: it has taken longer than {LONGEST:.0f} s."
            told[name] = [fail(name, what, "Check the network; run it again.")]

    async def pulumi() -> list[Check]:
        return [await asyncio.to_thread(here.pulumi_cli)]

    async def configured() -> list[Check]:
        found, checks = await asyncio.to_thread(here.stack, stack_name)
        settled.set_result(found)
        return checks

    async def rest() -> None:
        from .here import Configured

        try:
            async with asyncio.timeout_at(ends):
                found = await asyncio.shield(settled)
        except TimeoutError:
            found = Configured()
        await asyncio.gather(within("endpoint", _cluster(found)), within("hub", _hub(found)))

    settled: asyncio.Future[Configured] = loop.create_future()
    await asyncio.gather(within("pulumi", pulumi()), within("stack", configured()), rest())
    order = ("pulumi", "stack", "endpoint", "hub")
    return [here.python(), *(check for name in order for check in told.get(name, []))]


async def _cluster(found: Configured) -> list[Check]:
    import asyncio

    from backendai import Reader

    from . import cluster
    from .check import Level

    connection, line = await asyncio.to_thread(cluster.credentials, found)
    if connection is None:
        return [line]
    reader = Reader(connection)
    greeting, pair, space = await asyncio.gather(
        cluster.endpoint(connection), cluster.key_pair(reader), cluster.room(reader, found)
    )
    if greeting[0].level is Level.FAIL:
        return [line, *greeting]  # the others have failed for the same reason
    if pair.level is Level.FAIL:
        return [line, *greeting, pair]
    return [line, *greeting, pair, *space]


async def _hub(found: Configured) -> list[Check]:
    import asyncio

    from . import hub

    reached, models = await asyncio.gather(hub.token(found), hub.models(found))
    return [*hub.vllm(found), *reached, *models]


def document(checks: Sequence[Check]) -> str:
    """JSON: `ok`, and `checks` with name, level, what and cure."""
    import json

    from .check import Level

    fine = all(check.level is not Level.FAIL for check in checks)
    rows = [{"check": c.name, "level": c.level.value, "what": c.what, "cure": c.cure or None} for c in checks]
    return json.dumps({"ok": fine, "checks": rows}, indent=2)


def page(checks: Sequence[Check], width: int) -> RenderableType:
    """A line each, the cure below it, and a last line that says how it stands."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from .check import Level

    styles = {Level.OK: "green", Level.WARN: "yellow", Level.FAIL: "bold red"}
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True, style="bold")
    made.add_column(ratio=1)
    for check in checks:
        made.add_row(Text(check.level.value, styles[check.level]), check.name, check.what)
        if check.cure:
            made.add_row("", "", Text.assemble(("cure: ", "green"), check.cure))
    fails = sum(check.level is Level.FAIL for check in checks)
    warns = sum(check.level is Level.WARN for check in checks)
    last = f"{fails} fail" if fails else "nothing fails" if warns else "all is well"
    last += f", {warns} to look at" if warns else ""
    return Group(made, "", Text(last, "bold red" if fails else "yellow" if warns else "bold green"))
