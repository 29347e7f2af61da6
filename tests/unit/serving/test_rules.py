"""The invariant: every rule of vLLM is there, is kept by what starts, and says cause and cure for what doesn't."""

from typing import Any

import pytest

from serving import HubFacts, ModelRequest
from serving.gpus import find_gpu
from serving.hub_facts import Access, contents_of
from serving.model_config import padded_vocab
from serving.rules import Rule, rules_of
from serving.rules_architecture import runs_by_transformers
from serving.rules_hardware import least_capability

from .hub_double import AWQ, GPTQ, LLAMA, SHA
from .model_configs import CONFIGS

WEIGHTS = ["config.json", "model.safetensors", "tokenizer_config.json"]
GIB = 1024**3
BLOCKED = {"quant_method": "fp8", "weight_block_size": [128, 128]}
PACKED = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 128}}},
}


def facts(config: dict[str, Any], names: list[str] | None = None) -> HubFacts:
    access = Access(repo_id="org/it", sha=SHA, gated=False, private=False, disabled=False)
    return HubFacts(access=access, contents=contents_of(names or WEIGHTS, config, {"chat_template": "x"}))


def broken(model: HubFacts, *, largest_bin: int = 0, **asked: Any) -> dict[str, Rule]:
    if isinstance(gpu := asked.get("gpu"), str):
        asked["gpu"] = find_gpu(gpu)
    return {
        rule.rule: rule for rule in rules_of(ModelRequest("m", "org/it", **asked), model, largest_bin) if not rule.ok
    }


@pytest.mark.parametrize("repo", sorted(CONFIGS))
def test_a_real_model_on_a_large_card_breaks_none(repo: str) -> None:
    assert broken(facts(CONFIGS[repo]), gpu="H200", trust_remote_code=True) == {}


def with_quantization(kind: dict[str, Any]) -> dict[str, Any]:
    return LLAMA | {"quantization_config": kind}


QWEN_MOE = CONFIGS["Qwen/Qwen3-30B-A3B"]
QWEN_72B = CONFIGS["Qwen/Qwen2.5-72B-Instruct"]
VISION = CONFIGS["google/gemma-3-12b-it"]

