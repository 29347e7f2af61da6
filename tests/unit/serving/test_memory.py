"""The invariant: the budget's terms are those that vLLM was measured to have, for cards, batches and releases alike."""

from __future__ import annotations

import time
from typing import Any

import pytest

from serving.estimates import GIB, MemoryEstimate
from serving.gpus import Gpu, gpu_of_numbers
from serving.memory import budget, estimate

from .measured_starts import CARD_GIB, STARTS
from .measured_starts import Start as Measured
from .memory_cases import A10, A100, H100, H200, engine, facts_of, given_weights, layout
from .model_configs import CONFIGS
from .published_starts import CONFIGS as PUBLISHED_CONFIGS
from .published_starts import LLM_D, OTHERS, Other
from .published_starts import Start as Published

_EAGER, _DEFAULT = 0.01, 0.03  # of the KV cache, in which an estimate may be off
_SMALLEST = 0.05  # GiB: what that share is at least


def _measured(start: Measured) -> tuple[dict[str, Any], MemoryEstimate]:
    request: dict[str, Any] = {
        "gpu": H200,
        "gpu_memory_utilization": start.budget / CARD_GIB,
        "quantization": start.quantization,
        "max_model_len": start.length,
        "kv_cache_dtype": start.kv_cache_dtype,
        "max_num_seqs": start.seqs,
        "max_num_batched_tokens": start.tokens,
        "enforce_eager": start.eager,
        "vllm_version": "0.32.0",
    }
    config = CONFIGS[start.model]
    return request, estimate(facts_of(config), engine(config, **request), given_weights(start.weights))


@pytest.mark.parametrize("start", STARTS, ids=lambda start: f"{start.model}-{start.budget:.0f}-{start.tokens}")
def test_measured_starts(start: Measured) -> None:
    """What is left for the KV cache, within 1 % (eager) or 3 %; the truth lies in the range."""
    _, found = _measured(start)
    allowed = max(_SMALLEST, (_EAGER if start.eager else _DEFAULT) * abs(start.available))

    assert found.kv_cache.gib == pytest.approx(start.available, abs=allowed)
    assert found.non_torch.gib == pytest.approx(0.2246)


@pytest.mark.parametrize("start", [start for start in STARTS if start.blocks], ids=lambda start: start.model)
def test_measured_blocks_and_tokens(start: Measured) -> None:
    """From the memory that vLLM had: exactly its blocks and its tokens."""
    request, _ = _measured(start)
    found = layout(CONFIGS[start.model], **request)

    assert found.num_blocks(start.available * GIB) == start.blocks
    assert found.tokens(start.available * GIB, start.length) == start.kv_tokens


@pytest.mark.parametrize("start", [start for start in STARTS if start.outcome != "profiled"], ids=lambda s: s.model)
def test_measured_outcomes(start: Measured) -> None:
    """Whether it starts, told from the estimate alone."""
    request, found = _measured(start)

    assert layout(CONFIGS[start.model], **request).fits(found.kv_cache.likely, start.length) is (
        start.outcome == "started"
    )


@pytest.mark.parametrize("start", LLM_D, ids=lambda start: f"{start.model}-{start.release}-{start.ranks}")
def test_published_starts(start: Published) -> None:
    """Other models, tensor parallelism and releases; see published_starts.py for the source."""
    config = PUBLISHED_CONFIGS[start.model]
    request: dict[str, Any] = {
        "max_model_len": start.length,
        "tensor_parallel_size": start.ranks,
        "gpu_memory_utilization": start.utilization,
        "dtype": start.dtype,
        "kv_cache_dtype": start.kv_cache_dtype,
        "vllm_version": start.release,
        "extra_args": (f"--block-size={start.block_size}",) if start.block_size else (),
    }
    found = estimate(facts_of(config), engine(config, **request), given_weights(start.weights or 10))

    assert found.activation.gib + found.persistent.gib == pytest.approx(start.activation, abs=0.1)
    assert found.non_torch.gib == pytest.approx(start.non_torch, abs=0.25)
    if start.kv:
        assert found.kv_cache.gib == pytest.approx(start.kv, rel=0.006)
    if start.kv and start.tokens:
        tokens = layout(config, **request).tokens(start.kv * GIB, start.length)
        assert tokens == pytest.approx(start.tokens, rel=0.0002)  # the log's GiB have two digits


