"""What `plan` shows in a terminal and writes into a pull request: readable at any width, and without colours."""

from __future__ import annotations

import re

import pytest

from .conftest import Run

PLAIN = "Qwen/Qwen2.5-7B-Instruct"
FITS = [PLAIN, "--gpu", "L40S", "--max-model-len", "8192"]
DOESNT = [PLAIN, "--gpu", "T4", "--max-model-len", "8192"]


@pytest.mark.parametrize("columns", [60, 80, 140])
@pytest.mark.parametrize("words", [FITS, DOESNT], ids=["fits", "doesn't"])
def test_it_keeps_to_the_terminal(bai_vllm: Run, words: list[str], columns: int) -> None:
    lines = bai_vllm("plan", *words, env={"COLUMNS": str(columns)}).stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert all(line == line.rstrip() for line in lines)
    bar = next(line for line in lines if line.startswith("█"))
    assert len(bar) == min(columns, 100)


def test_what_fits(bai_vllm: Run) -> None:
    told = bai_vllm("plan", *FITS).stdout
    assert told.splitlines()[0].startswith(PLAIN)
    assert "START on L40S" in told and "WON'T" not in told
    for part in ("weights", "activation", "CUDA graphs", "non-torch", "free for KV cache", "outside budget"):
        assert re.search(rf". {part} +\d+\.\d\d", told), part
    assert re.search(r"requests at once +\d+\.\d of 8,192 tokens", told)
    assert re.search(r"largest that starts +32,768 tokens", told)


def test_what_does_not_fit_says_why_and_what_would(bai_vllm: Run) -> None:
    told = bai_vllm("plan", *DOESNT).stdout
    assert "WON'T START on T4" in told
    assert re.search(r"× missing +\d+\.\d\d", told)
    assert "✗ " in told and "What would make it start" in told


def test_colours_only_where_they_are_wanted(bai_vllm: Run) -> None:
    assert "\x1b[" not in bai_vllm("plan", *FITS).stdout
    assert "\x1b[" in bai_vllm("plan", *FITS, env={"FORCE_COLOR": "1"}).stdout


def test_where_there_is_no_unicode(bai_vllm: Run) -> None:
    told = bai_vllm("plan", *FITS, env={"PYTHONIOENCODING": "ascii"})
    assert told.returncode == 0 and "?" not in told.stdout
    assert any(set(line) == set("#+:%=.") for line in told.stdout.splitlines())


def test_markdown_is_markdown(bai_vllm: Run) -> None:
    done = bai_vllm("plan", *DOESNT, "--output", "markdown")
    assert done.returncode == 4
    assert PLAIN in done.stdout and "WON'T START" in done.stdout
    assert any(line.startswith("|") and line.endswith("|") for line in done.stdout.splitlines())
