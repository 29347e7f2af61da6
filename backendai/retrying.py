"""Retry rules, one place: only reads are retried; a create or a destroy never is, its caller looks instead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from . import errors

if TYPE_CHECKING:
    from datetime import datetime

    from tenacity import RetryCallState

ATTEMPTS = 4
FIRST_WAIT, LONGEST_WAIT = 0.2, 3.0  # seconds, doubled each time, with jitter
LONGEST_OBEYED = 30.0  # seconds of a Retry-After; a server that wants more is asked again after these
TOLD_FROM = 2.0  # seconds that nobody would wait without being told why

RETRIED: tuple[type[errors.ClusterError], ...] = (errors.Unreachable, errors.ServerFault, errors.RateLimited)


async def reading[T](call: Callable[[], Awaitable[T]]) -> T:
    """The result of an idempotent read, tried again on failures that pass by themselves."""
    from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

    retries = AsyncRetrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=_wait,
        retry=retry_if_exception_type(RETRIED),
        before_sleep=_tell,
        reraise=True,
    )

    async def attempt() -> T:  # tenacity awaits coroutine functions only, not what a lambda returns
        return await call()

    return await retries(attempt)


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
        return min(float(text), LONGEST_OBEYED)
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    seconds = (date.replace(tzinfo=date.tzinfo or UTC) - now).total_seconds()
    return min(max(seconds, 0.0), LONGEST_OBEYED)


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
