"""The verb `logs`: what a session has printed, and what it goes on to print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .options import NameArgument, StackOption

if TYPE_CHECKING:
    from backendai import Reader

    from .finding import Found

_OVERLAP = 4096  # characters of what was shown by which the place is found again in a log that was cut at its front
_PATIENCE = 5  # looks that may fail in a row while following


def logs(
    name: NameArgument,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until it ends, or Ctrl-C.")] = False,
    tail: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Only the last N lines of what is there.")
    ] = None,
    interval: Annotated[float, typer.Option(metavar="SECONDS", min=0.1, help="Between two looks, with -f.")] = 1.0,
    stack: StackOption = None,
) -> int:
    """Show a session's log; also of one that has ended, by its id, as long as the cluster has it.

    The log goes to stdout as it is; what is said about it goes to stderr.
    """
    from .live import run_async

    run_async(_logs(name, stack, follow, tail, interval))
    return 0


async def _logs(name: str, stack_name: str | None, follow: bool, tail: int | None, interval: float) -> None:
    import sys

    from .cluster import observing
    from .finding import find_session

    async with observing(stack_name) as (stack, observer, sessions):
        found = await find_session(name, stack, sessions, observer.reader)
        text = await _log(observer.reader, found)
        _write(_last(text, tail))
        if follow:
            text = await _follow(observer.reader, found, text, interval)
        elif not text:
            print(f"{found.name} has printed nothing yet.", file=sys.stderr)
        state = await _ended(observer.reader, found)
        if state:
            if text and not text.endswith("\n"):
                _write("\n")
            what, cure = await observer.why_ended(found.deployed.model if found.deployed else found.name, state)
            told = f"{found.name} has ended: {what}"
            print(f"{told}\ncure:  {cure}" if cure else told, file=sys.stderr)


async def _follow(reader: Reader, found: Found, text: str, interval: float) -> str:
    """Prints what comes, until the session has ended; all of the log."""
    import asyncio

    from backendai import errors

    failures = 0
    while True:
        try:
            ended = await _ended(reader, found)  # before the log: what it prints last is read after it has ended
            new = await _log(reader, found)
        except (errors.Unreachable, errors.ServerFault, errors.RateLimited):
            failures += 1
            if failures >= _PATIENCE:
                raise
        else:
            failures = 0
            _write(fresh(text, new))
            text = new or text
            if ended:
                return text
        await asyncio.sleep(interval)


def fresh(before: str, now: str) -> str:
    """What `now` has beyond `before`.  The cluster keeps a log's end only, so its front may be gone by now."""
    if now.startswith(before):
        return now[len(before) :]
    known = before[-_OVERLAP:]
    place = now.rfind(known)
    return now[place + len(known) :] if place >= 0 else _after_last_common_line(before, now)


def _after_last_common_line(before: str, now: str) -> str:
    """Less than _OVERLAP of what was shown is left: its last lines may still be there."""
    lines = before.splitlines(keepends=True)
    for count in range(len(lines) - 1, 0, -1):
        end = "".join(lines[-count:])
        if len(end) < _OVERLAP and now.startswith(end):
            return now[len(end) :]
    return now


async def _log(reader: Reader, found: Found) -> str:
    """Empty while there is none: it waits, or is being created."""
    from backendai import errors
    from backendai.listing import session_by_id, session_log

    try:
        return await session_log(reader, found.session_id)
    except (errors.NotFound, errors.ServerFault) as error:
        state = await session_by_id(reader, found.session_id)
        if state.stage.value in ("queued", "image", "starting") or (state.ended and error.code == _NO_AGENT):
            return ""
        raise


_NO_AGENT = "agent_read_not-found"


async def _ended(reader: Reader, found: Found) -> ListedSession | None:
    from backendai.listing import session_by_id

    session = await session_by_id(reader, found.session_id)
    return session if session.ended else None


def _last(text: str, lines: int | None) -> str:
    if lines is None:
        return text
    return "".join(text.splitlines(keepends=True)[-lines:]) if lines else ""


def _write(text: str) -> None:
    import sys

    if text:
        sys.stdout.write(text)
        sys.stdout.flush()


if TYPE_CHECKING:
    from backendai.listing import ListedSession
