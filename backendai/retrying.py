"""Retry rules, one place: only reads are retried; a create or a destroy never is, its caller looks instead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from . import errors

ATTEMPTS = 4
FIRST_WAIT, LONGEST_WAIT = 0.2, 3.0  # seconds, doubled each time, with jitter

RETRIED: tuple[type[errors.ClusterError], ...] = (errors.Unreachable, errors.ServerFault, errors.RateLimited)


async def reading[T](call: Callable[[], Awaitable[T]]) -> T:
    """The result of an idempotent read, tried again on failures that pass by themselves."""
    from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    retries = AsyncRetrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential_jitter(multiplier=FIRST_WAIT, max=LONGEST_WAIT, jitter=FIRST_WAIT),
        retry=retry_if_exception_type(RETRIED),
        reraise=True,
    )

    async def attempt() -> T:  # tenacity awaits coroutine functions only, not what a lambda returns
        return await call()

    return await retries(attempt)


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
