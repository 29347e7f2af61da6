"""The invariant: what can't work ends with a cause and an exit code; nothing exists that isn't in the state."""

from __future__ import annotations

from typing import Any

import pytest

from emulator import Emulator

from .driver import TINY, PulumiStack

CHAT: dict[str, Any] = {"name": "chat", **TINY}


def living(emulator: Emulator) -> set[str]:
    return {str(session.id) for session in emulator.cluster.living()}


# Said by the Hub: everything at once.
HUB_MODELS = [
    ({"model": "acme/no-such-model"}, "acme/no-such-model"),
    ({"model": "Qwen/Qwen2.5-7B-Instruct", "quantization": "awq"}, "awq"),
    ({"model": "openai-community/gpt2", "max_model_len": 4096}, "1024"),
    ({"hf_token": "hf_not_a_token_at_all", "model": "mistralai/Mistral-7B-Instruct-v0.1"}, "token"),
    ({"model": "meta-llama/Llama-2-7b-chat-hf"}, "gated"),
]
# Said by the settings: everything at once.
STACK_MODELS = [({"preset": "8b"}, "models[0].preset"), ({"gpuz": 1}, "models[1].gpuz")]


@pytest.mark.parametrize("models", [HUB_MODELS, STACK_MODELS], ids=["the Hub", "the settings"])
def test_models_that_cannot_work_are_refused_in_preview_and_in_up(
    models: list[tuple[dict[str, Any], str]], stack: PulumiStack, emulator: Emulator
) -> None:
    stack.configure([{**CHAT, "name": f"m{index}", **model} for index, (model, _) in enumerate(models)])
    writes = emulator.cluster.writes
    for command in (stack.preview, stack.up):
        failed = command(code=None)
        assert failed.code != 0
        assert "Traceback" not in failed.text
        for _, words in models:
            assert words in failed.text
    assert emulator.cluster.writes == writes
    assert living(emulator) == set()


BAD_CLUSTERS: list[tuple[dict[str, Any], dict[str, str], str]] = [
    ({}, {"BACKEND_SECRET_KEY": "wrong"}, "Check BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY"),
    ({}, {"BACKEND_ENDPOINT": "http://127.0.0.1:9"}, "Nothing answers at http://127.0.0.1:9"),
    ({}, {"BACKEND_SECRET_KEY": ""}, "Backend.AI credentials are missing: BACKEND_SECRET_KEY"),
]


@pytest.mark.parametrize(("cluster", "env", "words"), BAD_CLUSTERS, ids=[words for *_, words in BAD_CLUSTERS])
def test_a_cluster_that_refuses_is_explained(
    cluster: dict[str, Any], env: dict[str, str], words: str, stack: PulumiStack, emulator: Emulator
) -> None:
    stack.configure([CHAT], cluster)
    failed = stack.up(code=None, env=env)
    assert failed.code != 0
    assert words in failed.text
    assert "Traceback" not in failed.text
    assert living(emulator) == set()


def test_a_name_taken_by_somebody_else_s_session(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([{**CHAT, "session_name": "taken-name"}])
    stack.up()
    theirs = living(emulator)
    other = PulumiStack.new(stack.folder.parent / "other", {k: stack.env[k] for k in _CLUSTER}, name="other")
    other.configure([{**CHAT, "session_name": "taken-name"}])
    failed = other.up(code=None)
    assert failed.code != 0
    assert "The session name 'taken-name' is taken" in failed.text
    assert living(emulator) == theirs
    assert other.resources() == []


_CLUSTER = ("BACKEND_ENDPOINT", "BACKEND_ACCESS_KEY", "BACKEND_SECRET_KEY", "HF_ENDPOINT")


# What keeps a model from answering, and what the user reads of it.
NEVER_READY: list[tuple[dict[str, str], str]] = [
    ({"VLLM_STANDIN_EXIT": "1@loading"}, "m0-0-"),
    ({"VLLM_STANDIN_EXIT": "0@loading"}, "m1-0-"),
    ({"VLLM_STANDIN_SERVES": "another-model"}, "it serves another-model and not"),
    ({"VLLM_STANDIN_BROKEN_ENGINE": "1"}, "EngineCore"),
]


def test_models_that_never_answer_fail_the_run_and_the_next_up_repairs(stack: PulumiStack, emulator: Emulator) -> None:
    names = [f"m{index}" for index in range(len(NEVER_READY))]
    stack.configure(
        [
            {**CHAT, "name": name, "env": env, "ready_timeout": 5}
            for name, (env, _) in zip(names, NEVER_READY, strict=True)
        ]
    )
    failed = stack.up(code=None)
    assert failed.code != 0
    assert failed.text.count("the session has ended") >= 2
    for _, words in NEVER_READY:
        assert words in failed.text
    assert stack.session_ids() >= living(emulator)
    assert stack.resources("ModelEndpoint") == []

    stack.configure([{**CHAT, "name": name} for name in names])
    stack.up()
    assert stack.session_ids() == living(emulator)
    assert len(living(emulator)) == len(names)


def test_waiting_ends_when_nothing_moves_and_the_next_up_waits_again(stack: PulumiStack, emulator: Emulator) -> None:
    stack.configure([{**CHAT, "env": {"VLLM_STANDIN_HANG": "loading"}, "ready_timeout": 3}])
    failed = stack.up(code=None, timeout=60)
    assert failed.code != 0
    assert "nothing has moved for" in failed.text
    before = living(emulator)
    assert before == stack.session_ids()

    failed = stack.up(code=None, timeout=60)
    assert failed.code != 0
    assert living(emulator) == before, "the same session is waited for"
    stack.destroy()
    assert living(emulator) == set()


def test_when_nobody_takes_the_session_that_is_said(stack: PulumiStack, emulator: Emulator) -> None:
    emulator.cluster.faults.no_agent = True
    stack.configure([{**CHAT, "ready_timeout": 2}])
    failed = stack.up(code=None, timeout=60)
    assert failed.code != 0
    assert "no room" in failed.text
    stack.destroy()
    assert living(emulator) == set()
