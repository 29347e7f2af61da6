"""Starts of vLLM 0.32.0, measured: one Hopper GPU of 139.8 GiB, dummy weights; smaller cards by the budget.  GiB.

available = budget - weights - 0.2246 (outside torch) - persistent - activation - graphs, to the byte.
"""

from __future__ import annotations

from typing import NamedTuple

from .model_configs import CONFIGS

CARD_GIB = 139.8007
_NONE = "-"


class Start(NamedTuple):
    """`blocks`, `kv_tokens`: None where it failed, or only its profile was taken."""

    model: str
    quantization: str | None
    budget: float
    tokens: int
    seqs: int
    eager: bool
    length: int
    kv_cache_dtype: str
    weights: float
    persistent: float
    activation: float
    graphs: float
    available: float
    blocks: int | None
    kv_tokens: int | None
    outcome: str


def _read(line: str) -> Start:
    model, quantization, budget, tokens, seqs, mode, length, kv_dtype, *rest = line.split()
    weights, persistent, activation, graphs, available = (float(word) for word in rest[:5])
    blocks, kv_tokens = (None if word == _NONE else int(word) for word in rest[5:7])
    return Start(
        model=next(name for name in CONFIGS if name.endswith(f"/{model}")),
        quantization=None if quantization == _NONE else quantization,
        budget=float(budget),
        tokens=int(tokens),
        seqs=int(seqs),
        eager=mode == "eager",
        length=int(length),
        kv_cache_dtype=kv_dtype,
        weights=weights,
        persistent=persistent,
        activation=activation,
        graphs=graphs,
        available=available,
        blocks=blocks,
        kv_tokens=kv_tokens,
        outcome=rest[7],
    )


