"""The invariant: preflight finds what vLLM would end with, and says nothing against what would start."""

from typing import Any

import pytest

from serving import HubFacts, ModelRequest, NotServable, ParallelSizeMismatch, ServingError
from serving.hub_facts import Access, contents_of
from serving.model_checks import findings

from .hub_double import AWQ, GPTQ, LLAMA, SHA

GPT2 = {
    "architectures": ["GPT2LMHeadModel"],
    "model_type": "gpt2",
    "n_embd": 1024,
    "n_head": 16,
    "n_positions": 1024,
    "vocab_size": 50257,
}
QWEN_AWQ = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 8192,
    "intermediate_size": 29696,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "vocab_size": 152064,
    "max_position_embeddings": 32768,
    "quantization_config": AWQ,
}
BIG_CODE = GPT2 | {
    "architectures": ["GPTBigCodeForCausalLM"],
    "model_type": "gpt_bigcode",
    "multi_query": True,
}
WEIGHTS = ["config.json", "model.safetensors", "tokenizer_config.json"]


def facts(config: dict[str, Any], names: list[str] | None = None, *, template: bool = True) -> HubFacts:
    tokenizer = {"chat_template": "x"} if template else {}
    access = Access(repo_id="org/it", sha=SHA, gated=False, private=False, disabled=False)
    return HubFacts(access=access, contents=contents_of(WEIGHTS if names is None else names, config, tokenizer))


def found(model: HubFacts, **asked: Any) -> tuple[list[ServingError], list[str]]:
    all_found = findings(ModelRequest("m", "org/it", **asked), model)
    problems = [f for f in all_found if isinstance(f, ServingError)]
    assert all(problem.cure and problem.key for problem in problems)
    return problems, [f for f in all_found if isinstance(f, str)]


FINE: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (LLAMA, {}),
    (LLAMA, {"max_model_len": 4096, "tensor_parallel_size": 4, "dtype": "bfloat16"}),
    (LLAMA, {"quantization": "fp8"}),
    (LLAMA, {"quantization": "fp8_per_tensor"}),
    (LLAMA, {"max_model_len": "auto"}),
    (LLAMA | {"quantization_config": AWQ}, {"quantization": "awq"}),
    (LLAMA | {"quantization_config": AWQ}, {"quantization": "awq_marlin"}),
    (LLAMA | {"quantization_config": AWQ}, {"quantization": "auto_awq"}),
    (LLAMA | {"quantization_config": AWQ}, {}),
    (LLAMA | {"quantization_config": GPTQ}, {"quantization": "gptq_marlin"}),
    (LLAMA | {"quantization_config": GPTQ | {"desc_act": True, "group_size": -1}}, {}),
    (LLAMA | {"quantization_config": GPTQ | {"desc_act": True}}, {"vllm_version": "0.11"}),
    (QWEN_AWQ, {"tensor_parallel_size": 8}),
    (GPT2, {"max_model_len": 1024}),
    (GPT2, {"max_model_len": "1K"}),
]


@pytest.mark.parametrize(("config", "asked"), FINE)
def test_nothing_is_said_against_what_starts(config: dict[str, Any], asked: dict[str, Any]) -> None:
    assert found(facts(config), **asked) == ([], [])


WRONG: list[tuple[dict[str, Any], dict[str, Any], str, list[str]]] = [
    (LLAMA, {"quantization": "awq"}, "quantization", ["aren't quantized", "preset", "AWQ", "fp8"]),
    (LLAMA, {"quantization": "gptq"}, "quantization", ["aren't quantized", "GPTQ"]),
    (LLAMA | {"quantization_config": AWQ}, {"quantization": "gptq"}, "quantization", ["gptq", "are awq"]),
    (LLAMA | {"quantization_config": GPTQ}, {"quantization": "awq"}, "quantization", ["are gptq"]),
    (LLAMA | {"quantization_config": AWQ}, {"quantization": "fp8"}, "quantization", ["are awq"]),
    (LLAMA | {"quantization_config": GPTQ | {"desc_act": True}}, {}, "model", ["desc_act"]),
    (LLAMA | {"quantization_config": AWQ}, {"dtype": "float32"}, "dtype", ["AWQ weights", "auto"]),
    (LLAMA | {"model_type": "gemma2"}, {"dtype": "half"}, "dtype", ["gemma2", "bfloat16"]),
    (LLAMA, {"max_model_len": 8192}, "max_model_len", ["8192", "4096 tokens", "4096 or less"]),
    (LLAMA, {"max_model_len": "32k"}, "max_model_len", ["32000"]),
    (LLAMA, {"max_model_len": "long"}, "max_model_len", ["'long'"]),
    (GPT2, {"max_model_len": 4096}, "max_model_len", ["1024 tokens (n_positions)"]),
    (
        LLAMA,
        {"tensor_parallel_size": 3},
        "tensor_parallel_size",
        ["32 attention heads", "one of 1, 2, 4, 8, 16."],
    ),
    (QWEN_AWQ, {"tensor_parallel_size": 16}, "tensor_parallel_size", ["AWQ groups of 128"]),
]


