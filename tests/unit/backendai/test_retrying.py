"""The invariant: a read that is refused for now is asked again when the server said, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from backendai import errors
from backendai.classification import classify
from backendai.retrying import ATTEMPTS, FIRST_WAIT, LONGEST_WAIT, asked_to_wait, patience, reading

NOON = datetime(2026, 2, 3, 12, 0, 0, tzinfo=UTC)


class Clock(selectors.SelectSelector):
    """Time that passes at once, for an event loop that has nothing else to do than to wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now += timeout or 0.0
        return super().select(0)


def passed(work: Coroutine[Any, Any, object]) -> float:
    """The seconds that it takes, without taking them."""
    clock = Clock()

    def loop() -> asyncio.AbstractEventLoop:
        made = asyncio.SelectorEventLoop(clock)
        made.time = lambda: clock.now  # type: ignore[method-assign]
        return made

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(work)
    return clock.now


def refused(status: int, retry_after: str | None) -> errors.ClusterError:
    return classify(status, {}, endpoint="http://x", retry_after=retry_after)


async def asked(*answers: errors.ClusterError) -> int:
    """A read that is answered so before it succeeds; how often it asked."""
    tries = 0

    async def call() -> int:
        nonlocal tries
        tries += 1
        if tries <= len(answers):
            raise answers[tries - 1]
        return tries

    return await reading(call)


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_says_when(status: int) -> None:
    took = passed(asked(refused(status, "7"), refused(status, "11")))
    assert 18 <= took <= 18 + 2 * FIRST_WAIT + 0.1


def test_a_long_wait_is_told(caplog: pytest.LogCaptureFixture) -> None:
    passed(asked(refused(429, "1"), refused(429, "7")))
    (told,) = caplog.messages
    assert "limits the rate" in told and "again in 7 s (3 of 4)" in told


def test_it_may_say_a_date() -> None:
    took = passed(asked(refused(429, format_datetime(datetime.now(UTC) + timedelta(seconds=9), usegmt=True))))
    assert 7 <= took <= 9 + FIRST_WAIT + 0.1  # a date has whole seconds, and a little of the real time has passed


@pytest.mark.parametrize(("header", "seconds"), [("3600", float("inf")), ("5", 4)], ids=["an hour", "no patience"])
def test_nobody_waits_for_too_long(header: str, seconds: float) -> None:
    with patience(seconds), pytest.raises(errors.RateLimited, match=f"left alone for {header} s"):
        assert passed(asked(refused(429, header))) < 1


@pytest.mark.parametrize("header", [None, "", "0", "soon", "-5", "1.5", "Tue, 03 Feb 2015 12:00:00 GMT"])
def test_the_own_way_when_it_says_nothing(header: str | None) -> None:
    took = passed(asked(refused(429, header), refused(429, header)))
    assert 3 * FIRST_WAIT <= took <= 2 * LONGEST_WAIT


def test_patience_ends() -> None:
    with pytest.raises(errors.RateLimited):
        passed(asked(*[refused(429, "1")] * ATTEMPTS))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("12", 12),
        (" 12 ", 12),
        ("999999999999", 999999999999),
        ("Tue, 03 Feb 2026 12:00:20 GMT", 20),
        ("Tue, 03 Feb 2026 13:00:00 GMT", 3600),
        ("Tue, 03 Feb 2026 14:00:05 +0200", 5),
        ("Tue, 03 Feb 2026 12:00:04 -0000", 4),  # no zone at all
        ("Tue, 03 Feb 2026 11:59:00 GMT", 0),
        ("Tue, 99 Feb 2026 11:59:00 GMT", 0),
        ("²", 0),
        ("", 0),
    ],
)
def test_what_the_header_means(header: str, seconds: float) -> None:
    assert asked_to_wait(header, NOON) == seconds