# model, quantization while loading, budget, max_num_batched_tokens, max_num_seqs, eager or graphs, max_model_len,
# kv_cache_dtype; weights, persistent, activation, graphs, available; num_gpu_blocks, tokens, what became of it
_TABLE = """
gpt2 - 22.08 2048 256 eager 1024 auto 0.2378 0.0962 0.041 0.0 21.4804 39103 625648 started
Llama-3.1-8B-Instruct - 128.6167 8192 1024 eager 8192 auto 15.0045 0.5756 0.8438 0.0 111.9682 57327 917232 started
Llama-2-7b-chat-hf - 22.08 2048 256 eager 4096 auto 12.5523 0.0707 0.1777 0.0 9.0546 1158 18528 started
Llama-2-7B-Chat-AWQ - 22.08 2048 256 eager 4096 auto 3.7447 0.1733 0.1309 0.0 17.8066 2279 36464 started
Llama-2-7B-Chat-GPTQ - 22.08 2048 256 eager 4096 auto 3.674 0.1268 0.1309 0.0 17.9237 2294 36704 started
gpt2 - 22.08 2048 256 graphs 1024 auto 0.2378 0.0962 0.1045 0.2422 21.1747 38547 616752 started
Llama-3.1-8B-Instruct - 128.6167 8192 1024 graphs 8192 auto 15.0045 0.5756 1.0723 0.916 110.8236 56741 907856 started
Llama-2-7b-chat-hf - 22.08 2048 256 graphs 4096 auto 12.5523 0.0707 0.2442 0.7402 8.2479 1055 16880 started
Llama-3.1-8B-Instruct - 22.08 2048 256 graphs 8192 auto 15.0045 0.1791 0.9785 0.7559 4.9374 2527 40432 started
Qwen2.5-7B-Instruct - 22.08 2048 256 graphs 32768 auto 14.2897 0.1966 1.0108 0.6875 5.6708 6636 106176 started
Llama-2-7B-Chat-AWQ - 22.08 2048 256 graphs 4096 auto 3.7447 0.1733 0.2285 0.7676 16.9413 2168 34688 started
Llama-2-7b-chat-hf - 14.72 2048 256 eager 4096 auto 12.5523 0.0707 0.1777 0.0 1.6946 - - failed
Llama-2-7b-chat-hf - 14.72 2048 256 eager 2048 auto 12.5523 0.0707 0.1777 0.0 1.6946 216 3456 started
Llama-2-7b-chat-hf - 14.72 2048 256 eager 4096 fp8 12.5523 0.0707 0.1777 0.0 1.6946 433 6928 started
Llama-2-7b-chat-hf - 36.8 2048 256 eager 4096 auto 12.5523 0.0707 0.1777 0.0 23.7746 3043 48688 started
WizardCoder-15B-V1.0 - 22.08 2048 256 eager 8192 auto 29.0071 0.1062 0.3301 0.0 -7.588 - - failed
WizardCoder-15B-V1.0 - 36.8 2048 256 eager 8192 auto 29.0071 0.1062 0.3301 0.0 7.132 23370 373920 started
Llama-3.1-8B-Instruct - 22.08 2048 256 eager 8192 auto 15.0045 0.1791 0.2109 0.0 6.4609 3307 52912 started
Llama-3.1-8B-Instruct - 22.08 2048 256 eager 131072 auto 15.0045 0.1791 0.2109 0.0 6.4609 - - failed
Llama-3.1-8B-Instruct - 22.08 2048 256 eager 65536 auto 15.0045 0.1791 0.2109 0.0 6.4609 - - failed
Llama-3.1-8B-Instruct - 22.08 2048 256 eager 65536 fp8 15.0045 0.1791 0.2109 0.0 6.4609 6615 105840 started
Llama-3.1-8B-Instruct - 36.8 2048 256 eager 131072 auto 15.0045 0.1791 0.2109 0.0 21.1809 10844 173504 started
Llama-3.1-8B-Instruct - 73.6 2048 256 eager 131072 auto 15.0045 0.1791 0.2109 0.0 57.9809 29686 474976 started
Llama-3.1-8B-Instruct - 73.6 8192 1024 eager 131072 auto 15.0045 0.5756 0.8438 0.0 56.9515 29159 466544 started
Llama-3.1-8B-Instruct - 14.72 2048 256 eager 8192 auto 15.0045 0.1791 0.2109 0.0 -0.8991 - - failed
Qwen2.5-7B-Instruct - 22.08 2048 256 eager 32768 auto 14.2897 0.1966 0.2715 0.0 7.0976 8306 132896 started
Qwen2.5-7B-Instruct - 14.72 2048 256 eager 4096 auto 14.2897 0.1966 0.2715 0.0 -0.2624 - - failed
Qwen2.5-7B-Instruct - 14.72 2048 256 eager 32768 auto 14.2897 0.1966 0.2715 0.0 -0.2624 - - failed
Mixtral-8x7B-Instruct-v0.1 - 73.6 8192 1024 eager 4096 auto 86.9986 1.5014 0.3438 0.0 -15.4684 - - failed
Mixtral-8x7B-Instruct-v0.1 - 128.6167 8192 1024 eager 32768 auto 86.9986 1.5014 0.3438 0.0 39.5483 20248 323968 started
Llama-2-7b-chat-hf fp8 14.72 2048 256 eager 4096 auto 6.7086 0.0863 0.1309 0.0 7.5696 968 15488 started
Llama-3.1-8B-Instruct fp8 22.08 2048 256 eager 8192 auto 8.5123 0.1791 0.1797 0.0 12.9843 6647 106352 started
Llama-3.1-8B-Instruct - 22.08 2048 256 eager 52896 auto 15.0045 0.1791 0.2109 0.0 6.4609 3307 52911 started
gpt2 - 128.6167 8192 1024 eager 1024 auto 0.2378 0.2778 0.1641 0.0 127.7123 232493 3719888 started
Llama-2-7b-chat-hf - 128.6167 8192 1024 eager 4096 auto 12.5523 0.1957 0.6914 0.0 114.9526 14713 235408 started
WizardCoder-15B-V1.0 - 128.6167 8192 1024 eager 8192 auto 29.0071 0.2644 1.3164 0.0 97.8041 320484 5127744 started
Llama-2-7B-Chat-AWQ - 128.6167 8192 1024 eager 4096 auto 3.7447 0.2631 0.6602 0.0 123.7241 15836 253376 started
Llama-2-7B-Chat-GPTQ - 128.6167 8192 1024 eager 4096 auto 3.674 0.2186 0.6602 0.0 123.8393 15851 253616 started
Llama-3.1-8B-Instruct - 128.6167 8192 1024 eager 131072 auto 15.0045 0.5756 0.8438 0.0 111.9682 57327 917232 started
Qwen2.5-7B-Instruct - 128.6167 8192 1024 eager 32768 auto 14.2897 0.6849 1.086 0.0 112.3315 131459 2103344 started
WizardCoder-15B-V1.0 - 36.8 2048 256 graphs 8192 auto 29.0071 0.1062 0.6729 0.9727 5.8166 19059 304944 started
Llama-3.1-8B-Instruct - 128.6167 2048 16 eager 4096 auto 15.0045 0.0522 0.2109 0.0 113.1245 - - profiled
Llama-3.1-8B-Instruct - 128.6167 2048 256 eager 4096 auto 15.0045 0.1791 0.2109 0.0 112.9975 - - profiled
Llama-3.1-8B-Instruct - 128.6167 2048 1024 eager 4096 auto 15.0045 0.5756 0.271 0.0 112.541 - - profiled
Llama-3.1-8B-Instruct - 128.6167 8192 16 eager 4096 auto 15.0045 0.0522 0.8438 0.0 112.4917 - - profiled
Llama-3.1-8B-Instruct - 128.6167 8192 256 eager 4096 auto 15.0045 0.1791 0.8438 0.0 112.3647 - - profiled
Llama-3.1-8B-Instruct - 128.6167 8192 1024 eager 4096 auto 15.0045 0.5756 0.8438 0.0 111.9682 - - profiled
Llama-2-7b-chat-hf - 128.6167 2048 16 eager 4096 auto 12.5523 0.0532 0.1777 0.0 115.6088 - - profiled
Llama-2-7b-chat-hf - 128.6167 8192 16 eager 4096 auto 12.5523 0.0532 0.6914 0.0 115.0952 - - profiled
Llama-2-7b-chat-hf - 128.6167 8192 1024 eager 4096 auto 12.5523 0.1957 0.6914 0.0 114.9526 - - profiled
Llama-2-7b-chat-hf - 128.6167 32768 256 eager 4096 auto 12.5523 0.0707 2.7656 0.0 113.0034 - - profiled
Qwen2.5-7B-Instruct - 128.6167 8192 16 eager 4096 auto 14.2897 0.0462 1.0859 0.0 112.9702 - - profiled
Qwen2.5-7B-Instruct - 128.6167 8192 1024 eager 4096 auto 14.2897 0.6849 1.086 0.0 112.3315 - - profiled
"""
STARTS = tuple(_read(line) for line in _TABLE.splitlines() if line)
