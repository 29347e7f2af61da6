"""Verdicts: what the Hub says, asked once for each repo and side by side, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from cli.wording import for_operators
from serving.errors import GatedModel, ModelDisabled, ModelError
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

    Raises HubUnreachable, ModelNotFound, RevisionNotFound or InvalidHubToken: then there is nothing to judge.
    """

    def one(repo: RepoRef) -> Facts:
        try:
            return fetch(repo.repo_id, repo.revision, token)
        except (GatedModel, ModelDisabled) as closed:
            return closed

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


def verdicts(asked: Asked) -> list[Verdict]:
    """For each model on each of the cards that were named."""
    facts = facts_of(asked.repos, asked.base.token)
    return [verdict(asked.request(repo, card), facts[repo]) for repo in asked.repos for card in asked.cards]
