"""The invariant: a command is what vLLM reads back as the settings, or is refused with all that is wrong."""

import shlex
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving import (
    InvalidArgument,
    InvalidArguments,
    ServeSettings,
    argument_problems,
    max_model_len_tokens,
    serve_argv,
    startup_command,
)

from . import reference_parser

MODEL = "Qwen/Qwen2.5-7B-Instruct"


def problems(version: str | None = "0.32.0", **values: Any) -> dict[str, str]:
    found = argument_problems(ServeSettings(**{"model": MODEL} | values), version)
    assert all(problem.what and problem.cure for problem in found)
    return {problem.key: str(problem) for problem in found}


def test_the_shortest_command() -> None:
    assert startup_command(ServeSettings(model=MODEL)) == f"exec vllm serve {MODEL} --host=0.0.0.0 --port=8000"


def test_a_full_command_has_the_model_first_and_one_word_a_flag() -> None:
    full = ServeSettings(
        model=MODEL,
        revision="a" * 40,
        quantization="fp8",
        tensor_parallel_size=2,
        max_model_len="32k",
        dtype="bfloat16",
        kv_cache_dtype="fp8",
        gpu_memory_utilization=0.9,
        trust_remote_code=True,
        served_model_name="my model",
        port=8001,
        extra_args=("--max_num_seqs", "64", "--lora-modules", "a=b", "c=d"),
    )
    assert serve_argv(full, "0.32.0") == [
        "vllm",
        "serve",
        MODEL,
        "--host=0.0.0.0",
        "--port=8001",
        "--served-model-name=my model",
        f"--revision={'a' * 40}",
        "--quantization=fp8",
        "--tensor-parallel-size=2",
        "--max-model-len=32k",
        "--dtype=bfloat16",
        "--kv-cache-dtype=fp8",
        "--gpu-memory-utilization=0.9",
        "--trust-remote-code",
        "--max-num-seqs=64",
        "--lora-modules",
        "a=b",
        "c=d",
    ]


@pytest.mark.parametrize(
    ("values", "key", "texts"),
    [
        ({"dtype": "bf16"}, "dtype", ["'bf16'", "bfloat16"]),
        ({"dtype": "int8"}, "dtype", ["auto, bfloat16, float"]),
        ({"kv_cache_dtype": "int8"}, "kv_cache_dtype", ["'int8'", "fp8"]),
        ({"gpu_memory_utilization": 1.5}, "gpu_memory_utilization", ["1.5", "up to 1"]),
        ({"gpu_memory_utilization": 0.0}, "gpu_memory_utilization", ["0.0"]),
        ({"tensor_parallel_size": 0}, "tensor_parallel_size", ["1 or more"]),
        ({"port": 99999}, "port", ["99999", "65535"]),
        ({"port": 0}, "port", ["0 is no port"]),
        ({"max_model_len": "1e3"}, "max_model_len", ["'1e3'", "32K"]),
        ({"max_model_len": "1.5K"}, "max_model_len", ["'1.5K'"]),
        ({"max_model_len": 0}, "max_model_len", ["'0'"]),
        ({"max_model_len": -2}, "max_model_len", ["'-2'"]),
        ({"quantization": "int3"}, "quantization", ["'int3'"]),
        ({"quantization": "awk"}, "quantization", ["Did you mean awq?"]),
        ({"quantization": "bitsandbytes"}, "quantization", ["0.27", "vllm-bnb-plugin"]),
        ({"quantization": "gguf"}, "quantization", ["0.23", "vllm-gguf-plugin"]),
        ({"quantization": "marlin"}, "quantization", ["gone"]),
        ({"quantization": "fbgemm_fp8"}, "quantization", ["--allow-deprecated-quantization"]),
        ({"model": "--config=/x"}, "model", ["no model on the Hub"]),
        ({"model": "https://huggingface.co/a/b/tree/v1"}, "model", ["Write a/b, and revision: v1."]),
        ({"model": "a\nb"}, "model", ["line break"]),
        ({"model": ""}, "model", ["empty"]),
        ({"served_model_name": "a\0"}, "served_model_name", ["NUL"]),
        ({"served_model_name": "\ud800"}, "served_model_name", ["surrogate"]),
        ({"served_model_name": "hf_abcdefghijkl"}, "served_model_name", ["token", "hf_token"]),
        ({"revision": " "}, "revision", ["empty"]),
        ({"extra_args": ("--port=1",)}, "extra_args", ["set port"]),
    ],
)
def test_what_vllm_refuses_is_refused_by_key_value_and_cure(values: dict[str, Any], key: str, texts: list[str]) -> None:
    found = problems(**values)
    assert list(found) == [key]
    assert all(text in found[key] for text in texts), found


