"""The invariant: each cure alone makes it start (it is judged again here), the cheapest first, and none is invented."""

import re
from dataclasses import replace
from typing import Any

import pytest

from serving.fit import Outcome
from serving.gpus import find_gpu, gpu_of_numbers
from serving.model_request import ModelRequest
from serving.proven import PROVEN
from serving.verdict import Verdict, judge

from .model_configs import CONFIGS
from .test_verdict import facts

_SETTINGS = {
    "max_model_len": int,
    "gpu_memory_utilization": float,
    "kv_cache_dtype": str,
    "max_num_seqs": int,
    "max_num_batched_tokens": int,
    "tensor_parallel_size": int,
    "quantization": str,
}


def asked(repo: str, gpu: Any, **more: Any) -> ModelRequest:
    return ModelRequest("m", repo, gpu=find_gpu(gpu) if isinstance(gpu, str) else gpu, **more)


def verdict(request: ModelRequest) -> Verdict:
    return judge(request, facts(CONFIGS[request.model]).model_copy(update={"access": _access(request.model)}))


def _access(repo: str) -> Any:
    return facts(CONFIGS[repo]).access.model_copy(update={"repo_id": repo})


def followed(request: ModelRequest, cure: str) -> ModelRequest:
    """The request as somebody would write it who follows the sentence."""
    changes: dict[str, Any] = {}
    for part in cure.rstrip(".").split("; "):
        text = part[0].lower() + part[1:]
        if found := re.match(r"set (\w+) to (\S+)", text):
            changes[found[1]] = _SETTINGS[found[1]](found[2])
        elif found := re.match(r"use (\d+) GPUs with tensor_parallel_size (\d+)", text):
            changes |= {"gpus": int(found[1]), "tensor_parallel_size": int(found[2])}
        elif found := re.match(r"use the model (\S+), with tensor_parallel_size (\d+)", text):
            changes |= {"model": found[1], "tensor_parallel_size": int(found[2]), "quantization": None}
        elif found := re.match(r"give it (\d+) GPUs", text):
            changes["gpus"] = int(found[1])
        elif text.startswith("set enforce_eager"):
            changes["enforce_eager"] = True
        elif found := re.match(r"leave (\w+)", text):
            changes[found[1]] = "auto" if found[1] == "dtype" else None
        elif found := re.match(r"use the whole (.+)", text):
            changes |= {"gpu": find_gpu(found[1]), "gpus": 1}
        elif found := re.match(r"use a share of (\S+) of the (.+)", text):
            share = float(found[1])
            changes |= {"gpu": find_gpu(found[2]).shared(share), "gpus": share}
        elif found := re.match(r"use (.+)", text):
            changes["gpu"] = find_gpu(found[1])
        else:
            raise AssertionError(part)
    words = request.extra_args
    if "max_num_seqs" in changes:  # in place of the flag
        words = tuple(word for word in words if word not in ("--max-num-seqs", "512") and "--max-num-seqs=" not in word)
    return replace(request, **changes, extra_args=words)


L7, L70, L8 = "meta-llama/Llama-2-7b-chat-hf", "meta-llama/Llama-2-70b-chat-hf", "meta-llama/Llama-3.1-8B-Instruct"
ILL: list[ModelRequest] = [
    asked("openai-community/gpt2", "T4", max_model_len=4096),
    asked(L7, "T4", max_model_len=4096),
    asked(L7, gpu_of_numbers(16, (8, 6)), max_model_len=4096),
    asked(L7, "RTX 3080"),
    asked(L8, "A10"),
    asked(L8, "A10", kv_cache_dtype="fp8"),
    asked(L8, "L4", max_model_len=131072, extra_args=("--max-num-seqs=512",)),
    asked(L8, "L4", max_model_len=131072, extra_args=("--max-num-seqs", "512", "--seed=1")),
    asked(L8, find_gpu("A100-40GB").shared(0.5), gpus=0.5, max_model_len=16384),
    asked(L70, "A100-80GB"),
    asked(L70, "A10", quantization="awq", gpus=4, tensor_parallel_size=4),
    asked(L70, "A100-80GB", gpus=3, tensor_parallel_size=3),
    asked(L70, "A100-80GB", tensor_parallel_size=2),
    asked(L7, "T4", dtype="bfloat16", kv_cache_dtype="fp8", max_model_len=1024),
    asked(L7, "A100-80GB", gpu_memory_utilization=1.5),
    asked(L7, "V100-32GB", quantization="fp8"),
    asked("Qwen/Qwen2.5-7B-Instruct", "T4", max_model_len=8192),
    asked("Qwen/Qwen2.5-72B-Instruct", "A100-80GB", gpus=2, tensor_parallel_size=2, max_model_len=8192),
    asked("google/gemma-2-9b-it", "A10"),
    asked("deepseek-ai/DeepSeek-V2-Lite", "A10"),
    asked("WizardLM/WizardCoder-15B-V1.0", "A10"),
    asked(L7, "A100-80GB", max_num_seqs=4096),
    asked(L7, "A100-80GB", max_num_seqs=256, max_num_batched_tokens=128),
    asked(L7, "A100-80GB", max_num_seqs=4096, max_num_batched_tokens=1024),
    asked(L7, "A10", gpu_memory_utilization=0.5),
]


