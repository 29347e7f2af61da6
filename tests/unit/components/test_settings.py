"""The invariant: whatever is wrong with a stack file is said at once, with its path, its value and its cure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.settings import SettingsError, StackSettings, load_settings

CLUSTER = {"image": "cr.backend.ai/stable/vllm:0.32.0"}


def load(models: Any = (), cluster: Any = CLUSTER, **more: str) -> StackSettings:
    texts = {"cluster": json.dumps(cluster), "models": json.dumps(models), **more}
    return load_settings(texts.get, "dev")


def problems(models: Any = (), cluster: Any = CLUSTER) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(models, cluster)
    return [str(problem) for problem in caught.value.problems]


def test_the_smallest_model_is_a_name_and_a_preset() -> None:
    (model,) = load([{"name": "chat", "preset": "7b"}]).models
    assert (model.replicas, model.wait, model.port, model.ready_timeout) == (1, True, 8000, 1800.0)


def test_numbers_may_come_as_floats_and_durations_with_units() -> None:
    (model,) = load([{"name": "chat", "preset": "7b", "gpus": 2.0, "ready_timeout": "30m", "memory": "16GB"}]).models
    assert (model.gpus, model.ready_timeout, model.memory) == (2, 1800.0, "16g")


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"gpuz": 1}, "models[0].gpuz", "Did you mean 'gpus'?"),
    ({"gpus": "many"}, "models[0].gpus", "'many'"),
    ({"gpus": 0}, "models[0].gpus", "0"),
    ({"gpus": True}, "models[0].gpus", "is no number"),
    ({"cpu": 1.5}, "models[0].cpu", "1.5"),
    ({"memory": 16}, "models[0].memory", "write a number with its unit, such as 16g"),
    ({"memory": "lots"}, "models[0].memory", "'lots' is no size"),
    ({"memory": "0g"}, "models[0].memory", "is no size"),
    ({"preset": "8b"}, "models[0].preset", "'8b' isn't one of"),
    ({"port": 2200}, "models[0].port", "Backend.AI uses itself"),
    ({"port": 70000}, "models[0].port", "70000"),
    ({"replicas": -1}, "models[0].replicas", "-1"),
    ({"ready_timeout": "soon"}, "models[0].ready_timeout", "'soon' is no duration"),
    ({"ready_timeout": 0}, "models[0].ready_timeout", "0 is no duration"),
    ({"gpu_memory_utilization": 1.5}, "models[0].gpu_memory_utilization", "1.5"),
    ({"name": "Chat!"}, "models[0].name", "'Chat!'"),
    ({"session_name": "x"}, "models[0].session_name", "'x'"),
    ({"trust_remote_code": "perhaps"}, "models[0].trust_remote_code", "'perhaps'"),
    ({"env": {"HF_TOKEN": "hf_abcdefgh"}}, "models[0].env", "use `hf_token`"),
    ({"env": {"VLLM_API_KEY": "k"}}, "models[0].env", "use `api_key`"),
    ({"env": {"A B": "k"}}, "models[0].env", "'A B'"),
    ({"env": {"A": "one\ntwo"}}, "models[0].env", "several lines"),
    ({"env": {"A": True}}, "models[0].env", "put it in quotes"),
    ({"env": ["A=1"]}, "models[0].env", "is no mapping"),
    ({"mounts": {"cache": ""}}, "models[0].mounts", "cache"),
    ({"hf_token": ""}, "models[0].hf_token", "[hidden]"),
    ({"api_key": "short"}, "models[0].api_key", "[hidden]"),
    ({"extra_args": "--enforce-eager"}, "models[0].extra_args", "'--enforce-eager'"),
]


@pytest.mark.parametrize(
    ("wrong", "path", "words"), WRONG, ids=[f"{p}={next(iter(w.values()))!r}" for w, p, _ in WRONG]
)
def test_what_is_wrong_names_key_value_and_cure(wrong: dict[str, Any], path: str, words: str) -> None:
    (problem,) = problems([{"name": "chat", "preset": "7b", **wrong}])
    assert problem.startswith(f"{path}:") or problem.startswith(f"{path}["), problem
    assert words in problem


def test_everything_is_said_at_once() -> None:
    found = problems([{"name": "chat", "gpuz": 1, "memory": 16}, {"preset": "8b"}], {"gpu_unit": "cards"})
    assert {p.split(":")[0] for p in found} == {
        "cluster.image",
        "cluster.gpu_unit",
        "models[0].gpuz",
        "models[0].memory",
        "models[1].name",
        "models[1].preset",
    }


def test_names_are_used_once() -> None:
    found = problems([{"name": "chat", "preset": "7b"}, {"name": "chat", "preset": "13b"}])
    assert found[0].startswith("models[0].name: 'chat' is used 2 times.")


def test_no_secret_is_shown() -> None:
    (problem,) = problems([{"name": "chat", "preset": "7b", "api_key": "k y with blanks that is secret"}])
    assert "secret" not in problem


def test_a_secret_that_is_not_encrypted_is_refused_with_the_command_that_encrypts_it() -> None:
    models = json.dumps([{"name": "chat", "preset": "7b", "api_key": "k-in-clear-in-the-file"}])
    texts = {"cluster": json.dumps(CLUSTER), "models": models, "hf_token": "hf_in_clear"}
    with pytest.raises(SettingsError) as caught:
        load_settings(texts.get, "dev", lambda _key: False)
    first, second = map(str, caught.value.problems)
    assert first.startswith("hf_token: stands in clear")
    assert "pulumi config set --secret --path 'backendai-vllm:models[0].api_key'" in second
    assert "k-in-clear" not in str(caught.value)
    load_settings(texts.get, "dev", lambda _key: True)


@pytest.mark.parametrize("texts", [{}, {"cluster": "{"}, {"models": "[]"}])
def test_a_missing_or_broken_stack_file_is_said(texts: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="cluster"):
        load_settings(texts.get, "dev")


def test_the_error_counts_and_names_the_stack() -> None:
    with pytest.raises(SettingsError, match="stack 'dev' has 2 problems; nothing was created"):
        load([{"name": "chat", "gpuz": 1, "memory": 16}])