BROKEN: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("tensor-parallel-heads", LLAMA, {"tensor_parallel_size": 3, "gpus": 3}, "32 attention heads"),
    ("tensor-parallel-vocabulary", LLAMA, {"tensor_parallel_size": 7, "gpus": 7}, "padded to 32000"),
    ("tensor-parallel-kv-heads", LLAMA | {"num_key_value_heads": 6}, {"tensor_parallel_size": 4, "gpus": 4}, "6 KV"),
    ("tensor-parallel-intermediate", LLAMA, {"tensor_parallel_size": 3, "gpus": 3}, "size is 11008"),
    ("tensor-parallel-intermediate", QWEN_MOE, {"tensor_parallel_size": 5, "gpus": 5}, "size is 768"),
    ("tensor-parallel-groups", with_quantization(AWQ), {"tensor_parallel_size": 4, "gpus": 4}, "AWQ groups of 128"),
    (
        "tensor-parallel-groups",
        QWEN_72B | {"quantization_config": GPTQ},
        {"tensor_parallel_size": 8, "gpus": 8, "vllm_version": "0.8.5"},
        "GPTQ groups of 128",
    ),
    (
        "tensor-parallel-groups",
        QWEN_MOE | {"quantization_config": BLOCKED},
        {"tensor_parallel_size": 4, "gpus": 4, "vllm_version": "0.28"},
        "FP8 blocks of 128 would be cut (intermediate size 768)",
    ),
    (
        "tensor-parallel-groups",
        LLAMA | {"quantization_config": BLOCKED, "head_dim": 64},
        {"tensor_parallel_size": 32, "gpus": 32},
        "intermediate size 11008",
    ),
    (
        "tensor-parallel-groups",
        LLAMA | {"quantization_config": BLOCKED, "intermediate_size": 8192, "num_key_value_heads": 4, "head_dim": 64},
        {"tensor_parallel_size": 4, "gpus": 4},
        "heads of 64",
    ),
    ("tensor-parallel-vision", VISION, {"tensor_parallel_size": 3, "gpus": 3}, "vision tower has 16 heads"),
    ("gpus", LLAMA, {"tensor_parallel_size": 2}, "2 GPUs"),
    ("gpus", LLAMA, {"extra_args": ("--pipeline-parallel-size=2",), "tensor_parallel_size": 2, "gpus": 2}, "4 GPUs"),
    ("gpus", LLAMA, {"tensor_parallel_size": 0}, "is 0"),
    ("pipeline-parallel", LLAMA, {"extra_args": ("--pipeline-parallel-size=64",), "gpus": 64}, "32 layers"),
    ("max-model-len", LLAMA, {"max_model_len": 8192}, "4096 tokens"),
    ("max-num-batched-tokens", LLAMA, {"max_num_batched_tokens": 128, "max_num_seqs": 256}, "(128) is less"),
    ("max-num-batched-tokens", LLAMA, {"max_num_seqs": 4096, "gpu": "A100"}, "(2048) is less"),
    ("max-num-batched-tokens", LLAMA, {"max_num_seqs": 0}, "max_num_seqs is 0"),
    (
        "max-num-batched-tokens",
        LLAMA,
        {"max_num_batched_tokens": 2048, "extra_args": ("--no-enable-chunked-prefill",)},
        "must hold max_model_len (4096)",
    ),
    ("gpu-memory-utilization", LLAMA, {"gpu_memory_utilization": 1.5}, "is 1.5"),
    ("quantization", LLAMA, {"quantization": "awq"}, "aren't quantized"),
    ("quantization", with_quantization(AWQ), {"quantization": "gptq"}, "are awq"),
    ("quantization-method", LLAMA, {"quantization": "bitsandbytes"}, "0.27 was the last"),
    ("quantization-method", LLAMA, {"quantization": "int3"}, "no quantization"),
    ("quantization-method", with_quantization({"quant_method": "bitsandbytes"}), {}, "bitsandbytes"),
    ("quantization-method", with_quantization({"quant_method": "eetq"}), {}, "eetq"),
    ("quantization-capability", with_quantization(AWQ), {"gpu": "V100"}, "needs compute capability 7.5"),
    ("quantization-capability", LLAMA, {"quantization": "fp8", "gpu": "V100"}, "7.5"),
    ("quantization-capability", LLAMA, {"quantization": "fp8", "gpu": "T4", "vllm_version": "0.11"}, "8.0"),
    ("quantization-capability", CONFIGS["openai/gpt-oss-20b"], {"gpu": "T4"}, "8.0"),
    ("quantization-capability", with_quantization(PACKED), {"gpu": "V100"}, "7.5"),
    ("quantization-capability", with_quantization(PACKED), {"gpu": "T4", "vllm_version": "0.11"}, "8.0"),
    ("quantization-dtype", CONFIGS["openai/gpt-oss-20b"], {"dtype": "float16"}, "needs bfloat16"),
    ("quantization-dtype", LLAMA, {"quantization": "fp8", "dtype": "float32"}, "float16 or bfloat16"),
    ("dtype", CONFIGS["google/gemma-2-9b-it"], {"dtype": "half"}, "numerically unstable"),
    ("dtype-capability", LLAMA, {"dtype": "bfloat16", "gpu": "T4"}, "bfloat16 needs compute capability 8.0"),
    ("kv-cache-dtype", LLAMA, {"kv_cache_dtype": "fp8", "gpu": "T4"}, "FP8 KV cache"),
    ("kv-cache-dtype", CONFIGS["deepseek-ai/DeepSeek-V2-Lite"], {"kv_cache_dtype": "fp8", "gpu": "A100"}, "FP8 KV"),
    ("gpu-kernels", LLAMA, {"gpu": "P100"}, "7.0 and later"),
    ("architecture", LLAMA | {"architectures": ["NoSuchForCausalLM"]}, {}, "doesn't know the architecture"),
    ("architecture", CONFIGS["openai/gpt-oss-20b"], {"vllm_version": "0.9.2"}, "came after 0.9"),
    ("architecture", LLAMA | {"architectures": ["MptForCausalLM"]}, {}, "0.28 was the last"),
    (
        "trust-remote-code",
        LLAMA | {"architectures": ["OwnForCausalLM"], "auto_map": {"AutoModelForCausalLM": "own.Own"}},
        {},
        "brings its own code",
    ),
    ("trust-remote-code", LLAMA | {"model_type": "own", "auto_map": {"AutoConfig": "own.Config"}}, {}, "own code"),
    ("extra-args", LLAMA, {"extra_args": ("--no-such-flag",)}, "no flag"),
]


