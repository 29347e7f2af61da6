"""Quantizations × cards: the ways in which a model can be had, and the verdict on each of the cards."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from components.presets import PRESETS
from serving.fit import Outcome
from serving.gpus import Gpu
from serving.hub_facts import HubFacts
from serving.repo_id import RepoRef
from serving.verdict import Verdict

from .asked import Asked
from .cards import usual
from .judging import EXIT_CODES, Facts, facts_of, verdict

ONLINE = "fp8"  # what vLLM makes of plain weights while it loads them

_OF_LENGTH = {"memory", "max-model-len"}  # rules that a shorter max_model_len may keep


class Way(NamedTuple):
    """One column: what it is called, the repo, and what --quantization would say."""

    title: str
    repo: RepoRef
    quantization: str | None


class Row(NamedTuple):
    """One card, with the verdict on each of the ways."""

    card: str
    verdicts: tuple[Verdict, ...]


class Matrix(NamedTuple):
    """All there is about one model."""

    repo: RepoRef
    ways: tuple[Way, ...]
    rows: tuple[Row, ...]

    @property
    def best(self) -> Outcome:
        """The best of all cells."""
        cells = (cell.outcome for row in self.rows for cell in row.verdicts)
        return min(cells, key=EXIT_CODES.__getitem__, default=Outcome.WONT_START)


def matrices(asked: Asked) -> list[Matrix]:
    """One for each model."""
    related = {repo: relatives(repo.repo_id) for repo in asked.repos}
    every = [*asked.repos, *(RepoRef(name) for names in related.values() for name in names.values())]
    facts = facts_of(every, asked.base.token)
    return [_matrix(asked, repo, related[repo], facts) for repo in asked.repos]


def relatives(repo_id: str) -> dict[str, str]:
    """The other repos of the same model in the presets: quantization -> repo."""
    sizes = {size for (size, _), preset in PRESETS.items() if preset.model == repo_id}
    return {
        quantization: preset.model
        for (size, quantization), preset in PRESETS.items()
        if size in sizes and preset.model != repo_id
    }


def length_that_starts(verdict: Verdict) -> int | None:
    """Tokens of the longest request; None where a shorter one doesn't help."""
    only_length = {rule.rule for rule in verdict.broken} <= _OF_LENGTH
    return (verdict.largest_max_model_len or None) if only_length else None


def _matrix(asked: Asked, repo: RepoRef, related: dict[str, str], facts: dict[RepoRef, Facts]) -> Matrix:
    ways = tuple(_ways(asked, repo, related, facts[repo]))
    rows = [
        Row(
            _called(card, asked.base.gpus),
            tuple(
                verdict(asked.request(way.repo, card, quantization=way.quantization), facts[way.repo], with_cures=False)
                for way in ways
            ),
        )
        for card in asked.cards or usual()
    ]
    return Matrix(repo, ways, tuple(rows))


def _called(card: Gpu, count: float) -> str:
    return f"{count:g} × {card.name}" if count != 1 else card.name


def _ways(asked: Asked, repo: RepoRef, related: dict[str, str], facts: Facts) -> Iterator[Way]:
    """As it is, then fp8 online, then as the presets have it; --quantization first where it says more."""
    carried = facts.quantization.method if isinstance(facts, HubFacts) and facts.quantization else None
    titles = {carried or "none"}
    yield Way(carried or "none", repo, None)
    if carried is None:
        titles.add(ONLINE)
        yield Way(ONLINE, repo, ONLINE)
    wanted = asked.base.quantization
    if wanted and wanted not in titles:
        titles.add(wanted)
        yield Way(wanted, repo, wanted)
    for title, name in related.items():
        if title not in titles:
            yield Way(title, RepoRef(name), None)
            if title == "none" and carried is not None:
                yield Way(ONLINE, RepoRef(name), ONLINE)
