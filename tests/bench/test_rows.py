"""The invariant: a line of the table says whether its aim is met, and things are compared in turn."""

from __future__ import annotations

import pytest

from bench.__main__ import main
from bench.rows import Row, in_turn, pairwise


@pytest.mark.parametrize(
    ("value", "aim", "mark"), [(1.2, 1.25, "ok"), (1.25, 1.25, "ok"), (1.3, 1.25, "misses its aim"), (9.0, None, "-")]
)
def test_mark(value: float, aim: float | None, mark: str) -> None:
    row = Row("preview", value, aim, "2 s ÷ 1 s")
    assert row.mark == mark
    assert f" {mark} " in str(row)


def test_in_turn_after_one_uncounted_run() -> None:
    order: list[str] = []
    seconds = in_turn([lambda: order.append("a"), lambda: order.append("b")], rounds=2)
    assert order == ["a", "b"] * 3
    assert [len(each) for each in seconds] == [2, 2]


def test_pairs_before_medians() -> None:
    assert pairwise([2.0, 20.0, 4.0], [1.0, 10.0, 1.0]) == 2.0


def test_a_row_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "prevue"])
    with pytest.raises(SystemExit, match="no such row: prevue"):
        main()
