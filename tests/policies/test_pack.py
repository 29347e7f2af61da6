"""The invariant: Pulumi gets each violation once, with the level's weight, and never a rule's exception."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyCustomTimeouts,
    PolicyResource,
    PolicyResourceOptions,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    StackValidationArgs,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError, unknown_checking_proxy
from pulumi_policy.secret import Secret, secrets_preserving_proxy

from policies.declared import PROVIDER
from policies.pack import policies
from policies.resources import ENDPOINT, SESSION
from policies.table import RULES

from .samples import KEY, SOUND, WAITED

COMPONENT = "urn:pulumi:test::backendai-vllm::backendai:serving:ModelServingStack::chat"
URN = f"urn:pulumi:test::backendai-vllm::{SESSION}::chat-0"
OPTIONS = PolicyResourceOptions(False, [], None, [], PolicyCustomTimeouts(0, 0, 0), ["api_key", "hf_token"], COMPONENT)
MODEL = {"name": "chat", "model": "backendai-vllm/tiny-llama", "gpus": 9, "tensor_parallel_size": 1}
CLUSTER = {"image": "cr.backend.ai/stable/vllm:0.32.0-cuda12.9-ubuntu24.04"}


def policy(name: str) -> Any:
    return next(p for p in policies(RULES) if p.name == name)


def asked(kind: str, props: Any, config: dict[str, Any] | None = None, name: str = "chat-0") -> ResourceValidationArgs:
    return ResourceValidationArgs(kind, props, URN, name, OPTIONS, None, config)


def settings(*models: dict[str, Any]) -> dict[str, str]:
    return {"backendai-vllm:models": json.dumps(models), "backendai-vllm:cluster": json.dumps(CLUSTER)}


class Report(list[str]):
    def __call__(self, message: str, urn: str | None = None) -> None:
        self.append(message)


def test_the_settings_are_judged_before_anything_exists_and_nothing_is_said_twice() -> None:
    rule, report = policy("gpus-per-session"), Report()
    rule.validate(asked(PROVIDER, unknown_checking_proxy(settings({**MODEL, "replicas": 2})), name="default"), report)
    assert len(report) == 1 and report[0].startswith("chat: gpus is 9")
    rule.validate(asked(SESSION, unknown_checking_proxy({**SOUND, "gpus": 9.0})), report)
    assert len(report) == 1
    rule.validate(asked(SESSION, unknown_checking_proxy({**SOUND, "gpus": 10.0})), report)
    assert len(report) == 2
    rule.validate(asked(SESSION, unknown_checking_proxy({**SOUND, "gpus": 10.0}), name="chat-1"), report)
    assert len(report) == 3, "each resource is stopped by a report of its own"
    rule.validate(asked(PROVIDER, settings(MODEL), name="default"), report)
    assert len(report) == 4, "an update after its preview says it again"


def test_a_rule_on_the_stack_is_asked_before_and_at_the_end() -> None:
    rule, report = policy("gpus-per-stack"), Report()
    rule.validate(asked(PROVIDER, settings({**MODEL, "gpus": 40}), name="default"), report)
    assert len(report) == 1 and "40 GPUs" in report[0]
    real = PolicyResource(SESSION, {**SOUND, "gpus": 40.0}, URN, "chat-0", OPTIONS, None, None, [], {})
    rule.validate(StackValidationArgs([real]), report)
    assert len(report) == 1
    rule = policy("gpus-per-stack")
    rule.validate(StackValidationArgs([real]), report)
    assert len(report) == 2
    assert rule.has_validation() and not rule.has_remediation()


@pytest.mark.parametrize("inputs", [{}, {"other:models": "[]"}, settings(), {"backendai-vllm:models": "[secret]"}])
def test_settings_of_something_else_are_no_crash(inputs: dict[str, str]) -> None:
    for each in policies(RULES):
        assert isinstance(each, ResourceValidationPolicy)
        each.validate(asked(PROVIDER, inputs, name="default"), Report())


def test_an_endpoint_is_found_by_what_it_depends_on() -> None:
    session = PolicyResource(SESSION, SOUND, URN, "chat-0", OPTIONS, None, None, [], {})
    endpoint = PolicyResource(ENDPOINT, WAITED, "urn:e", "chat-0", OPTIONS, None, None, [], {"session_id": [session]})
    report = Report()
    policy("endpoints").validate(StackValidationArgs([session, endpoint]), report)
    assert report == []
    policy("endpoints").validate(StackValidationArgs([session]), report)
    assert len(report) == 1


def test_a_value_that_is_not_known_is_told_to_pulumi_once() -> None:
    rule = policy("api-key")
    rule.validate(asked(PROVIDER, settings(MODEL), name="default"), Report())
    props = unknown_checking_proxy({**SOUND, "api_key": UNKNOWN_STRING_VALUE})
    with pytest.raises(UnknownValueError):
        rule.validate(asked(SESSION, props), Report())
    rule.validate(asked(SESSION, props, name="chat-1"), Report())


def test_limits_come_from_the_config() -> None:
    report = Report()
    policy("gpus-per-session").validate(asked(SESSION, {**SOUND, "gpus": 9.0}, {"max": 16.0}), report)
    assert report == []
    policy("max-model-len").validate(asked(SESSION, SOUND, {"max": 300.0}), report)
    assert "to 300 tokens" in report[0]


def test_a_remedy_changes_its_value_only_and_keeps_secrets() -> None:
    rule = policy("gpu-memory-utilization")
    given = {**SOUND, "gpu_memory_utilization": 0.99, "api_key": Secret(KEY), "owner": UNKNOWN_STRING_VALUE}
    props = secrets_preserving_proxy(given)
    assert rule.remediate(asked(SESSION, props)) is props
    assert given["gpu_memory_utilization"] == 0.95
    assert isinstance(given["api_key"], Secret) and given["owner"] == UNKNOWN_STRING_VALUE
    assert rule.remediate(asked(SESSION, props)) is None
    assert rule.remediate(asked(ENDPOINT, secrets_preserving_proxy(dict(WAITED)))) is None


def test_where_there_is_a_remedy_the_settings_are_not_refused() -> None:
    rule, report = policy("gpu-memory-utilization"), Report()
    inputs = settings({**MODEL, "gpu_memory_utilization": 0.99})
    rule.remediate(asked(PROVIDER, secrets_preserving_proxy(inputs), name="default"))
    rule.validate(asked(PROVIDER, inputs, name="default"), report)
    assert report == []


def test_a_timeout_is_set() -> None:
    rule = policy("ready-timeout")
    for given, expected in ((None, 1800.0), (1.0, 60.0), (99999.0, 7200.0)):
        props = secrets_preserving_proxy({**WAITED, "ready_timeout": given})
        assert rule.remediate(asked(ENDPOINT, props))["ready_timeout"] == expected


def test_every_rule_becomes_a_policy() -> None:
    made = policies(RULES)
    assert [p.name for p in made] == [rule.name for rule in RULES]
    assert all(isinstance(p, Policy) and isinstance(p.enforcement_level, EnforcementLevel) for p in made)