@pytest.mark.parametrize(
    ("values", "version"),
    [
        ({"quantization": "bitsandbytes"}, "0.27.1"),
        ({"quantization": "bitsandbytes"}, None),
        ({"quantization": "gguf"}, "0.23"),
        ({"quantization": "marlin"}, "0.8.5"),
        ({"quantization": "fp_quant", "extra_args": ("--allow-deprecated-quantization",)}, "0.32.0"),
        ({"quantization": "fp_quant"}, "0.20.2"),
        ({"max_model_len": "auto"}, "0.32.0"),
        ({"max_model_len": -1}, "0.14"),
        ({"model": "gpt2"}, "0.32.0"),
        ({"model": "/models/mine"}, "0.32.0"),
    ],
)
def test_what_the_release_takes_is_taken(values: dict[str, Any], version: str | None) -> None:
    assert problems(version, **values) == {}


def test_an_old_release_cannot_find_the_length_itself() -> None:
    assert "auto came with 0.14" in problems("0.11", max_model_len="auto")["max_model_len"]


def test_a_bad_version_is_the_only_problem_then() -> None:
    assert list(problems("latest", port=0)) == ["vllm_version"]


def test_all_problems_are_raised_together() -> None:
    with pytest.raises(InvalidArguments) as caught:
        startup_command(ServeSettings(model=MODEL, dtype="bf16", port=0))
    assert [problem.key for problem in caught.value.problems] == ["dtype", "port"]
    assert "bfloat16" in str(caught.value)
    with pytest.raises(InvalidArgument) as one:
        startup_command(ServeSettings(model=MODEL, port=0))
    assert one.value.key == "port"


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        (4096, 4096),
        ("8192", 8192),
        ("32k", 32000),
        ("32K", 32768),
        ("1.5k", 1500),
        ("auto", None),
        (-1, None),
        (None, None),
    ],
)
def test_tokens_of_a_length(value: int | str | None, tokens: int | None) -> None:
    assert max_model_len_tokens(value) == tokens


NASTY = st.text(min_size=1, max_size=40) | st.sampled_from(
    [
        "$(reboot)",
        "`id`",
        "a'b",
        'a"b',
        "a;b",
        "-x",
        "--port=1",
        "a\\",
        "$HOME",
        "~",
        "a b",
        "#x",
        "!!",
        "*",
        "=",
        "{a,b}",
    ]
)


@settings(max_examples=120, deadline=None)
@given(name=NASTY, revision=NASTY, template=NASTY)
def test_nothing_in_a_value_gets_out_of_its_word(name: str, revision: str, template: str) -> None:
    nasty = ServeSettings(
        model=MODEL, served_model_name=name, revision=revision, extra_args=(f"--chat-template={template}",)
    )
    if argument_problems(nasty):
        with pytest.raises(InvalidArgument):
            startup_command(nasty)
        return
    command = startup_command(nasty)
    assert "\n" not in command and "\0" not in command
    assert shlex.split(command) == ["exec", *serve_argv(nasty)]
    read = reference_parser.parse(serve_argv(nasty)[2:])
    assert read["model_tag"] == MODEL
    assert read["served_model_name"] == [None if name == "None" else name]
    assert read["revision"] == (None if revision == "None" else revision)
    assert read["chat_template"] == (None if template == "None" else template)


@settings(max_examples=60, deadline=None)
@given(
    tensor_parallel_size=st.integers(1, 16),
    max_model_len=st.none() | st.integers(1, 10**6) | st.sampled_from(["32k", "32K", "auto"]),
    gpu_memory_utilization=st.none() | st.floats(0, 1, exclude_min=True),
    port=st.integers(1, 65535),
    trust_remote_code=st.booleans(),
)
def test_numbers_are_read_back_as_they_were_set(**values: Any) -> None:
    read = reference_parser.parse(serve_argv(ServeSettings(model=MODEL, **values))[2:])
    length = max_model_len_tokens(values["max_model_len"])
    assert read["max_model_len"] == (-1 if values["max_model_len"] == "auto" else length)
    assert read["tensor_parallel_size"] in (values["tensor_parallel_size"], None)
    assert read["gpu_memory_utilization"] == values["gpu_memory_utilization"]
    assert (read["port"], bool(read["trust_remote_code"])) == (values["port"], values["trust_remote_code"])
