"""The invariant: after every operation the cluster holds exactly the sessions that the state holds."""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from typing import Any

import pytest

from emulator import Emulator

from .driver import TINY, PulumiStack

CHAT: dict[str, Any] = {"name": "chat", **TINY}


def living(emulator: Emulator) -> set[str]:
    return {str(session.id) for session in emulator.cluster.living()}


def kill(emulator: Emulator, session_id: str) -> None:
    """As if the session's container died."""
    (session,) = [s for s in emulator.cluster.living() if str(s.id) == session_id]
    emulator.cluster.kill_container(session)
    end = time.monotonic() + 10
    while session_id in living(emulator):
        assert time.monotonic() < end
        time.sleep(0.05)


def check_that_the_key_opens(emulator: Emulator, key: str) -> None:
    (session,) = [s for s in emulator.cluster.living() if s.name.startswith("chat-")]
    url = f"http://127.0.0.1:{session.host_port('8000')}/v1/models"
    with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})) as answer:
        assert json.load(answer)["data"][0]["id"] == TINY["model"]
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url)
    assert refused.value.code == 401
    refused.value.close()


def test_from_up_to_destroy(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([CHAT, {"name": "writer", **TINY, "replicas": 2}])
    writes = emulator.cluster.writes
    stack.preview()
    assert emulator.cluster.writes == writes, "a preview writes nothing"

    up = stack.up()
    assert "a completion came back" in up.text
    assert living(emulator) == stack.session_ids()
    assert len(living(emulator)) == 3
    endpoints = stack.output("endpoints")
    assert {e["name"] for e in endpoints} == {"chat-0", "writer-0", "writer-1"}
    assert all(e["via"] == "tunnel" and e["max_model_len"] == 512 for e in endpoints)
    check_that_the_key_opens(emulator, stack.output("api_keys")["chat"])

    before = living(emulator)
    stack.up("--expect-no-changes")
    stack.refresh("--expect-no-changes")
    assert living(emulator) == before

    stack.destroy()
    assert living(emulator) == set()
    assert stack.resources() == []


def test_what_changed_outside_is_repaired_by_up_and_what_ended_is_forgotten_by_refresh(
    stack: PulumiStack, emulator: Emulator
) -> None:
    names = ["ended", "renamed", "shorter", "kept"]
    stack.configure([{"name": name, "session_name": name, **TINY} for name in names])
    stack.up()
    before = {session.name: str(session.id) for session in emulator.cluster.living()}
    assert set(before) == set(names)
    kill(emulator, before["ended"])
    emulator.serve(before["renamed"], names=["other"])
    emulator.serve(before["shorter"], max_model_len=256)
    drift = [f"serves 'other', not '{TINY['model']}'", "max_model_len is 256, not 512"]

    preview = stack.preview("--diff").text
    for words in drift:
        assert re.search(rf'\+ broken +: "{words}"', preview), preview
    assert re.search(r"~ max_model_len +: 512 => 256", preview), "the endpoint follows its server"
    up = stack.up()
    assert "[ended] session ended has ended" in up.text
    for words in drift:
        assert f"drift: {words}. `pulumi up` replaces the session." in up.text
    after = {session.name: str(session.id) for session in emulator.cluster.living()}
    assert stack.session_ids() == set(after.values())
    assert [name for name in names if after[name] == before[name]] == ["kept"]
    stack.up("--expect-no-changes")

    kill(emulator, after.pop("ended"))
    stack.refresh()
    assert stack.session_ids() == set(after.values())
    assert len(stack.resources("ModelEndpoint")) == len(after)


# What changes -> whether the session is replaced; all at once, each in a model of its own: an `up` costs seconds.
CHANGES: list[tuple[dict[str, Any], bool]] = [
    ({"session_name": "other-name"}, False),
    ({"hf_token": "hf_standin_approved"}, False),
    ({"ready_timeout": "10m"}, False),
    ({"max_model_len": 256}, True),
    ({"env": {"A": "1"}}, True),
    ({"served_model_name": "other"}, True),
    ({"api_key": "sk-another-key"}, True),
]


def test_a_change_is_made_in_place_or_replaces_the_session(stack: PulumiStack, emulator: Emulator) -> None:
    models = [{**CHAT, "name": f"m{index}", "session_name": f"name-{index}"} for index in range(len(CHANGES))]
    stack.configure(models)
    stack.up()
    before = {session.name: str(session.id) for session in emulator.cluster.living()}
    assert set(before) == {model["session_name"] for model in models}

    changed = [{**model, **change} for model, (change, _) in zip(models, CHANGES, strict=True)]
    stack.configure(changed)
    stack.up()
    after = {session.name: str(session.id) for session in emulator.cluster.living()}
    assert set(after.values()) == stack.session_ids()
    assert set(after) == {model["session_name"] for model in changed}
    for model, new, (change, replaces) in zip(models, changed, CHANGES, strict=True):
        assert (after[new["session_name"]] != before[model["session_name"]]) == replaces, change
    stack.up("--expect-no-changes")


def test_models_come_and_go_without_touching_the_others(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([CHAT])
    stack.up()
    (chat,) = living(emulator)
    stack.configure([{**CHAT, "replicas": 2}, {"name": "writer", **TINY}])
    stack.up()
    assert chat in living(emulator)
    assert len(living(emulator)) == 3
    stack.configure([CHAT])
    stack.up()
    assert living(emulator) == {chat}


def test_without_waiting_up_returns_at_once(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([{**CHAT, "wait": False, "env": {"VLLM_STANDIN_LOAD_SECONDS": "3600"}}])
    stack.up(timeout=60)
    assert living(emulator) == stack.session_ids()
    stack.up("--expect-no-changes")
    stack.destroy()
    assert living(emulator) == set()


def test_a_second_stack_of_the_same_program_shares_nothing(
    stack: PulumiStack, emulator: Emulator, cluster_env: dict[str, str], tmp_path: Any
) -> None:
    other = PulumiStack.new(tmp_path / "other", cluster_env, name="other")
    for each in (stack, other):
        each.configure([CHAT])
        each.up()
    assert stack.session_ids().isdisjoint(other.session_ids())
    other.destroy()
    assert living(emulator) == stack.session_ids()
    stack.up("--expect-no-changes")
