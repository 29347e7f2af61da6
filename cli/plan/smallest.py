"""The answer when no card is named: the least of the usual cards that starts the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from serving.fit import Outcome
from serving.hub_facts import HubFacts
from serving.model_request import ModelRequest
from serving.repo_id import RepoRef
from serving.verdict import Verdict

from .asked import Asked
from .cards import usual
from .judging import Facts, verdict

_COUNTS = (1, 2, 4, 8)  # GPUs of one node


class Choice(NamedTuple):
    """A verdict, and how its card came about where nobody named it."""

    verdict: Verdict
    note: str = ""


def choices(asked: Asked, facts: Mapping[RepoRef, Facts]) -> list[Choice]:
    """One for each model that could be read."""
    return [_choice(asked, repo, facts[repo]) for repo in asked.repos if repo in facts]


def _choice(asked: Asked, repo: RepoRef, facts: Facts) -> Choice:
    """The first that starts; else the first that may; else the one with the least in its way."""
    if not isinstance(facts, HubFacts):
        return Choice(verdict(asked.request(repo, usual()[0]), facts))
    tried: list[tuple[ModelRequest, Verdict]] = []
    for request in _requests(asked, repo):
        found = verdict(request, facts, with_cures=False)
        if found.outcome is Outcome.START:
            return Choice(found, "No --gpu: this is the smallest of the usual cards that starts it.")
        tried.append((request, found))
    for request, found in tried:
        if found.outcome is Outcome.MAYBE:
            note = "No --gpu: this is the smallest of the usual cards that may start it."
            return Choice(verdict(request, facts), note)
    request, _ = min(tried, key=lambda one: _in_its_way(one[1]))
    return Choice(verdict(request, facts), "No --gpu: none of the usual cards starts it like this.")


def _in_its_way(found: Verdict) -> tuple[int, float, float]:
    """Broken rules, then what is missing of length and of memory."""
    return (
        len(found.broken),
        -(found.largest_max_model_len or 0),
        -(found.memory.kv_cache.likely if found.memory else 0.0),
    )


def _requests(asked: Asked, repo: RepoRef) -> Iterator[ModelRequest]:
    """First one GPU, from the smallest card to the largest; several only where nobody said how many."""
    said = asked.tensor_parallel_size is not None or asked.share < 1
    for count in (None,) if said else _COUNTS:
        changes = asked.on_gpus(count) if count else {}
        for card in usual():
            yield asked.request(repo, card, **changes)
