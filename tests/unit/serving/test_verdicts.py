"""The invariant: one verdict a request, in order; what the Hub refuses is a rule, a Hub in silence is MAYBE."""

import httpx
import pytest

from serving import ModelRequest
from serving.fit import Outcome
from serving.gpus import find_gpu
from serving.verdict_json import verdict_json
from serving.verdict_table import verdict_table
from serving.verdicts import verdicts

from .hub_double import APPROVED, SHA, UNAPPROVED, Hub

CARD = find_gpu("A100-80GB")


def test_verdicts_come_in_the_order_of_the_requests(hub: Hub) -> None:
    found = verdicts(
        [
            ModelRequest("a", "org/open", gpu=CARD),
            ModelRequest("b", "org/none", gpu=CARD),
            ModelRequest("c", "org/awq", quantization="gptq", gpu=CARD),
            ModelRequest("d", "org/gated", gpu=CARD, token=APPROVED),
        ]
    )
    assert [verdict.name for verdict in found] == ["a", "b", "c", "d"]
    assert [verdict.outcome for verdict in found][1:3] == [Outcome.WONT_START] * 2
    assert found[0].revision == SHA
    assert found[0].gpu is CARD


@pytest.mark.parametrize(
    ("request_", "rule"),
    [
        (ModelRequest("a", "org/gated"), "gated-model"),
        (ModelRequest("a", "org/gated", token=UNAPPROVED), "gated-model"),
        (ModelRequest("a", "org/none"), "model-not-found"),
        (ModelRequest("a", "org/private"), "model-not-found"),
        (ModelRequest("a", "org/open", revision="nope"), "revision-not-found"),
        (ModelRequest("a", "org/disabled"), "model-disabled"),
        (ModelRequest("a", "s3://x/y"), "invalid-argument"),
        (ModelRequest("a", "org/open", vllm_version="newest"), "invalid-argument"),
    ],
)
def test_what_the_hub_refuses_is_a_broken_rule(hub: Hub, request_: ModelRequest, rule: str) -> None:
    (found,) = verdicts([request_])
    assert found.outcome is Outcome.WONT_START
    assert [broken.rule for broken in found.broken] == [rule]
    assert found.broken[0].cure
    assert verdict_json(found)["revision"] == ""


def test_a_hub_in_silence_is_maybe_and_says_what_was_not_checked(hub: Hub) -> None:
    hub.always = httpx.ConnectError("x")
    (found,) = verdicts([ModelRequest("a", "org/open", gpu=CARD)])
    assert found.outcome is Outcome.MAYBE
    assert "memory" in found.unchecked[0] and "no connection" in found.unchecked[0]
    assert "Not checked" in verdict_table([found])


def test_a_folder_of_the_session_is_maybe(hub: Hub) -> None:
    (found,) = verdicts([ModelRequest("a", "/models/mine", gpu=CARD)])
    assert (found.outcome, hub.requests) == (Outcome.MAYBE, [])
    assert "folder" in found.unchecked[0]
