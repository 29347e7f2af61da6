"""`bai-vllm plan --matrix`: every way of having a model, on every card, each with its own verdict."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest

from emulator.hub.models import hub

from .conftest import Run

PLAIN, AWQ = "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct-AWQ"
SMALL = "openai-community/gpt2"


@pytest.fixture(autouse=True)
def _the_hub_as_it_was() -> Iterator[None]:
    hub.reset()
    yield
    hub.reset()


@pytest.mark.parametrize(
    ("model", "ways"),
    [
        (PLAIN, ["none", "fp8", "awq", "gptq"]),
        (AWQ, ["awq", "none", "fp8", "gptq"]),
        (SMALL, ["none", "fp8"]),
    ],
)
def test_all_ways_on_a_dozen_cards(bai_vllm: Run, model: str, ways: list[str]) -> None:
    cells = json.loads(bai_vllm("plan", model, "--matrix", "--output", "json").stdout)
    assert list(dict.fromkeys(cell["quantization"] for cell in cells)) == ways
    cards = {cell["verdict"]["gpu"]["name"] for cell in cells}
    assert len(cards) == 12 and len(cells) == 12 * len(ways)
    assert {cell["model"] for cell in cells} == {model}


def test_a_cell_is_the_verdict_that_plan_gives(bai_vllm: Run) -> None:
    options = ["--max-model-len", "8192", "--output", "json"]
    cells = json.loads(bai_vllm("plan", PLAIN, "--matrix", "--gpu", "L4", "--gpu", "T4", *options).stdout)
    assert [cell["verdict"]["gpu"]["name"] for cell in cells] == ["L4"] * 4 + ["T4"] * 4
    alone = [
        ([PLAIN], []),
        ([PLAIN], ["--quantization", "fp8"]),
        ([AWQ], []),
        (["Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4"], []),
    ]
    for cell, (model, more) in zip(cells, alone, strict=False):
        told = json.loads(bai_vllm("plan", *model, "--gpu", "L4", *more, *options).stdout)
        assert told["verdict"] == "START", "there is no cure then, which cells do without"
        assert cell["verdict"] == told


def test_the_exit_code_is_that_of_the_best_cell(bai_vllm: Run) -> None:
    assert bai_vllm("plan", PLAIN, "--matrix", "--max-model-len", "8192").returncode == 0
    assert bai_vllm("plan", SMALL, "--matrix", "--max-model-len", "4096").returncode == 4
    assert bai_vllm("plan", PLAIN, SMALL, "--matrix", "--max-model-len", "4096").returncode == 4


def test_warm_it_asks_nothing(bai_vllm: Run) -> None:
    first = bai_vllm("plan", PLAIN, SMALL, "--matrix")
    hub.requests = Counter()
    assert bai_vllm("plan", PLAIN, SMALL, "--matrix").stdout == first.stdout
    assert not hub.requests


@pytest.mark.parametrize("columns", [60, 80, 140])
def test_it_keeps_to_the_terminal(bai_vllm: Run, columns: int) -> None:
    told = bai_vllm("plan", PLAIN, "--matrix", "--max-model-len", "8192", env={"COLUMNS": str(columns)}).stdout
    lines = told.splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in told
    assert lines[1].split() == ["GPU", "none", "fp8", "awq", "gptq"]
    assert any("Qwen/Qwen2.5-7B-Instruct-AWQ" in line for line in lines)


def test_markdown(bai_vllm: Run) -> None:
    told = bai_vllm("plan", PLAIN, "--matrix", "--gpu", "L4", "--output", "markdown").stdout
    assert "| GPU | none | fp8 | awq | gptq |\n|---|---|---|---|---|\n| L4 | **" in told
