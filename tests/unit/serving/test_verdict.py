"""The invariant: the verdict is what vLLM did, says MAYBE only at the edge, and never raises for a model."""

import time
from dataclasses import replace
from typing import Any

import pytest

from serving import HubFacts
from serving.estimates import GIB
from serving.fit import EDGE, Outcome
from serving.gpus import Gpu, find_gpu, gpu_of_numbers
from serving.hub_facts import Access, contents_of
from serving.model_request import ModelRequest
from serving.verdict import Verdict, judge

from .hub_double import LLAMA, SHA
from .measured_starts import CARD_GIB, STARTS, Start
from .model_configs import CONFIGS

H200 = Gpu("NVIDIA H200", CARD_GIB, (9, 0))
LLAMA_8B = CONFIGS["meta-llama/Llama-3.1-8B-Instruct"]


def facts(config: dict[str, Any], names: list[str] | None = None) -> HubFacts:
    found = names or ["config.json", "model.safetensors", "tokenizer_config.json"]
    access = Access(repo_id="org/it", sha=SHA, gated=False, private=False, disabled=False)
    return HubFacts(access=access, contents=contents_of(found, config, {"chat_template": "x"}))


def verdict(config: dict[str, Any], **asked: Any) -> Verdict:
    if isinstance(gpu := asked.get("gpu"), str):
        asked["gpu"] = find_gpu(gpu)
    return judge(ModelRequest("m", "org/it", **asked), facts(config))


def request_of(start: Start) -> ModelRequest:
    return ModelRequest(
        "m",
        start.model,
        quantization=start.quantization,
        max_model_len=start.length,
        gpu=H200,
        kv_cache_dtype=start.kv_cache_dtype,
        gpu_memory_utilization=start.budget / CARD_GIB,
        max_num_seqs=start.seqs,
        max_num_batched_tokens=start.tokens,
        enforce_eager=start.eager,
    )


JUDGED = [start for start in STARTS if start.outcome in ("started", "failed")]


@pytest.mark.parametrize("start", JUDGED, ids=lambda start: f"{start.model.rpartition('/')[2]}-{start.length}")
def test_the_verdict_is_what_vllm_did(start: Start) -> None:
    found = judge(request_of(start), facts(CONFIGS[start.model]))
    right = Outcome.START if start.outcome == "started" else Outcome.WONT_START
    if found.outcome is Outcome.MAYBE:
        assert near_the_edge(found, start.length)
    else:
        assert found.outcome is right


def near_the_edge(found: Verdict, length: int) -> bool:
    """Whether so many tokens need what is likely left, give or take 2 % of the budget."""
    assert found.memory and found.kv_cache and found.kv_cache_tokens and found.largest_max_model_len
    bytes_a_token = found.kv_cache.likely / found.kv_cache_tokens
    return abs(found.largest_max_model_len - length) * bytes_a_token <= EDGE * found.memory.budget


def test_the_starts_are_all_there() -> None:
    assert [sum(start.outcome == said for start in JUDGED) for said in ("started", "failed")] >= [25, 10]


