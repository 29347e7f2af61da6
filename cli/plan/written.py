"""Verdicts for programs (JSON) and for pull requests (markdown)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from cli.console import say
from cli.wording import for_operators
from serving.errors import ServingError
from serving.repo_id import RepoRef
from serving.verdict import Verdict
from serving.verdict_json import verdict_json
from serving.verdict_table import verdict_markdown

from .grid import notes
from .matrix import Matrix, length_that_starts

Written = Literal["json", "markdown", "text"]


def show(verdicts: Sequence[Verdict], output: Written, failed: Mapping[RepoRef, ServingError]) -> None:
    """JSON: one object for one verdict, a list for several, with why the rest couldn't be judged."""
    if output == "markdown":
        say(verdict_markdown(list(verdicts)))
        return
    objects = [verdict_json(verdict) for verdict in verdicts]
    objects += [
        {"model": repo.repo_id, "error": for_operators(error.what), "cure": for_operators(error.cure)}
        for repo, error in failed.items()
    ]
    _json(objects[0] if len(objects) == 1 else objects)


def show_matrices(matrices: Sequence[Matrix], output: Written) -> None:
    """JSON: a list of cells, each with the quantization and the verdict on it."""
    if output == "markdown":
        say("\n\n".join("\n".join(_table(matrix)) for matrix in matrices))
        return
    _json(
        [
            {"model": matrix.repo.repo_id, "quantization": way.title, "verdict": verdict_json(verdict)}
            for matrix in matrices
            for row in matrix.rows
            for way, verdict in zip(matrix.ways, row.verdicts, strict=True)
        ]
    )


def _json(value: Any) -> None:
    say(json.dumps(value, indent=2, ensure_ascii=False))


def _table(matrix: Matrix) -> Iterator[str]:
    yield f"### {matrix.repo.repo_id}\n"
    yield "| GPU | " + " | ".join(way.title for way in matrix.ways) + " |"
    yield "|---" * (len(matrix.ways) + 1) + "|"
    for row in matrix.rows:
        yield f"| {row.card} | " + " | ".join(map(_cell, row.verdicts)) + " |"
    yield ""
    yield from (f"- {note}" for note in notes(matrix))


def _cell(verdict: Verdict) -> str:
    length = length_that_starts(verdict)
    return f"**{verdict.outcome.shown}**" + (f" ≤{length:,}" if length else "")