@pytest.mark.parametrize("start", OTHERS, ids=lambda start: f"{start.gpu.name}-{start.model}-{start.release}")
def test_starts_on_other_cards(start: Other) -> None:
    """What is left for the KV cache, from 0.8 to 0.31, and the range holds it."""
    config = PUBLISHED_CONFIGS[start.model]
    request = {"gpu": start.gpu, "vllm_version": start.release, **start.request}
    found = estimate(facts_of(config), engine(config, **request), given_weights(start.weights)).kv_cache

    assert found.gib == pytest.approx(start.kv, rel=start.within)
    assert found.low / GIB * 0.99 <= start.kv <= found.high / GIB * 1.01


def test_gpt_oss_on_an_a100() -> None:
    """vLLM 0.19.0, util 0.65: 13.72 GiB of weights, 36.56 left (myoceane.fr/index.php/ai-vllm-a100-gemma-4)."""
    config = PUBLISHED_CONFIGS["gpt-oss-20b"]
    request = engine(config, gpu=A100, gpu_memory_utilization=0.65, vllm_version="0.19.0", max_model_len=131072)

    assert (request.max_num_batched_tokens, request.max_num_seqs) == (2048, 256)
    assert estimate(facts_of(config), request, given_weights(13.72)).kv_cache.gib == pytest.approx(36.56, rel=0.01)


def test_the_budget_is_a_share_of_what_the_session_sees() -> None:
    config = CONFIGS["Qwen/Qwen2.5-7B-Instruct"]

    assert budget(engine(config, gpu=H100, gpu_memory_utilization=0.5)) == pytest.approx(79.19 * GIB / 2, abs=1)
    assert budget(engine(config, gpu=A10.shared(0.5))) == pytest.approx(22.07 * GIB / 2 * 0.92, abs=1)


def test_graphs_count_since_0_20_and_not_when_eager() -> None:
    config = CONFIGS["meta-llama/Llama-3.1-8B-Instruct"]
    facts = facts_of(config)

    def graphs(**request: Any) -> float:
        return estimate(facts, engine(config, **request), given_weights(15)).cuda_graphs.likely

    assert graphs(vllm_version="0.19.0") == graphs(vllm_version="0.32.0", enforce_eager=True) == 0
    assert graphs(vllm_version="0.20.2") > 0
    assert graphs(vllm_version="0.23.0") == graphs(vllm_version="0.28.0") == 0  # the new runner's estimate was 0
    assert graphs(vllm_version="0.29.0") > 0
    assert graphs(vllm_version="0.32.0", max_num_seqs=8) < graphs(vllm_version="0.32.0")


def test_a_card_without_a_name_is_taken_for_one_between() -> None:
    config = CONFIGS["meta-llama/Llama-3.1-8B-Instruct"]

    def left(gpu: Gpu) -> float:
        request = engine(config, gpu=gpu, max_num_seqs=256, max_num_batched_tokens=2048)
        return estimate(facts_of(config), request, given_weights(15)).kv_cache.likely

    hopper, ampere = left(Gpu("H", 24, (9, 0))), left(Gpu("A", 24, (8, 0)))
    assert hopper < left(gpu_of_numbers(24)) < ampere


def test_kv_cache_memory_bytes_decides_alone() -> None:
    config = CONFIGS["meta-llama/Llama-3.1-8B-Instruct"]
    request = engine(config, extra_args=("--kv-cache-memory-bytes=2147483648",))
    found = estimate(facts_of(config), request, given_weights(15)).kv_cache

    assert found == pytest.approx((2 * GIB,) * 3, abs=1)


def test_a_config_without_sizes_gives_a_wide_range() -> None:
    found = estimate(facts_of({"architectures": ["New"]}), engine({}), given_weights(15))

    assert found.activation.low == 0
    assert found.activation.high > 2 * GIB


def test_one_estimate_takes_less_than_two_milliseconds() -> None:
    config = CONFIGS["google/gemma-3-12b-it"]
    facts, took = facts_of(config), []
    for _ in range(50):
        began = time.process_time()
        request = engine(config)
        found = estimate(facts, request, given_weights(24))
        layout(config).largest_len(found.kv_cache.likely, request.max_model_len)
        took.append(time.process_time() - began)

    assert min(took) < 0.002