@pytest.mark.parametrize(("rule", "config", "asked", "text"), BROKEN)
def test_each_rule_is_an_error_with_a_cure(rule: str, config: dict[str, Any], asked: dict[str, Any], text: str) -> None:
    found = broken(facts(config), **asked)
    assert rule in found, list(found)
    assert found[rule].broken
    assert text in found[rule].message
    assert found[rule].cure


KEPT: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("tensor-parallel-groups", QWEN_72B | {"quantization_config": GPTQ}, {"tensor_parallel_size": 8, "gpus": 8}),
    ("tensor-parallel-groups", QWEN_MOE | {"quantization_config": BLOCKED}, {"tensor_parallel_size": 4, "gpus": 4}),
    (
        "tensor-parallel-groups",
        QWEN_MOE | {"quantization_config": BLOCKED},
        {"tensor_parallel_size": 2, "gpus": 2, "vllm_version": "0.11"},
    ),
    (
        "tensor-parallel-groups",
        CONFIGS["deepseek-ai/DeepSeek-V3"],
        {"tensor_parallel_size": 8, "gpus": 8, "vllm_version": "0.11"},
    ),
    (
        "tensor-parallel-intermediate",
        QWEN_MOE,
        {"tensor_parallel_size": 5, "gpus": 5, "extra_args": ("--enable-expert-parallel",)},
    ),
    ("quantization-capability", with_quantization(GPTQ), {"gpu": "V100"}),
    ("quantization-capability", with_quantization(AWQ), {"gpu": "T4"}),
    ("quantization-capability", LLAMA, {"quantization": "fp8", "gpu": "T4"}),
    ("quantization-capability", with_quantization(AWQ), {"gpu": "MI300X"}),
    ("quantization-capability", with_quantization({"quant_method": "modelopt", "quant_algo": "NVFP4"}), {"gpu": "T4"}),
    ("quantization-method", LLAMA, {"quantization": "bitsandbytes", "vllm_version": "0.11"}),
    ("kv-cache-dtype", LLAMA, {"kv_cache_dtype": "fp8", "gpu": "A100"}),
    ("dtype-capability", LLAMA | {"torch_dtype": "bfloat16"}, {"gpu": "T4"}),
    ("architecture", LLAMA | {"architectures": ["MptForCausalLM"]}, {"vllm_version": "0.11"}),
    ("architecture", LLAMA | {"architectures": ["NoSuchForCausalLM", "LlamaForCausalLM"]}, {}),
    ("trust-remote-code", LLAMA | {"auto_map": {"AutoModelForCausalLM": "own.Own"}}, {}),
    ("max-model-len", LLAMA, {"max_model_len": "auto"}),
]


@pytest.mark.parametrize(("rule", "config", "asked"), KEPT)
def test_what_vllm_takes_is_kept(rule: str, config: dict[str, Any], asked: dict[str, Any]) -> None:
    assert rule not in broken(facts(config), **asked)


