"""The bar is as wide as it was asked to be, in proportion, and hides no part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cli.plan.bar import bar, legend, lengths, parts
from serving.estimates import GIB, MemoryEstimate, Range

sizes = st.floats(0.0, 200.0)


def memory(budget: float, weights: float, activation: float = 1.0, graphs: float = 0.5) -> MemoryEstimate:
    """In GiB."""

    def exact(gib: float) -> Range:
        return Range.exact(gib * GIB)

    return MemoryEstimate(
        budget=int(budget * GIB),
        weights=exact(weights),
        non_torch=exact(0.22),
        persistent=exact(0.3),
        activation=exact(activation),
        cuda_graphs=exact(graphs),
    )


@given(st.lists(sizes, min_size=1, max_size=7).filter(any), st.integers(7, 200))
def test_cells_add_up_and_no_part_is_lost(values: list[float], width: int) -> None:
    cells = lengths(values, width)
    assert sum(cells) == width
    assert all((count > 0) == (value > 0) for count, value in zip(cells, values, strict=True))


@given(sizes.filter(lambda gib: gib > 0.1), sizes, sizes, st.integers(20, 160))
def test_every_bar_has_its_width(card: float, weights: float, graphs: float, width: int) -> None:
    line, mark = bar(memory(card * 0.92, weights, graphs=graphs), card, width)
    assert len(line) == width
    assert len(mark) <= width and "▲" in mark.plain
    assert all(len(row) <= width for row in legend(memory(card * 0.92, weights), card, width)[1:] if width >= 40)


def test_the_arrow_is_below_the_end_of_the_budget() -> None:
    line, mark = bar(memory(50, 20), 100, 100)
    assert mark.plain.index("▲") == 49
    assert line.plain[:50].count("·") == 0 and line.plain[50:] == "·" * 50


def test_what_is_too_much_lies_beyond_the_arrow_and_is_named() -> None:
    estimate = memory(20, 38, activation=1.0, graphs=0.48)
    line, mark = bar(estimate, 22, 80)
    assert mark.plain.rstrip().endswith("▲") and mark.plain.index("▲") == 39
    assert "·" not in line.plain
    assert {part.name: round(part.gib, 2) for part in parts(estimate, 22)}["missing"] == 20.0


def test_parts_are_told_apart_without_colours() -> None:
    shown = parts(memory(50, 20), 100)
    assert len({part.glyph for part in shown}) == len(shown) == 6
