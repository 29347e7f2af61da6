"""The invariant: a provider process serves more calls at once than the four that Pulumi gives it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from providers.workers import AT_ONCE, widen
from tests.provider.driver import ProviderProcess

from .meeting import AT_ONCE as MEETING
from .meeting import MeetingProvider


def test_as_many_as_were_asked_for_in_the_process_of_pulumi() -> None:
    with ProviderProcess(MeetingProvider(), {}) as provider, ThreadPoolExecutor(MEETING) as callers:
        assert set(callers.map(lambda n: provider.create({"n": n})[0], range(MEETING))) == {"met"}


def test_never_fewer_than_before() -> None:
    with ThreadPoolExecutor(AT_ONCE + 4) as pool:
        assert pool.submit(widen).result() == AT_ONCE + 4


def test_outside_of_such_a_thread_nothing_happens() -> None:
    assert widen() == 0
