"""The invariant: explicit settings win over the preset, the preset over the defaults, and the impossible is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.loading import StackFile
from components.presets import PRESETS
from components.resolution import ResolvedModel, resolve

IMAGE = "cr.backend.ai/stable/vllm:0.32.0-cuda12.9-ubuntu24.04"


def resolve_all(
    *models: dict[str, Any], environ: dict[str, str] | None = None, **cluster: Any
) -> tuple[list[ResolvedModel], str]:
    texts = {"cluster": json.dumps({"image": IMAGE, **cluster}), "models": json.dumps(list(models))}
    settings, found = StackFile(texts.get, texts).read()
    assert settings is not None
    resolved, more = resolve(settings, environ or {})
    return resolved, "\n".join(str(problem) for problem in [*found, *more])


def resolved(*models: dict[str, Any], environ: dict[str, str] | None = None, **cluster: Any) -> list[ResolvedModel]:
    found, problems = resolve_all(*models, environ=environ, **cluster)
    assert problems == ""
    return found


def refusal(*models: dict[str, Any], **cluster: Any) -> str:
    _, problems = resolve_all(*models, **cluster)
    assert problems
    return problems


@pytest.mark.parametrize(("size", "quantization"), list(PRESETS))
def test_a_preset_gives_its_row(size: str, quantization: str) -> None:
    row = PRESETS[size, quantization]  # type: ignore[index]
    (model,) = resolved({"name": "m", "preset": size, "quantization": quantization})
    for key in ("model", "gpus", "tensor_parallel_size", "cpu", "memory", "shmem", "max_model_len"):
        assert model.inputs[key] == getattr(row, key)


@pytest.mark.parametrize(
    ("key", "value"),
    [("model", "acme/other"), ("gpus", 8), ("cpu", 2), ("memory", "200g"), ("shmem", "3g"), ("max_model_len", 1024)],
)
def test_what_is_said_wins_over_the_preset(key: str, value: Any) -> None:
    (model,) = resolved({"name": "m", "preset": "70b", "tensor_parallel_size": 4, key: value})
    assert model.inputs[key] == value


def test_the_old_script_s_defaults_hold_without_a_preset() -> None:
    (model,) = resolved({"name": "m", "model": "acme/m"})
    expected = {"gpus": 1, "cpu": 4, "memory": "16g", "max_model_len": 4096, "dtype": "auto", "port": 8000}
    assert {key: model.inputs[key] for key in expected} == expected
    assert model.inputs["served_model_name"] == "acme/m"


@pytest.mark.parametrize(
    ("said", "parallel"),
    [
        ({"gpus": 4}, 4),  # no GPU stands idle
        ({"gpus": 4, "tensor_parallel_size": 2}, 2),
        ({"preset": "70b"}, 4),
        ({"preset": "70b", "gpus": 8}, 8),
        ({"preset": "70b", "tensor_parallel_size": 2}, 2),
    ],
)
def test_tensor_parallel_size_follows_the_gpus(said: dict[str, Any], parallel: int) -> None:
    (model,) = resolved({"name": "m", "model": "acme/m", **said})
    assert model.inputs["tensor_parallel_size"] == parallel


def test_a_hub_url_is_a_repository_and_a_revision() -> None:
    (model,) = resolved({"name": "m", "model": "https://huggingface.co/acme/m/tree/v1"})
    assert (model.inputs["model"], model.inputs["revision"]) == ("acme/m", "v1")


def test_a_folder_in_the_session_is_taken_as_it_is() -> None:
    (model,) = resolved({"name": "m", "model": "/home/work/models/tiny", "served_model_name": "tiny"})
    assert (model.inputs["model"], model.inputs["served_model_name"]) == ("/home/work/models/tiny", "tiny")


@pytest.mark.parametrize(
    ("environ", "said", "token"),
    [
        ({}, {}, None),
        ({"HF_TOKEN": "hf_env"}, {}, "hf_env"),
        ({"HUGGING_FACE_HUB_TOKEN": "hf_old"}, {}, "hf_old"),
        ({"HF_TOKEN": "hf_env", "HUGGING_FACE_HUB_TOKEN": "hf_old"}, {}, "hf_env"),
        ({"HF_TOKEN": "hf_env"}, {"hf_token": "hf_said"}, "hf_said"),
    ],
)
def test_the_hub_token(environ: dict[str, str], said: dict[str, str], token: str | None) -> None:
    (model,) = resolved({"name": "m", "model": "acme/m", **said}, environ=environ)
    assert model.hf_token == token
    assert "hf_" not in repr(model)


REFUSED = [
    ({"name": "m"}, "models[0].model: is missing"),
    ({"name": "m", "model": "https://example.com/acme/m"}, "models[0].model"),
    ({"name": "m", "preset": "7b", "quantization": "fp8"}, "models[0].quantization: 'fp8' isn't one of the preset's"),
    ({"name": "m", "model": "acme/m", "gpus": 1.5}, "models[0].gpus: 1.5 is no whole number of cards"),
    (
        {"name": "m", "model": "acme/m", "tensor_parallel_size": 2},
        "models[0].tensor_parallel_size: 2 needs as many GPUs",
    ),
    ({"name": "m", "model": "acme/m", "shmem": "16g", "memory": "16g"}, "models[0].shmem: 16g isn't less than memory"),
    ({"name": "m", "model": "acme/m", "dtype": "bf16"}, "models[0].dtype"),
    ({"name": "m", "model": "acme/m", "kv_cache_dtype": "int8"}, "models[0].kv_cache_dtype"),
    ({"name": "m", "model": "acme/m", "max_model_len": "long"}, "models[0].max_model_len"),
    ({"name": "m", "model": "acme/m", "extra_args": ["--no-such-flag"]}, "models[0].extra_args"),
    ({"name": "m", "model": "acme/m", "extra_args": ["--api-key=k"]}, "models[0].extra_args"),
    ({"name": "m", "model": "https://hf.co/acme/m/tree/a", "revision": "b"}, "models[0].revision"),
]


@pytest.mark.parametrize(("model", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_cannot_work_is_refused_before_anything_exists(model: dict[str, Any], words: str) -> None:
    assert words in refusal(model)


def test_fractional_gpus_where_the_cluster_has_them() -> None:
    (model,) = resolved({"name": "m", "model": "acme/m", "gpus": 0.5}, gpu_unit="cuda.shares")
    assert (model.inputs["gpus"], model.inputs["tensor_parallel_size"]) == (0.5, 1)


def test_an_image_of_the_model_brings_its_own_version() -> None:
    own = {"name": "m", "model": "acme/m", "image": "cr.backend.ai/stable/vllm:0.11-cuda12.8-ubuntu22.04"}
    (model,) = resolved(own, vllm_version="0.32.0")
    assert "vllm_version" not in model.inputs


def test_replicas_keep_the_first_one_s_name() -> None:
    (model,) = resolved({"name": "m", "model": "acme/m", "session_name": "my-llama", "replicas": 2})
    assert [model.replica_session_name(i) for i in range(2)] == ["my-llama", "my-llama-1"]


def test_all_models_problems_are_found_at_once() -> None:
    text = refusal({"name": "a"}, {"name": "b", "gpuz": 1}, {"name": "c", "model": "acme/m", "dtype": "bf16"})
    assert "models[0].model" in text
    assert "models[1].gpuz" in text
    assert "models[2].dtype" in text


@pytest.mark.parametrize(
    ("cluster", "model", "card"),
    [
        ({}, {}, {}),
        ({"gpu": "L4"}, {}, {"gpu": "L4"}),
        ({"gpu": "L4"}, {"gpu": "T4"}, {"gpu": "T4"}),
        (
            {"gpu": "L4"},
            {"gpu_memory_gib": 24, "compute_capability": 8.9},
            {"gpu_memory_gib": 24, "compute_capability": "8.9"},
        ),
        ({"gpu_memory_gib": 24, "compute_capability": "8.0"}, {"gpu": "T4"}, {"gpu": "T4"}),
    ],
)
def test_the_card_is_the_model_s_or_the_cluster_s(
    cluster: dict[str, Any], model: dict[str, Any], card: dict[str, Any]
) -> None:
    (one,) = resolved({"name": "a", "model": "acme/m", **model}, **cluster)
    assert {k: v for k, v in one.inputs.items() if k in ("gpu", "gpu_memory_gib", "compute_capability")} == card


def test_the_model_cache_is_the_model_s_or_the_cluster_s_or_none() -> None:
    models = [{"name": n, "model": "acme/m", **more} for n, more in (("a", {}), ("b", {"model_cache": "own"}))]
    found = resolved(*models, {"name": "c", "model": "acme/m", "model_cache": "none"}, model_cache="shared")
    assert [one.inputs.get("model_cache") for one in found] == ["shared", "own", None]


def test_flags_of_the_batch_are_taken_as_they_are() -> None:
    flags = {"max_num_seqs": 16, "max_num_batched_tokens": 2048, "enforce_eager": True, "allow_unverified": True}
    (one,) = resolved({"name": "a", "model": "acme/m", **flags})
    assert one.inputs.items() >= flags.items()
    assert "max_num_batched_tokens" in refusal({"name": "a", "model": "acme/m", **flags, "max_num_batched_tokens": 8})


def test_the_default_memory_grows_with_shared_memory() -> None:
    (model,) = resolved({"name": "m", "model": "acme/m", "gpus": 8})
    assert (model.inputs["memory"], model.inputs["shmem"]) == ("32g", "16g")