@pytest.mark.parametrize("request_", ILL, ids=lambda r: f"{r.model.rpartition('/')[2]}-{r.gpu.name}")
def test_every_cure_makes_it_start(request_: ModelRequest) -> None:
    found = verdict(request_)
    assert found.outcome is not Outcome.START
    assert found.cures
    for cure in found.cures:
        changed = followed(request_, cure)
        assert verdict(changed).outcome is Outcome.START, cure


@pytest.mark.parametrize(
    ("request_", "cures"),
    [
        (asked("openai-community/gpt2", "T4", max_model_len=4096), ("Set max_model_len to 1024.",)),
        (asked(L7, "A100-80GB", gpu_memory_utilization=1.5), ("Leave gpu_memory_utilization at vLLM's default.",)),
        (asked(L70, "A100-80GB", gpus=3, tensor_parallel_size=3), ("Set tensor_parallel_size to 2.",)),
        (asked(L7, "A100-80GB", quantization="awq"), ("Leave quantization out.",)),
    ],
)
def test_a_setting_is_put_right_without_more_ado(request_: ModelRequest, cures: tuple[str, ...]) -> None:
    assert verdict(request_).cures == cures


def test_a_shorter_length_comes_first_and_is_round() -> None:
    found = verdict(asked(L8, "A10"))
    length = int(re.findall(r"Set max_model_len to (\d+)\.", found.cures[0])[0])
    assert length % 128 == 0
    assert found.largest_max_model_len is not None and length <= found.largest_max_model_len < 131072


def test_what_was_set_too_low_is_left_out_first() -> None:
    found = verdict(asked(L7, "A10", gpu_memory_utilization=0.6, max_model_len=2048))
    assert found.cures[0] == "Leave gpu_memory_utilization at vLLM's default."


def test_of_a_card_the_smallest_share_is_named() -> None:
    half = asked(L8, find_gpu("A100-80GB").shared(0.1), gpus=0.1, max_model_len=2048)
    (share,) = [cure for cure in verdict(half).cures if "share" in cure]
    named = float(re.findall(r"share of ([\d.]+) of", share)[0])
    less = replace(half, gpu=find_gpu("A100-80GB").shared(named - 0.05), gpus=named - 0.05)
    assert verdict(less).outcome is not Outcome.START


def test_a_quantized_repo_is_named_only_where_it_is_proved() -> None:
    named = "Use the model Qwen/Qwen2.5-7B-Instruct-AWQ, with tensor_parallel_size 1."
    assert named in verdict(asked("Qwen/Qwen2.5-7B-Instruct", "T4", max_model_len=8192)).cures
    assert named not in verdict(asked("Qwen/Qwen2.5-7B-Instruct", "V100-16GB", max_model_len=8192)).cures
    assert all(row.base != L7 for row in PROVEN)


def test_what_only_another_repo_cures_has_no_other_cure() -> None:
    found = judge(asked("a/b", "V100-32GB"), facts(CONFIGS["TheBloke/Llama-2-7B-Chat-AWQ"]))
    assert found.outcome is Outcome.WONT_START
    assert found.cures == ()
    assert found.broken[0].cure


def test_a_rule_that_no_setting_mends_has_no_other_cure() -> None:
    found = verdict(asked(L7, "T4", extra_args=("--no-such-flag",)))
    assert found.cures == ()
    assert [rule.rule for rule in found.broken if not rule.cure] == ["memory"]


def test_what_starts_needs_no_cure() -> None:
    assert verdict(asked(L7, "A100-80GB")).cures == ()
