"""The verb `list`: once, or again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Output, OutputOption, StackOption

if TYPE_CHECKING:
    from rich.console import RenderableType


def list_(
    *,
    stack: StackOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(metavar="SECONDS", min=0.2, help="Between two looks, with --watch.")] = 2.0,
    output: OutputOption = Output.TEXT,
) -> int:
    """Show the stack's models and the cluster's other sessions of this program.

    State, age, GPUs, endpoint, requests running and waiting, and the use of the KV cache. What is wrong is said below,
    each with its cure; the exit code is 0 all the same.
    """
    from cli.live import run_async

    run_async(_list(stack, watch, interval, output))
    return 0


async def _list(name: str | None, watch: bool, interval: float, output: Output) -> None:
    import asyncio
    import sys

    from cli import console
    from cli.cluster import observing
    from cli.live import shown

    async with observing(name) as (stack, observer, sessions):
        rows = await observer.look(stack, sessions)

        async def looks() -> AsyncIterator[None]:
            nonlocal rows
            yield
            while watch:
                await asyncio.sleep(interval)
                rows = await observer.look(stack)
                yield

        if output is Output.JSON:
            from .json import document

            async for _ in looks():
                console.say(document(stack, observer.connection.endpoint, rows, one_line=watch))
                sys.stdout.flush()
            return
        from .table import page

        async def frames() -> AsyncIterator[Callable[[int], RenderableType]]:
            async for _ in looks():
                yield lambda width: page(stack, observer.connection.endpoint, rows, width)

        if watch:
            await shown(frames())
        else:
            console.show(lambda width: page(stack, observer.connection.endpoint, rows, width))
