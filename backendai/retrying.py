"""Retry rules, one place: only reads are retried; a create or a destroy never is, its caller looks instead."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

from . import errors

if TYPE_CHECKING:
    from datetime import datetime

    from tenacity import RetryCallState

ATTEMPTS = 4
FIRST_WAIT, LONGEST_WAIT = 0.2, 3.0  # seconds, doubled each time, with jitter
LONGEST_OBEYED = 30.0  # seconds of a Retry-After; a server that wants more isn't asked again
TOLD_FROM = 2.0  # seconds that nobody would wait without being told why

RETRIED: tuple[type[errors.ClusterError], ...] = (errors.Unreachable, errors.ServerFault, errors.RateLimited)

_UNTIL: ContextVar[float] = ContextVar("until", default=float("inf"))


@contextlib.contextmanager
def patience(seconds: float) -> Iterator[None]:
    """A read that would have to wait longer than that fails at once, with what it was told."""
    token = _UNTIL.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _UNTIL.reset(token)


async def reading[T](call: Callable[[], Awaitable[T]]) -> T:
    """The result of an idempotent read, tried again on failures that pass by themselves."""
    from tenacity import AsyncRetrying, stop_after_attempt

    retries = AsyncRetrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=_wait,
        retry=_passes,
        before_sleep=_tell,
        reraise=True,
    )

    async def attempt() -> T:  # tenacity awaits coroutine functions only, not what a lambda returns
        return await call()

    return await retries(attempt)


def _passes(state: RetryCallState) -> bool:
    """Whether it is one that passes, and within a time that somebody waits."""
    from datetime import UTC, datetime

    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, RETRIED):
        return False
    asked = asked_to_wait(error.retry_after, datetime.now(UTC))
    return asked <= min(LONGEST_OBEYED, _UNTIL.get() - time.monotonic())


def _wait(state: RetryCallState) -> float:
    """Seconds until the next try: what the server asked for, else doubling; never the same for all who ask."""
    from datetime import UTC, datetime

    from tenacity import wait_exponential_jitter, wait_random

    error = state.outcome.exception() if state.outcome else None
    header = error.retry_after if isinstance(error, errors.ClusterError) else ""
    if asked := asked_to_wait(header, datetime.now(UTC)):
        return asked + wait_random(0, FIRST_WAIT)(state)
    return wait_exponential_jitter(multiplier=FIRST_WAIT, max=LONGEST_WAIT, jitter=FIRST_WAIT)(state)


def _tell(state: RetryCallState) -> None:
    """On stderr, where no logging is set up."""
    import logging

    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, errors.ClusterError) and (seconds := state.upcoming_sleep) >= TOLD_FROM:
        text = "%s Trying again in %.0f s (%d of %d)."
        logging.getLogger(__name__).warning(text, error.what, seconds, state.attempt_number + 1, ATTEMPTS)


def asked_to_wait(retry_after: str, now: datetime) -> float:
    """The seconds that a Retry-After header (RFC 9110, 10.2.3: a number or a date) means; 0.0 when it says nothing."""
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return max(seconds, 0.0)


async def poll(
    check: Callable[[], Awaitable[bool]], *, seconds: float, first: float = 0.1, longest: float = 1.0
) -> bool:
    """True as soon as `check` says so, False when it hasn't within `seconds`; waits grow from `first` to `longest`."""
    import asyncio

    loop = asyncio.get_running_loop()
    deadline, wait = loop.time() + seconds, first
    while not await check():
        if (left := deadline - loop.time()) <= 0:
            return False
        await asyncio.sleep(min(wait, left))
        wait = min(wait * 1.5, longest)
    return True
