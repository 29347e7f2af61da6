"""`bai-vllm` itself: help that answers at once, versions, completion, all without loading what a verb needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Run

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"rich", "pydantic", "httpx", "huggingface_hub", "pulumi", "ai", "components", "providers"}


@pytest.mark.parametrize("words", [[], ["--help"], ["plan", "--help"], ["-h"]])
def test_help(bai_vllm: Run, words: list[str]) -> None:
    done = bai_vllm(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: bai-vllm")


# typer reads the options of a verb with pydantic; the verbs themselves are listed without.
@pytest.mark.parametrize(("words", "unasked"), [(["--help"], HEAVY), (["plan", "--help"], HEAVY - {"pydantic"})])
def test_help_loads_nothing_heavy(words: list[str], unasked: set[str]) -> None:
    program = f"import sys; from cli.main import main; main({words!r}); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert unasked.isdisjoint(done.stderr.split())


def test_the_version_names_the_clone_and_the_release_of_vllm(bai_vllm: Run) -> None:
    done = bai_vllm("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("bai-vllm ") and "vLLM 0." in done.stdout


@pytest.mark.parametrize(
    ("typed", "position", "offered"),
    [("bai-vllm pl", 1, {"plan"}), ("bai-vllm plan --gpu A10", 3, {"A10", "A10G", "A100-40GB", "A100-80GB"})],
)
def test_completion(bai_vllm: Run, typed: str, position: int, offered: set[str]) -> None:
    shell = {"_BAI_VLLM_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(position)}
    assert set(bai_vllm(env=shell).stdout.split()) == offered
