"""Verdicts: what the Hub says, asked once for each repo and side by side, and what follows from it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from cli.boundary import ERROR, said
from cli.wording import for_operators
from serving.errors import GatedModel, ModelDisabled, ModelError, ServingError
from serving.fit import Outcome
from serving.hub import fetch
from serving.hub_facts import HubFacts
from serving.model_request import ModelRequest
from serving.repo_id import RepoRef
from serving.rules import rule_of
from serving.verdict import Verdict, judge

from .asked import Asked

EXIT_CODES = {Outcome.START: 0, Outcome.MAYBE: 3, Outcome.WONT_START: 4}
_SIDE_BY_SIDE = 8  # repos asked for at once

Facts = HubFacts | ModelError


def exit_code(outcomes: Iterable[Outcome]) -> int:
    """That of the worst."""
    return max((EXIT_CODES[outcome] for outcome in outcomes), default=0)


def facts_of(repos: Sequence[RepoRef], token: str | None) -> dict[RepoRef, Facts]:
    """What the Hub says of each; a repo that is closed to the token is an answer, too.

    Raises HubUnreachable, ModelNotFound, RevisionNotFound or InvalidHubToken of the first that can't be judged.
    """
    known, failed = _asked_for(repos, token)
    for error in failed.values():
        raise error
    return known


def readable(asked: Asked) -> tuple[dict[RepoRef, Facts], dict[RepoRef, ServingError]]:
    """What the Hub says of the models, and why it says nothing of others.  Raises where there is none to judge."""
    known, failed = _asked_for(asked.repos, asked.base.token)
    if not known:
        raise next(iter(failed.values()))
    return known, failed


def report_failed(failed: Mapping[RepoRef, ServingError]) -> int:
    """Says on stderr what couldn't be judged; the exit code for it."""
    for error in failed.values():
        for told in said(error):
            print(told, file=sys.stderr)
    return ERROR


def _asked_for(repos: Sequence[RepoRef], token: str | None) -> tuple[dict[RepoRef, Facts], dict[RepoRef, ServingError]]:
    found = _answers(repos, token)
    closed = (GatedModel, ModelDisabled)
    known: dict[RepoRef, Facts] = {
        repo: answer for repo, answer in found.items() if isinstance(answer, (HubFacts, *closed))
    }
    return known, {
        repo: answer
        for repo, answer in found.items()
        if isinstance(answer, ServingError) and not isinstance(answer, closed)
    }


def _answers(repos: Sequence[RepoRef], token: str | None) -> dict[RepoRef, HubFacts | ServingError]:
    """Of all side by side."""

    def one(repo: RepoRef) -> HubFacts | ServingError:
        try:
            return fetch(repo.repo_id, repo.revision, token)
        except ServingError as error:
            return error

    distinct = list(dict.fromkeys(repos))
    if len(distinct) == 1:
        return {distinct[0]: one(distinct[0])}
    pool = ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="plan")
    try:
        return dict(zip(distinct, pool.map(one, distinct), strict=True))
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # after a failure or Ctrl-C nobody waits for the others


def verdict(request: ModelRequest, facts: Facts, *, with_cures: bool = True) -> Verdict:
    """The verdict on one request; cures cost a few verdicts more."""
    if isinstance(facts, HubFacts):
        return judge(request, facts, with_cures=with_cures)
    rule = rule_of(facts)
    rule = replace(rule, message=for_operators(rule.message), cure=for_operators(rule.cure))
    return Verdict(
        name=request.name,
        model=request.model,
        revision="",
        outcome=Outcome.WONT_START,
        gpu=request.gpu,
        gpu_count=request.gpus,
        rules=(rule,),
        cures=(rule.cure,),
        unchecked=("everything else, because the repo can't be read",),
    )


def verdicts(asked: Asked, facts: Mapping[RepoRef, Facts]) -> list[Verdict]:
    """For each model that could be read on each of the cards that were named."""
    repos = [repo for repo in asked.repos if repo in facts]
    return [verdict(asked.request(repo, card), facts[repo]) for repo in repos for card in asked.cards]