@pytest.mark.parametrize(("config", "asked", "key", "texts"), WRONG)
def test_what_would_not_start_is_a_problem(
    config: dict[str, Any], asked: dict[str, Any], key: str, texts: list[str]
) -> None:
    problems, _ = found(facts(config), **asked)
    assert problems
    assert problems[0].key == key
    assert all(text in str(problems[0]) for text in texts), str(problems[0])


@pytest.mark.parametrize(
    ("change", "size", "text"),
    [
        ({"num_attention_heads": 30}, 4, "30 attention heads"),
        (
            {
                "vocab_size": 151936,
                "num_attention_heads": 40,
                "num_key_value_heads": 40,
                "intermediate_size": 11000,
            },
            5,
            "padded to 151936",
        ),
        ({"num_attention_heads": 24, "num_key_value_heads": 6, "vocab_size": 64 * 24}, 4, "6 KV heads"),
        ({"intermediate_size": 11010}, 4, "intermediate size is 11010"),
    ],
)
def test_each_rule_of_division(change: dict[str, Any], size: int, text: str) -> None:
    problems, _ = found(facts(LLAMA | change), tensor_parallel_size=size)
    assert [type(problem) for problem in problems] == [ParallelSizeMismatch]
    assert text in str(problems[0])


def test_fewer_kv_heads_than_gpus_are_copied() -> None:
    assert found(facts(LLAMA | {"num_key_value_heads": 2}), tensor_parallel_size=8) == ([], [])


def test_experts_are_judged_by_their_own_size() -> None:
    moe = LLAMA | {"num_local_experts": 8, "intermediate_size": 11010}
    assert found(facts(moe | {"moe_intermediate_size": 1024}), tensor_parallel_size=4) == ([], [])
    problems, _ = found(facts(moe), tensor_parallel_size=4)
    assert "intermediate size is 11010" in str(problems[0])
    whole = {"extra_args": ("--enable-expert-parallel",)}
    assert found(facts(moe), tensor_parallel_size=4, **whole) == ([], [])


@pytest.mark.parametrize(
    ("config", "names", "text"),
    [
        ({}, ["adapter_config.json", "adapter_model.safetensors"], "adapter"),
        ({}, ["a.Q4.gguf"], "GGUF"),
        ({}, ["README.md"], "no config.json"),
        ({"model_type": "llama"}, WEIGHTS, "no architecture"),
        ({"architectures": ["BertForSequenceClassification"]}, WEIGHTS, "doesn't write text"),
        (LLAMA, ["config.json", "tf_model.h5"], "no weights"),
    ],
)
def test_what_cannot_be_served_at_all(config: dict[str, Any], names: list[str], text: str) -> None:
    problems, warnings = found(facts(config, names), tensor_parallel_size=3, quantization="awq")
    assert [type(problem) for problem in problems] == [NotServable]
    assert text in str(problems[0])
    assert warnings == []


@pytest.mark.parametrize(
    ("model", "asked", "text"),
    [
        (facts(LLAMA, template=False), {}, "no chat template"),
        (facts(LLAMA, ["config.json", "pytorch_model.bin"]), {}, ".bin files"),
        (facts(BIG_CODE), {"tensor_parallel_size": 2}, "can't divide this family"),
        (facts(LLAMA), {"quantization": "torchao"}, "torchao"),
        (facts(LLAMA | {"quantization_config": GPTQ}), {"quantization": "moe_wna16"}, "isn't known"),
        (facts(LLAMA), {"max_model_len": 8192, "env": {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}}, "noise"),
        (facts(LLAMA), {"max_model_len": 8192, "extra_args": ("--hf-overrides={}",)}, "not checked"),
        (facts(LLAMA, [*WEIGHTS, "quantize_config.json"]), {"quantization": "gptq"}, "set quantization to gptq_marlin"),
        (facts(LLAMA, [*WEIGHTS, "quantize_config.json"]), {}, "config.json doesn't say so"),
        (facts({}, ["params.json", "consolidated.safetensors"]), {}, "Mistral's own format"),
    ],
)
def test_what_starts_with_a_drawback_is_a_warning(model: HubFacts, asked: dict[str, Any], text: str) -> None:
    problems, warnings = found(model, **asked)
    assert problems == []
    assert len(warnings) == 1
    assert text in warnings[0]


def test_a_given_chat_template_settles_it() -> None:
    asked = {"extra_args": ("--chat-template=/t.jinja",)}
    assert found(facts(LLAMA, template=False), **asked) == ([], [])


def test_models_with_learned_positions_cannot_be_forced_beyond_them() -> None:
    problems, _ = found(facts(GPT2), max_model_len=2048, env={"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"})
    assert "would crash" in str(problems[0])


def test_several_things_wrong_are_all_said() -> None:
    problems, _ = found(facts(LLAMA), quantization="awq", max_model_len=9999, tensor_parallel_size=7)
    assert {problem.key for problem in problems} == {"quantization", "max_model_len", "tensor_parallel_size"}
