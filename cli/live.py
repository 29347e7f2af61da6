"""What goes on until Ctrl-C: an event loop that ends at once, and a screen that is drawn anew."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


def run_async[T](work: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, but after Ctrl-C it doesn't wait for threads with requests under way (main ends the process)."""
    runner = asyncio.Runner()
    try:
        result = runner.run(work)
    except KeyboardInterrupt:
        raise
    except BaseException:
        runner.close()
        raise
    runner.close()
    return result


async def shown(frames: AsyncIterator[Callable[[int], RenderableType]], *, whole_screen: bool = False) -> None:
    """Each frame in place of the one before; where stdout is no terminal, one after the other."""
    from . import console

    if not sys.stdout.isatty():
        async for made in frames:
            console.show(made)
            sys.stdout.flush()
        return
    from rich.live import Live

    out = console.console()
    with Live(console=out, auto_refresh=False, screen=whole_screen, transient=False) as live:
        async for made in frames:
            live.update(made(out.width), refresh=True)
