"""The invariant: a stack is refused for what it needs beyond what its own sessions hold, and only on what is known."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from backendai import Capacity, Stage, Want
from backendai.capacity import Group, Held, Shortfall, amounts

GIB = 1024**3
HERE = ("default", "default", "default")


def slots(gpus: float = 1, cpu: int = 4, mem: int = 16) -> dict[str, Decimal]:
    return {"cpu": Decimal(cpu), "mem": Decimal(mem * GIB), "cuda.device": Decimal(str(gpus))}


def want(name: str, gpus: float = 1, **changes: Any) -> Want:
    given: dict[str, Any] = {"owner": f"stack.{name}", "image": "vllm", "resource_group": "default"}
    given |= {"project": "default", "domain": "default", "slots": slots(gpus), **changes}
    return Want(name=name, **given)


def held(name: str, gpus: float = 1, **changes: Any) -> Held:
    given: dict[str, Any] = {"owner": f"stack.{name}", "resource_group": "default", "stage": Stage.RUNNING}
    given |= {"slots": slots(gpus), **changes}
    return Held(name=f"{name}-0", **given)


def capacity(free: float = 8, quota: float = 1000, **more: Any) -> Capacity:
    """One group with nodes of 8 GPUs, of which so many are free."""
    room = {"cpu": Decimal(64), "mem": Decimal(512 * GIB), "cuda.device": Decimal(str(free))}
    group = Group(free=room, largest=slots(8, 64, 512))
    left = {"cuda.device": Decimal(str(quota)), "cpu": Decimal("Infinity")}
    return Capacity(remaining={HERE[:2]: left}, groups={HERE: group}, **more)


def said(found: list[Shortfall]) -> str:
    return "\n".join(map(str, found))


def test_what_fits_is_not_refused() -> None:
    assert capacity().shortfalls([want("a", 4), want("b", 4)]) == []


def test_a_whole_stack_is_added_up() -> None:
    (found,) = capacity(free=3).shortfalls([want("a", 2), want("b", 2)])
    assert found.names == ("a", "b")
    assert found.passes
    assert "3 cuda.device free, and 4 cuda.device are needed" in found.what


def test_what_was_adopted_is_found_by_its_name() -> None:
    full = capacity(free=0, quota=0, held=(held("a", 8, owner=""),), sessions_left=0)
    assert full.shortfalls([want("a", 8, session_name="a-0")]) == []
    assert full.shortfalls([want("a", 8)])
    tagged = capacity(free=0, held=(held("a", 8, owner="another.stack"),))
    assert tagged.shortfalls([want("a", 8, session_name="a-0")])


def test_what_runs_unchanged_needs_nothing_however_full_it_is() -> None:
    full = capacity(free=0, quota=0, held=(held("a", 8),), sessions_left=0)
    assert full.shortfalls([want("a", 8)]) == []
    waiting = capacity(free=0, held=(held("a", 8, stage=Stage.QUEUED),))
    assert waiting.shortfalls([want("a", 8)]) == []


def test_a_session_takes_the_place_of_its_predecessor() -> None:
    full = capacity(free=1, held=(held("a", 4), held("b", 3)))
    assert full.shortfalls([want("a", 5), want("b", 3)]) == []
    assert full.shortfalls([want("a", 3), want("b", 5)]) == [], "one gives what the other takes"
    assert "1 cuda.device free, and 2 cuda.device" in said(full.shortfalls([want("a", 6), want("b", 3)]))


def test_a_queued_predecessor_gives_nothing() -> None:
    full = capacity(free=0, held=(held("a", 4, stage=Stage.QUEUED),))
    assert "4.0 cuda" not in said(full.shortfalls([want("a", 5)]))
    assert "5 cuda.device are needed" in said(full.shortfalls([want("a", 5)]))


def test_a_predecessor_in_another_group_gives_its_quota_but_no_room() -> None:
    other = held("a", 4, resource_group="old")
    assert capacity(free=4, quota=0, held=(other,)).shortfalls([want("a", 4)]) == []
    assert "0 cuda.device free" in said(capacity(free=0, held=(other,)).shortfalls([want("a", 4)]))


def test_what_goes_only_afterwards_is_named() -> None:
    (found,) = capacity(free=0, held=(held("old", 8),)).shortfalls([want("new", 8)])
    assert found.cure == "old-0 will only end after the others have started: take it away in an `up` of its own first."
    theirs = held("x", 8, owner="another.x")
    (found,) = capacity(free=0, held=(theirs,)).shortfalls([want("new", 8)])
    assert "x-0" not in found.cure


def test_the_quota_is_told_from_the_room() -> None:
    (found,) = capacity(quota=1).shortfalls([want("a"), want("b")])
    assert "quota has 1 cuda.device left, and 2 cuda.device are needed" in found.what


def test_the_number_of_sessions() -> None:
    found = capacity(sessions_left=1, held=(held("a"),)).shortfalls([want("a"), want("b"), want("c")])
    assert "may have 1 more sessions, and 2 are to be created" in said(found)


def test_no_node_is_so_large_and_the_others_are_still_judged() -> None:
    found = capacity(free=9).shortfalls([want("a", 9), want("b", 8), want("c", 8)])
    assert [f.names for f in found] == [("a",), ("b", "c")]
    assert not found[0].passes
    assert "no node of 'default' has more than 8 cuda.device" in found[0].what


def test_the_unit_that_the_group_does_not_have() -> None:
    shares = want("a", slots={"cuda.shares": Decimal("0.5")})
    (found,) = capacity().shortfalls([shares])
    assert found.what == "Resource group 'default' doesn't count in cuda.shares: it has cuda.device."


def test_no_node_has_room_now() -> None:
    (found,) = capacity(misfits={"a": {"cuda.device": Decimal(2)}}).shortfalls([want("a", 4), want("b", 4)])
    assert found.names == ("a",)
    assert "2 cuda.device are missing" in found.what


def test_image_group_and_folder_that_there_are_not() -> None:
    bad = Group(refused=Shortfall((), "There is no such group.", "Take another."))
    found = Capacity(
        groups={("default", "default", "nope"): bad},
        no_images=frozenset({"typo"}),
        folders=frozenset({"cache"}),
    ).shortfalls([want("a", resource_group="nope"), want("b", image="typo"), want("c", folders=("cach/sub", "cache"))])
    assert [f.names for f in found] == [("a",), ("b",), ("c",)]
    assert "no folder 'cach' that this key pair can mount (there are: cache)" in found[2].what


def test_what_is_not_known_is_not_judged() -> None:
    assert Capacity(unknown=("everything",)).shortfalls([want("a", 1000, folders=("x",))]) == []


@pytest.mark.parametrize(
    ("given", "text"),
    [(slots(0.5, 1, 2), "1 cpu, 0.5 cuda.device, 2 GiB mem"), ({"mem": Decimal(512 * 1024**2)}, "0.5 GiB mem")],
)
def test_amounts_are_readable(given: dict[str, Decimal], text: str) -> None:
    assert amounts(given) == text


def test_large_amounts_are_said_in_full() -> None:
    assert amounts({"cpu": Decimal(100000), "cuda.shares": Decimal("0.25")}) == "100,000 cpu, 0.25 cuda.shares"
