"""What counts as served otherwise: a name that isn't listed, another length than the number that was declared."""

from __future__ import annotations

from typing import Any

import pytest

from providers.serving_truth import otherwise

SAME: list[tuple[dict[str, int | None], Any]] = [
    ({"m": 4096}, 4096),
    ({"m": 4096}, 4096.0),
    ({"m": 4096}, "4096"),
    ({"m": 32000}, "32k"),
    ({"m": 32768}, "32K"),
    ({"m": 131072}, "auto"),
    ({"m": 131072}, -1),
    ({"m": 131072}, None),
    ({"m": 131072}, "what no release takes"),
    ({"m": None}, 4096),
    ({"other": 1, "m": 4096}, 4096),
]


@pytest.mark.parametrize(("listed", "declared"), SAME)
def test_what_is_as_declared(listed: dict[str, int | None], declared: Any) -> None:
    assert otherwise(listed, {"served_model_name": "m", "max_model_len": declared}) is None


@pytest.mark.parametrize(
    ("listed", "declared", "found"),
    [
        ({"m": 2048}, 4096, ("max_model_len", "4096", "2048")),
        ({"m": 32000}, "32K", ("max_model_len", "32768", "32000")),
        ({"x": 4096, "y": None}, 4096, ("served_model_name", "m", "'x', 'y'")),
        ({}, 4096, ("served_model_name", "m", "nothing")),
    ],
)
def test_what_is_not(listed: dict[str, int | None], declared: Any, found: tuple[str, str, str]) -> None:
    assert otherwise(listed, {"served_model_name": "m", "max_model_len": declared}) == found
