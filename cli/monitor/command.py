"""The verb `monitor`: a screen that is drawn anew until Ctrl-C, or one frame of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import StackOption

if TYPE_CHECKING:
    from rich.console import RenderableType

_STATE_EVERY = 10.0  # seconds after which the stack's state is read again


def monitor(
    *,
    stack: StackOption = None,
    once: Annotated[bool, typer.Option("--once", help="One frame, then end.")] = False,
    interval: Annotated[float, typer.Option(metavar="SECONDS", min=0.2, help="Between two looks.")] = 2.0,
) -> int:
    """Watch the stack: models, requests and KV cache, what the cluster has free, the last events; Ctrl-C ends it."""
    from cli.live import run_async

    run_async(_monitor(stack, once, interval))
    return 0


async def _monitor(name: str | None, once: bool, interval: float) -> None:
    import asyncio
    import contextlib
    from functools import partial

    from cli import console
    from cli.boundary import CliError
    from cli.cluster import observing
    from cli.live import shown
    from cli.stack import selected

    from .screen import frame
    from .seen import Watcher

    async with observing(name) as (stack, observer, sessions):
        watcher, endpoint = Watcher(observer, stack), observer.connection.endpoint
        seen = await watcher.look(sessions)
        if once:
            console.show(lambda width: frame(seen, stack, endpoint, width))
            return

        async def frames() -> AsyncIterator[Callable[[int], RenderableType]]:
            nonlocal seen
            loop = asyncio.get_running_loop()
            read_at = loop.time()
            while True:
                yield partial(frame, seen, watcher.stack, endpoint, hint="  Ctrl-C ends")
                await asyncio.sleep(interval)
                if loop.time() - read_at >= _STATE_EVERY:
                    read_at = loop.time()
                    with contextlib.suppress(CliError):  # an `up` may be writing it: then the next time
                        watcher.stack = await asyncio.to_thread(selected, watcher.stack.name)
                seen = await watcher.look()

        await shown(frames(), whole_screen=True)