@pytest.mark.parametrize("repo", ["meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-8B", "google/gemma-2-9b-it"])
def test_maybe_is_said_at_the_edge_and_nowhere_else(repo: str) -> None:
    config = CONFIGS[repo] | {"max_position_embeddings": 1_000_000}
    card = gpu_of_numbers(40, (8, 6))
    largest = verdict(config, gpu=card, max_model_len="auto").largest_max_model_len
    assert largest
    assert verdict(config, gpu=card, max_model_len=largest).outcome in (Outcome.START, Outcome.MAYBE)
    assert verdict(config, gpu=card, max_model_len=largest // 2).outcome is Outcome.START
    assert verdict(config, gpu=card, max_model_len=largest * 2).outcome is Outcome.WONT_START


def test_numbers_of_a_start() -> None:
    found = verdict(LLAMA_8B, gpu="A100-80GB", max_model_len=8192)
    assert (found.outcome, found.max_model_len, found.largest_max_model_len) == (Outcome.START, 8192, 131072)
    assert found.revision == SHA and not found.unchecked and not found.cures
    assert found.kv_cache is not None and found.kv_cache_tokens is not None and found.max_concurrency is not None
    assert found.kv_cache_tokens == pytest.approx(found.kv_cache.likely / (2 * 32 * 8 * 128 * 2), rel=0.001)
    assert found.max_concurrency == pytest.approx(found.kv_cache_tokens / 8192, rel=0.001)


def test_without_a_gpu_it_may_start() -> None:
    found = verdict(LLAMA)
    assert (found.outcome, found.unchecked, found.memory) == (Outcome.MAYBE, ("memory: no GPU is known",), None)
    assert verdict(LLAMA, max_model_len=9999).outcome is Outcome.WONT_START


def test_a_release_before_all_that_are_known_may_start() -> None:
    found = verdict(LLAMA, gpu="A100-80GB", vllm_version="0.1")
    assert found.outcome is not Outcome.START
    assert any("older than 0.8" in text for text in found.unchecked)


def test_a_broken_rule_is_final_whatever_the_memory() -> None:
    found = verdict(LLAMA, gpu="H200", quantization="awq")
    assert found.outcome is Outcome.WONT_START
    assert [rule.rule for rule in found.broken] == ["quantization"]
    assert found.cures == ("Leave quantization out.",)
    assert found.memory is not None


def test_a_warning_stops_nothing() -> None:
    found = verdict(LLAMA, gpu="H200", gpus=2)
    assert found.outcome is Outcome.START
    assert [rule.rule for rule in found.warnings] == ["gpus"]


def test_what_is_not_understood_is_maybe() -> None:
    unknown = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    found = verdict(unknown, gpu="H200")
    assert found.outcome is Outcome.MAYBE
    assert found.unchecked


ODD: list[Any] = [None, 0, -1, "many", [], {}, 1.5, True]


@pytest.mark.parametrize("key", [key for key in LLAMA if key not in ("architectures",)])
def test_no_config_makes_it_raise(key: str) -> None:
    for value in ODD:
        for base in (LLAMA_8B, CONFIGS["openai-community/gpt2"], CONFIGS["deepseek-ai/DeepSeek-V2-Lite"]):
            for size in (1, 2):
                verdict(base | {key: value}, gpu="A100-80GB", gpus=size, tensor_parallel_size=size)
    assert verdict({k: v for k, v in LLAMA.items() if k != key}, gpu="A100-80GB").outcome in Outcome


@pytest.mark.parametrize("repo", sorted(CONFIGS))
def test_every_real_model_is_judged(repo: str) -> None:
    found = verdict(CONFIGS[repo], gpu="B200", trust_remote_code=True)
    assert found.memory is not None, found.unchecked
    assert found.unchecked == ()


def test_a_share_of_a_card_has_that_share_of_the_budget() -> None:
    whole, half = (verdict(LLAMA_8B, gpu=find_gpu("A100-80GB").shared(share), gpus=share) for share in (1.0, 0.5))
    assert whole.memory and half.memory
    assert half.memory.budget == pytest.approx(whole.memory.budget / 2, abs=2)


def test_an_automatic_length_is_what_fits() -> None:
    found = verdict(LLAMA_8B, gpu="L4", max_model_len="auto")
    assert found.outcome is Outcome.START
    assert found.max_model_len == found.largest_max_model_len
    assert found.max_model_len and found.max_model_len < 131072


def test_bytes_for_the_cache_are_taken_as_they_are_said() -> None:
    words = (f"--kv-cache-memory-bytes={2 * GIB}",)
    found = verdict(LLAMA_8B, gpu="A100-80GB", max_model_len=8192, extra_args=words)
    assert found.kv_cache is not None and found.kv_cache.likely == pytest.approx(2 * GIB)
    assert found.outcome is Outcome.START
    assert verdict(LLAMA_8B, gpu="A100-80GB", max_model_len=32768, extra_args=words).outcome is Outcome.WONT_START
    too_much = (f"--kv-cache-memory-bytes={200 * GIB}",)
    beyond = verdict(LLAMA_8B, gpu="A100-80GB", max_model_len=8192, extra_args=too_much)
    assert (beyond.outcome, [rule.rule for rule in beyond.broken]) == (Outcome.WONT_START, ["free-memory"])


@pytest.mark.parametrize(
    ("share", "outcome", "broken"),
    [(0.95, Outcome.START, None), (0.98, Outcome.START, "warning"), (1.0, Outcome.WONT_START, "error")],
)
def test_the_budget_leaves_room_for_cuda(share: float, outcome: Outcome, broken: str | None) -> None:
    found = verdict(LLAMA_8B, gpu="L4", max_model_len=4096, gpu_memory_utilization=share)
    assert found.outcome is outcome
    said = [rule.level for rule in found.rules if rule.rule == "free-memory" and not rule.ok]
    assert said == ([broken] if broken else [])


def test_the_memory_rule_tells_what_is_missing() -> None:
    short = verdict(LLAMA, gpu=gpu_of_numbers(16, (8, 6)), max_model_len=4096)
    (rule,) = short.broken
    assert rule.rule == "memory"
    assert "4096 tokens needs 2.02 GiB of KV cache" in rule.message or "2.00 GiB" in rule.message
    assert rule.cure == short.cures[0]
    none = verdict(LLAMA, gpu=gpu_of_numbers(12, (8, 6)))
    assert [rule.rule for rule in none.broken] == ["loading", "memory"]
    assert "the weights take 12.55" in none.broken[1].message


def test_the_smaller_part_of_a_divided_model_fits() -> None:
    big = CONFIGS["meta-llama/Llama-2-70b-chat-hf"]
    assert verdict(big, gpu="A100-80GB").outcome is Outcome.WONT_START
    assert verdict(big, gpu="A100-80GB", gpus=2, tensor_parallel_size=2).outcome is Outcome.START


def test_a_changed_config_says_that_it_was_not_judged() -> None:
    found = verdict(LLAMA, gpu="H200", extra_args=('--hf-overrides={"max_position_embeddings": 9999}',))
    assert found.unchecked == ("length and parallelism: extra_args change the config",)


def test_what_flags_add_to_memory_is_said_not_to_be_checked() -> None:
    found = verdict(LLAMA, gpu="H200", extra_args=("--enable-lora", '--speculative-config={"model": "a/b"}'))
    assert found.unchecked == ("memory of a draft model", "memory of LoRA adapters")


def test_weights_in_the_hosts_memory_take_none_of_the_gpu() -> None:
    whole, part = (verdict(LLAMA, gpu="A10", extra_args=words) for words in ((), ("--cpu-offload-gb=4",)))
    assert whole.memory and part.memory
    assert whole.memory.weights.likely - part.memory.weights.likely == pytest.approx(4 * GIB)


def test_a_forced_length_counts_as_the_models_own() -> None:
    env = {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}
    found = verdict(LLAMA, gpu="H200", max_model_len=8192, env=env)
    assert (found.outcome, found.largest_max_model_len) == (Outcome.START, 8192)


def test_an_address_is_the_repo_it_names() -> None:
    request = ModelRequest("m", "https://huggingface.co/org/it/tree/main", gpu=find_gpu("H200"))
    assert judge(request, facts(LLAMA)).model == "org/it"


def test_a_verdict_takes_less_than_5_ms() -> None:
    request, model = ModelRequest("m", "org/it", gpu=find_gpu("A100-80GB")), facts(LLAMA_8B)
    took = []
    for _ in range(30):
        started = time.process_time()
        judge(request, model)
        took.append(time.process_time() - started)
    assert min(took) < 0.005


def test_the_verdict_is_pure() -> None:
    request, model = ModelRequest("m", "org/it", gpu=find_gpu("T4")), facts(LLAMA)
    assert judge(request, model) == judge(replace(request), model)