WARNED: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("shmem", LLAMA, {"tensor_parallel_size": 2, "gpus": 2, "shmem": 64 * 1024**2}, "set shmem to 4g"),
    ("host-memory", LLAMA, {"host_memory": 2 * GIB}, "Memory is short"),
    ("gpu-kernels", LLAMA, {"gpu": "V100"}, "built for CUDA 12"),
    ("gpus", LLAMA, {"gpus": 2}, "1 would stand idle"),
    ("vllm-version", LLAMA, {"vllm_version": "99.0"}, "judged as 0.32"),
    ("architecture", LLAMA | {"architectures": ["HeliumForCausalLM"]}, {}, "Transformers backend"),
    (
        "architecture",
        LLAMA | {"architectures": ["OwnForCausalLM"], "auto_map": {"AutoModelForCausalLM": "own.Own"}},
        {"trust_remote_code": True},
        "runs the repo's code",
    ),
    (
        "tensor-parallel-family",
        CONFIGS["WizardLM/WizardCoder-15B-V1.0"],
        {"tensor_parallel_size": 2, "gpus": 2},
        "can't divide",
    ),
]


@pytest.mark.parametrize(("rule", "config", "asked", "text"), WARNED)
def test_what_starts_with_a_drawback_is_a_warning(
    rule: str, config: dict[str, Any], asked: dict[str, Any], text: str
) -> None:
    found = broken(facts(config), **asked)
    assert not found[rule].broken
    assert text in found[rule].message


def test_a_bin_file_larger_than_the_memory_is_an_error() -> None:
    found = broken(facts(LLAMA), host_memory=16 * GIB, largest_bin=29 * GIB)
    assert found["host-memory"].broken
    assert "34 GiB" in found["host-memory"].cure
    assert not broken(facts(LLAMA), host_memory=16 * GIB, largest_bin=12 * GIB)["host-memory"].broken


def test_of_a_repo_without_a_model_only_that_is_said() -> None:
    found = rules_of(ModelRequest("m", "org/it", tensor_parallel_size=3), facts({}, ["adapter_config.json"]))
    assert [(rule.rule, rule.ok) for rule in found] == [("repo", False)]


def test_kept_rules_are_said_too() -> None:
    found = rules_of(ModelRequest("m", "org/it"), facts(LLAMA))
    assert all(rule.ok and rule.message for rule in found)
    assert len({rule.rule for rule in found}) == len(found)


def test_an_overridden_config_is_not_judged_by_the_one_on_the_hub() -> None:
    assert "max-model-len" not in broken(facts(LLAMA), max_model_len=9999, extra_args=("--hf-overrides={}",))


def test_families_that_vllm_runs_by_transformers_since_a_release() -> None:
    big_code = facts(CONFIGS["WizardLM/WizardCoder-15B-V1.0"])
    assert runs_by_transformers(ModelRequest("m", "org/it"), big_code)
    assert not runs_by_transformers(ModelRequest("m", "org/it", vllm_version="0.11"), big_code)
    assert not runs_by_transformers(ModelRequest("m", "org/it"), facts(LLAMA))


@pytest.mark.parametrize(
    ("method", "release", "least"),
    [
        ("awq_marlin", (0, 32), 75),
        ("fp8", (0, 11), 80),
        ("fp8", (0, 32), 75),
        ("fp8_per_tensor", (0, 32), 75),
        ("gptq_marlin", (0, 8), 60),
        ("modelopt", (0, 11), 89),
        ("unheard-of", (0, 32), 0),
    ],
)
def test_the_least_capability_by_release(method: str, release: tuple[int, int], least: int) -> None:
    assert least_capability(method, release) == least


def test_the_vocabulary_is_padded_before_it_is_divided() -> None:
    assert padded_vocab(50257) == 50304
