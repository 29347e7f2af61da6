"""The invariant: what is left out of a request is filled in as vLLM of that release does on that card."""

from __future__ import annotations

from typing import Any

import pytest

from serving.engine import batch_defaults, engine_of
from serving.errors import InvalidArgument
from serving.gpus import Gpu, gpu_of_numbers
from serving.model_request import ModelRequest

from .memory_cases import A10, A100, H100, H200, T4, engine, facts_of
from .model_configs import CONFIGS

LLAMA = CONFIGS["meta-llama/Llama-3.1-8B-Instruct"]
GPT2 = CONFIGS["openai-community/gpt2"]
B200 = Gpu("B200", 178.35, (10, 0))


@pytest.mark.parametrize(
    ("gpu", "release", "expected"),
    [
        (A10, (0, 32), (2048, 256)),
        (H100, (0, 32), (8192, 1024)),
        (H200, (0, 32), (8192, 1024)),
        (A100, (0, 32), (2048, 256)),
        (A100, (0, 8), (8192, 1024)),  # no look at the name yet
        (B200, (0, 32), (16384, 1024)),
        (B200, (0, 24), (8192, 1024)),
        (gpu_of_numbers(79.15, (8, 0)), (0, 32), (2048, 256)),  # no name, but nothing else has 8.0 and 80 GB
        (gpu_of_numbers(79.15, (9, 0)), (0, 32), (8192, 1024)),
        (H100.shared(0.5), (0, 32), (2048, 256)),
    ],
)
def test_batches_by_card(gpu: Gpu, release: tuple[int, int], expected: tuple[int, int]) -> None:
    assert batch_defaults(gpu, release) == expected


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"max_num_seqs": 8}, (8192, 8)),
        ({"max_num_batched_tokens": 512}, (512, 512)),
        ({"max_num_batched_tokens": 512, "vllm_version": "0.9.2"}, (512, 1024)),
        ({"max_num_seqs": 2, "max_model_len": 1000}, (2000, 2)),
        ({"max_num_seqs": 2, "max_model_len": 1000, "vllm_version": "0.10.2"}, (8192, 2)),
        ({"extra_args": ("--max-num-seqs=16", "--max-num-batched-tokens=4096"), "max_num_seqs": 8}, (4096, 16)),
        ({"extra_args": ("--no-enable-chunked-prefill",), "max_model_len": 20000}, (20000, 1024)),
    ],
)
def test_batches_as_asked(request_: dict[str, Any], expected: tuple[int, int]) -> None:
    found = engine(LLAMA, **request_)

    assert (found.max_num_batched_tokens, found.max_num_seqs) == expected


@pytest.mark.parametrize(
    ("model", "gpu", "request_", "expected"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", H100, {}, "bfloat16"),
        ("meta-llama/Llama-3.1-8B-Instruct", T4, {}, "float16"),
        ("meta-llama/Llama-3.1-8B-Instruct", H100, {"dtype": "half"}, "float16"),
        ("meta-llama/Llama-3.1-8B-Instruct", H100, {"dtype": "float32"}, "float32"),
        ("openai-community/gpt2", H100, {}, "bfloat16"),  # no torch_dtype: float32, so the card's half
        ("openai-community/gpt2", T4, {}, "float16"),
        ("openai-community/gpt2", H100, {"vllm_version": "0.8.5"}, "float16"),
        ("google/gemma-2-9b-it", T4, {}, "float32"),  # unstable in float16
        ("google/gemma-3-12b-it", H100, {}, "bfloat16"),
    ],
)
def test_dtype(model: str, gpu: Gpu, request_: dict[str, Any], expected: str) -> None:
    assert engine(CONFIGS[model], gpu=gpu, **request_).dtype == expected


def test_length_utilization_and_blocks() -> None:
    own, auto = engine(LLAMA), engine(LLAMA, max_model_len="auto")

    assert (own.max_model_len, own.auto_len) == (131072, False)
    assert (auto.max_model_len, auto.auto_len) == (131072, True)
    assert engine(LLAMA, max_model_len="8K").max_model_len == 8192
    assert engine(CONFIGS["tiiuae/falcon-7b"]).max_model_len == 2048
    assert own.gpu_memory_utilization == engine(LLAMA, vllm_version="0.20.2").gpu_memory_utilization == 0.92
    assert engine(LLAMA, vllm_version="0.19.0").gpu_memory_utilization == 0.9
    assert engine(LLAMA, gpu_memory_utilization=0.5).gpu_memory_utilization == 0.5
    assert (own.block_size, engine(LLAMA, extra_args=("--block-size=128",)).block_size) == (16, 128)
    assert engine(CONFIGS["deepseek-ai/DeepSeek-V3"], vllm_version="0.11.2").block_size == 64


