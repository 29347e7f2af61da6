"""The invariant: the stack files that are there to start from keep the rules that are there to start from."""

from __future__ import annotations

import json

import pytest
import yaml

from policies import lookups, table
from policies.declared import declared
from policies.resources import NotApplicable

# What a team decides for itself: the commit that it wants to serve.
LEFT_TO_THE_TEAM = {"revision"}


@pytest.mark.parametrize("environment", table.ENVIRONMENTS)
def test_a_stack_file_keeps_the_rules_of_its_environment(environment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookups, "judgement", lambda _session: lookups.Judgement("START"))
    monkeypatch.setattr(lookups, "known_commit", lambda _session: None)
    path = table.FOLDER.parent / "stacks" / f"Pulumi.{environment}.yaml"
    stack = declared({key: json.dumps(value) for key, value in yaml.safe_load(path.read_text())["config"].items()})
    assert stack is not None and stack.sessions
    settings, broken = table.config(environment), set()
    for rule in table.RULES:
        own = settings.get(rule.name, {})
        if own == "disabled":
            continue
        abouts = [r for r in (*stack.sessions, *stack.endpoints) if r.kind in rule.on] if rule.on else [stack]
        for about in abouts:
            try:
                found, _ = rule.messages(about, own)
            except NotApplicable:
                continue
            broken |= {rule.name} if found else set()
    assert broken <= LEFT_TO_THE_TEAM


def test_replicas_and_endpoints_are_declared() -> None:
    models = [{"name": "chat", "model": "acme/one", "replicas": 2, "wait": False, "ready_timeout": "5m"}]
    cluster = {"image": "cr.example/vllm:0.32.0", "gpu": "T4", "resource_group": "gold"}
    settings = {"backendai-vllm:models": json.dumps(models), "backendai-vllm:cluster": json.dumps(cluster)}
    stack = declared(settings)
    assert stack is not None and stack.declared
    assert [session.name for session in stack.sessions] == ["chat-0", "chat-1"]
    assert {session.model_name for session in stack.sessions} == {"chat"}
    assert stack.sessions[0].text("resource_group") == "gold"
    assert stack.sessions[0].text("gpu") == "T4"
    assert stack.endpoints[0].number("ready_timeout") == 300
    assert stack.endpoints[0].get("wait") is False
