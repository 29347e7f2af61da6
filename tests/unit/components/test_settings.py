"""The invariant: whatever is wrong with a stack file is said at once, with its path, its value and its cure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.loading import SettingsError, StackFile
from components.settings import ModelSettings

CLUSTER = {"image": "cr.backend.ai/stable/vllm:0.32.0"}


def read(models: Any = (), cluster: Any = CLUSTER, **more: str) -> tuple[list[ModelSettings | None], list[str]]:
    texts = {"cluster": json.dumps(cluster), "models": json.dumps(models), **more}
    settings, found = StackFile(texts.get, texts).read()
    return list(settings.models) if settings else [], [str(problem) for problem in found]


def load(models: Any) -> ModelSettings:
    ((model,), found) = read(models)
    assert found == []
    assert model is not None
    return model


def problems(models: Any = (), cluster: Any = CLUSTER, **more: str) -> list[str]:
    _, found = read(models, cluster, **more)
    return found


def test_the_smallest_model_is_a_name_and_a_preset() -> None:
    model = load([{"name": "chat", "preset": "7b"}])
    assert (model.replicas, model.wait, model.port, model.ready_timeout) == (1, True, 8000, 1800.0)


def test_numbers_may_come_as_floats_and_durations_with_units() -> None:
    model = load([{"name": "chat", "preset": "7b", "gpus": 2.0, "ready_timeout": "30m", "memory": "16GB"}])
    assert (model.gpus, model.ready_timeout, model.memory) == (2, 1800.0, "16g")


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"gpuz": 1}, "models[0].gpuz", "Did you mean 'gpu'?"),
    ({"gpus": "many"}, "models[0].gpus", "'many'"),
    ({"gpus": 0}, "models[0].gpus", "0"),
    ({"gpus": True}, "models[0].gpus", "is no number"),
    ({"cpu": 1.5}, "models[0].cpu", "1.5"),
    ({"memory": 16}, "models[0].memory", "write a number with its unit, such as 16g"),
    ({"memory": "lots"}, "models[0].memory", "'lots' is no size"),
    ({"memory": "0g"}, "models[0].memory", "is too little"),
    ({"preset": "8b"}, "models[0].preset", "'8b' isn't one of"),
    ({"port": 2200}, "models[0].port", "Backend.AI uses itself"),
    ({"port": 70000}, "models[0].port", "70000"),
    ({"replicas": -1}, "models[0].replicas", "-1"),
    ({"ready_timeout": "soon"}, "models[0].ready_timeout", "'soon' is no duration"),
    ({"ready_timeout": 0}, "models[0].ready_timeout", "0 is too short"),
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
    found = problems([{"name": "chat", "preset": "7b"}, {"name": "chat", "preset": "13b"}, {"name": "x", "gpuz": 1}])
    assert any(line.startswith("models[0].name: 'chat' is used 2 times.") for line in found)
    assert any(line.startswith("models[2].gpuz") for line in found), "one problem doesn't hide another"


def test_no_secret_is_shown() -> None:
    (problem,) = problems([{"name": "chat", "preset": "7b", "api_key": "k y with blanks that is secret"}])
    assert "secret" not in problem


def test_a_secret_that_is_not_encrypted_is_refused_with_the_command_that_encrypts_it() -> None:
    models = json.dumps([{"name": "chat", "preset": "7b", "api_key": "k-in-clear-in-the-file"}])
    texts = {"cluster": json.dumps(CLUSTER), "models": models, "hf_token": "hf_in_clear", "secret_key": "sk"}
    _, found = StackFile(texts.get, texts, lambda _key: False).read()
    lines = [str(problem) for problem in found]
    assert [line.split(":")[0] for line in lines] == ["hf_token", "secret_key", "models[0].api_key"]
    assert "pulumi config set --secret --path 'backendai-vllm:models[0].api_key'" in lines[2]
    assert "in_clear" not in "".join(lines)
    assert "k-in-clear" not in "".join(lines)
    assert StackFile(texts.get, texts, lambda _key: True).read()[1] == []


def test_another_fault_of_a_model_hides_neither_its_name_nor_its_secret() -> None:
    models = json.dumps([{"name": "a", "gpuz": 1, "api_key": "k-in-clear"}, {"name": "a", "preset": "7b"}])
    texts = {"cluster": json.dumps(CLUSTER), "models": models}
    _, found = StackFile(texts.get, texts, lambda _key: False).read()
    assert [problem.path for problem in found] == [
        *("models[0].gpuz", "models[0].name", "models[1].name", "models[0].api_key")
    ]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({}, ["cluster: is missing.", "models: is missing."]),
        ({"cluster": "{", "models": "[]"}, ["cluster: is not a mapping."]),
        ({"cluster": '{"image": "x"}', "models": '{"a": 1}'}, ["models: is not a list."]),
        ({"cluster": '{"image": "x"}', "models": "[1]"}, ["models[0]: is not a mapping of settings."]),
        (
            {"cluster": '{"image": "x"}', "modles": "[]"},
            ["modles: is no key that is known here. Did you mean 'models'?"],
        ),
    ],
)
def test_a_missing_or_broken_stack_file_is_said(texts: dict[str, str], words: list[str]) -> None:
    _, found = StackFile(texts.get, texts).read()
    text = "\n".join(str(problem) for problem in found)
    for each in words:
        assert each in text


def test_the_error_counts_and_names_the_stack() -> None:
    _, found = StackFile({"cluster": "{"}.get, ["cluster"]).read()
    assert "stack 'dev' has 2 problems; nothing was changed" in str(SettingsError(found, "dev"))


def test_a_size_is_kept_as_it_was_written() -> None:
    assert load([{"name": "chat", "preset": "7b", "memory": "16777216K"}]).memory == "16777216k"
    assert load([{"name": "chat", "preset": "7b", "memory": "016.50 GiB"}]).memory == "16.5g"