@pytest.mark.parametrize(
    ("carried", "release", "expected"),
    [
        ({"quant_method": "compressed-tensors", "kv_cache_scheme": {"num_bits": 8, "type": "float"}}, "0.32.0", "fp8"),
        ({"quant_method": "modelopt", "kv_cache_quant_algo": "FP8"}, "0.32.0", "fp8"),
        ({"quant_method": "modelopt", "kv_cache_quant_algo": "FP8"}, "0.11.2", "auto"),
        ({"quant_method": "fp8"}, "0.32.0", "auto"),
    ],
)
def test_the_cache_follows_the_checkpoint(carried: dict[str, Any], release: str, expected: str) -> None:
    found = engine(LLAMA | {"quantization_config": carried}, vllm_version=release)

    assert (found.kv_cache_dtype, found.kv_dtype_bytes) == (expected, 1 if expected == "fp8" else 2)
    assert found.quantization == carried["quant_method"]


@pytest.mark.parametrize(
    ("model", "release", "expected"),
    [
        ("meta-llama/Llama-3.1-8B-Instruct", "0.32.0", True),
        ("meta-llama/Llama-3.1-8B-Instruct", "0.23.0", True),
        ("meta-llama/Llama-3.1-8B-Instruct", "0.20.2", False),
        ("TheBloke/Llama-2-7B-Chat-AWQ", "0.23.0", False),
        ("TheBloke/Llama-2-7B-Chat-AWQ", "0.24.0", True),
        ("Qwen/Qwen2.5-7B-Instruct", "0.24.0", False),
        ("Qwen/Qwen2.5-7B-Instruct", "0.25.0", True),
        ("Qwen/Qwen3-8B", "0.22.0", True),
        ("Qwen/Qwen3-8B", "0.21.0", False),
        ("meta-llama/Llama-3.1-8B-Instruct", "0.22.0", False),
        ("Qwen/Qwen3-30B-A3B", "0.27.1", False),
        ("Qwen/Qwen3-Next-80B-A3B-Instruct", "0.28.0", False),
        ("Qwen/Qwen3-30B-A3B", "0.30.0", True),
    ],
)
def test_which_model_runner(model: str, release: str, expected: bool) -> None:
    assert engine(CONFIGS[model], vllm_version=release).v2_runner is expected


@pytest.mark.parametrize(
    ("gpu", "request_", "expected"),
    [
        (T4, {"vllm_version": "0.9.2", "max_model_len": 20000}, (20000, 256)),
        (T4, {"vllm_version": "0.9.2", "max_model_len": 1024}, (2048, 256)),
        (T4, {"vllm_version": "0.9.2", "max_model_len": 65536}, (2048, 256)),  # in parts from here on
        (T4, {"vllm_version": "0.10.2", "max_model_len": 20000}, None),
        (A10, {"vllm_version": "0.9.2", "max_model_len": 20000}, None),
        (A10, {"vllm_version": "0.9.2", "max_model_len": 20000, "kv_cache_dtype": "fp8"}, (20000, 256)),
        (H100, {"vllm_version": "0.9.2", "max_model_len": 20000, "kv_cache_dtype": "fp8"}, None),
    ],
)
def test_old_cards_have_the_old_engine_up_to_0_9(
    gpu: Gpu, request_: dict[str, Any], expected: tuple[int, int] | None
) -> None:
    """Which takes a whole prompt at once; None: it is the new one."""
    found = engine(LLAMA, gpu=gpu, **request_)

    assert found.v0_engine is found.hybrid_groups_off is (expected is not None)
    if expected is not None:
        assert (found.max_num_batched_tokens, found.max_num_seqs) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), True),
        (("--language-model-only",), False),
        (('--limit-mm-per-prompt={"image": 0}',), False),
        (('--limit-mm-per-prompt={"image": 2}',), True),
        (("--skip-mm-profiling",), False),
    ],
)
def test_whether_encoders_are_profiled(words: tuple[str, ...], expected: bool) -> None:
    assert engine(CONFIGS["google/gemma-3-12b-it"], extra_args=words).multimodal is expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [('{"method": "mtp", "num_speculative_tokens": 3}', 3), ('{"method": "mtp"}', 1), ("3", 1)],
)
def test_speculative_tokens(config: str, expected: int) -> None:
    assert engine(LLAMA, extra_args=(f"--speculative-config={config}",)).speculative_tokens == expected
    assert engine(LLAMA).speculative_tokens == 0


def test_without_a_card_there_is_no_engine() -> None:
    with pytest.raises(InvalidArgument, match="No GPU"):
        engine_of(ModelRequest(name="m", model="acme/model"), facts_of(GPT2))
