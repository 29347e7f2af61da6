"""Starts of vLLM whose memory others have published: what the log said, and the config.json behind it.

`LLM_D`: github.com/llm-d-incubation/llm-d-planner, accuracy/accuracy_report.md with its logs (0.15 to 0.19, one start a
row, H100 of 79.19 GiB, util 0.95, default batch) and docs/empirical-vllm-memory-results.md (0.11, 0.9, blocks of 128).
Where the report gives only an error against a constant of its own, the figure is computed back from the two.
`OTHERS`: other cards, from 0.8 to 0.31; each row says where it was published.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from serving.gpus import Gpu

Config = dict[str, Any]


def _plain(family: str, architecture: str, sizes: tuple[int, ...], vocab: int, **more: Any) -> Config:
    """`sizes`: hidden, intermediate, layers, heads, KV heads."""
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    return {
        **dict(zip(names, sizes, strict=True)),
        **{"model_type": family, "architectures": [architecture], "vocab_size": vocab, "torch_dtype": "bfloat16"},
        "max_position_embeddings": 131072,
        **more,
    }


def _gemma3(sizes: tuple[int, ...], **more: Any) -> Config:
    text = {"model_type": "gemma3_text", "sliding_window": 1024, **more}
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    vision = {"hidden_size": 1152, "intermediate_size": 4304, "image_size": 896, "patch_size": 14}
    return {
        **{"model_type": "gemma3", "architectures": ["Gemma3ForConditionalGeneration"], "torch_dtype": "bfloat16"},
        "mm_tokens_per_image": 256,
        "text_config": text | dict(zip(names, sizes, strict=True)),
        "vision_config": vision,
    }


def _qwen3(sizes: tuple[int, ...], **more: Any) -> Config:
    return _plain("qwen3", "Qwen3ForCausalLM", sizes, 151936, head_dim=128, **more)


_AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
_L70 = (8192, 28672, 80, 64, 8)
CONFIGS: dict[str, Config] = {
    "llama-3.1-8b": _plain("llama", "LlamaForCausalLM", (4096, 14336, 32, 32, 8), 128256),
    "llama-3.3-70b-fp8": _plain("llama", "LlamaForCausalLM", _L70, 128256),
    "codellama-7b": _plain("llama", "LlamaForCausalLM", (4096, 11008, 32, 32, 32), 32016),
    "llama-3.2-1b": _plain("llama", "LlamaForCausalLM", (2048, 8192, 16, 32, 8), 128256, head_dim=64),
    "qwen2.5-0.5b": _plain("qwen2", "Qwen2ForCausalLM", (896, 4864, 24, 14, 2), 151936),
    "qwen2.5-1.5b": _plain("qwen2", "Qwen2ForCausalLM", (1536, 8960, 28, 12, 2), 151936),
    "qwen2.5-3b": _plain("qwen2", "Qwen2ForCausalLM", (2048, 11008, 36, 16, 2), 151936),
    "qwen2.5-7b-awq": _plain("qwen2", "Qwen2ForCausalLM", (3584, 18944, 28, 28, 4), 152064, quantization_config=_AWQ),
    "qwen2.5-72b-awq": _plain("qwen2", "Qwen2ForCausalLM", (8192, 29696, 80, 64, 8), 152064, quantization_config=_AWQ),
    "qwen2.5-7b": _plain("qwen2", "Qwen2ForCausalLM", (3584, 18944, 28, 28, 4), 152064),
    "qwen2.5-72b": _plain("qwen2", "Qwen2ForCausalLM", (8192, 29568, 80, 64, 8), 152064),
    "qwen3-0.6b": _qwen3((1024, 3072, 28, 16, 8)),
    "qwen3-8b": _qwen3((4096, 12288, 36, 32, 8)),
    "qwen3-14b": _qwen3((5120, 17408, 40, 40, 8)),
    "qwen3-32b": _qwen3((5120, 25600, 64, 64, 8)),
    "gemma-2-2b": _plain(
        "gemma2", "Gemma2ForCausalLM", (2304, 9216, 26, 8, 4), 256000, sliding_window=4096, head_dim=256
    ),
    "gemma-2-9b": _plain(
        *("gemma2", "Gemma2ForCausalLM", (3584, 14336, 42, 16, 8), 256000), sliding_window=4096, head_dim=256
    ),
    "gemma-2-27b": _plain(
        *("gemma2", "Gemma2ForCausalLM", (4608, 36864, 46, 32, 16), 256000), sliding_window=4096, head_dim=128
    ),
    "gemma-3-4b": _gemma3((2560, 10240, 34, 8, 4)),
    "gemma-3-12b": _gemma3((3840, 15360, 48, 16, 8)),
    "gemma-3-27b": _gemma3((5376, 21504, 62, 32, 16), head_dim=128),
    "granite-3.1-2b": _plain("granite", "GraniteForCausalLM", (2048, 8192, 40, 32, 8), 49155),
    "granite-3.1-8b": _plain("granite", "GraniteForCausalLM", (4096, 12800, 40, 32, 8), 49155),
    "phi-4": _plain("phi3", "Phi3ForCausalLM", (5120, 17920, 40, 40, 10), 100352),
    "phi-2": _plain("phi", "PhiForCausalLM", (2560, 10240, 32, 32, 32), 51200, torch_dtype="float16"),
    "deepseek-v2-lite": _plain("deepseek_v2", "DeepseekV2ForCausalLM", (2048, 10944, 27, 16, 16), 102400)
    | {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
    | {"n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": 6, "moe_intermediate_size": 1408}
    | {"first_k_dense_replace": 1},
    "qwen3-30b-a3b": _plain("qwen3_moe", "Qwen3MoeForCausalLM", (2048, 6144, 48, 32, 4), 151936, head_dim=128)
    | {"num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768},
    "qwen1.5-moe": _plain("qwen2_moe", "Qwen2MoeForCausalLM", (2048, 5632, 24, 16, 16), 151936)
    | {"num_experts": 60, "num_experts_per_tok": 4, "moe_intermediate_size": 1408}
    | {"shared_expert_intermediate_size": 5632},
    "mixtral-8x7b": _plain("mixtral", "MixtralForCausalLM", (4096, 14336, 32, 32, 8), 32000)
    | {"num_local_experts": 8, "num_experts_per_tok": 2},
    "gpt-oss-20b": _plain("gpt_oss", "GptOssForCausalLM", (2880, 2880, 24, 64, 8), 201088, head_dim=64)
    | {"num_local_experts": 32, "num_experts_per_tok": 4, "sliding_window": 128}
    | {"layer_types": ["sliding_attention", "full_attention"] * 12}
    | {"quantization_config": {"quant_method": "mxfp4"}},
    "mistral-small-3.1": {
        **{"model_type": "mistral3", "architectures": ["Mistral3ForConditionalGeneration"], "torch_dtype": "bfloat16"},
        **{"spatial_merge_size": 2, "vision_config": {"hidden_size": 1024, "intermediate_size": 4096}},
        "text_config": _plain("mistral", "MistralForCausalLM", (5120, 32768, 40, 32, 8), 131072, head_dim=128),
    },
}


class Start(NamedTuple):
    """GiB as logged.  `kv`, `tokens`: "Available KV cache memory", "GPU KV cache size"; None: not said."""

    model: str
    release: str
    ranks: int
    activation: float
    non_torch: float
    weights: float | None
    kv: float | None
    length: int = 8192
    tokens: int | None = None
    utilization: float = 0.95
    dtype: str = "auto"
    kv_cache_dtype: str = "auto"
    block_size: int | None = None


LLM_D: tuple[Start, ...] = (
    Start("llama-3.1-8b", "0.19.0", 1, 1.89, 0.25, 14.99, 58.11, 2048, 476016),
    Start("llama-3.1-8b", "0.19.0", 1, 1.89, 0.25, 14.99, 58.11, 32768, 476016),
    Start("llama-3.1-8b", "0.19.0", 1, 1.89, 0.25, 14.99, 58.11, 8192, 952032, kv_cache_dtype="fp8"),
    Start("llama-3.1-8b", "0.19.0", 1, 2.21, 0.25, 29.98, 42.80, 8192, 175296, dtype="float32"),
    Start("llama-3.1-8b", "0.19.0", 2, 1.89, 2.07, None, None),
    Start("llama-3.1-8b", "0.19.0", 4, 1.89, 2.13, None, None),
    Start("qwen2.5-7b", "0.19.0", 1, 2.21, 0.24, 14.25, 58.53, 8192, 1096000),
    Start("qwen2.5-7b", "0.19.0", 1, 2.21, 0.24, 14.25, 58.53, 8192, 2192000, kv_cache_dtype="fp8"),
    Start("qwen2.5-7b", "0.19.0", 2, 2.21, 2.06, None, None),
    Start("qwen2.5-7b", "0.19.0", 4, 2.21, 2.13, None, None),
    Start("qwen3-14b", "0.15.0", 1, 5.64, 0.13, 27.52, 41.94),
    Start("qwen3-14b", "0.16.0", 1, 5.64, 0.13, 27.52, 41.94),
    Start("qwen3-14b", "0.17.0", 1, 2.23, 0.13, 27.52, 45.34),
    Start("qwen3-14b", "0.18.0", 1, 2.23, 0.25, 27.52, 45.23),
    Start("qwen3-8b", "0.19.0", 1, 2.21, 0.25, None, None),
    Start("codellama-7b", "0.19.0", 1, 0.77, 0.25, None, None),
    Start("gemma-2-2b", "0.19.0", 1, 3.62, 0.24, None, None),
    Start("gemma-2-9b", "0.19.0", 1, 3.65, 0.25, None, None),
    Start("gemma-2-27b", "0.19.0", 1, 3.66, 0.26, None, None),
    Start("gemma-3-4b", "0.19.0", 1, 3.89, 0.25, None, None),
    Start("gemma-3-12b", "0.19.0", 1, 3.94, 0.25, None, None),
    Start("gemma-3-27b", "0.19.0", 1, 3.99, 0.26, None, None),
    Start("granite-3.1-2b", "0.19.0", 1, 0.75, 0.46, None, None),
    Start("granite-3.1-8b", "0.19.0", 1, 0.85, 0.46, None, None),
    Start("phi-4", "0.19.0", 1, 1.52, 0.25, None, None),
    Start("phi-2", "0.19.0", 1, 0.79, 0.24, None, None, 2048),
    Start("deepseek-v2-lite", "0.19.0", 1, 1.93, 0.26, None, None),
    Start("qwen3-30b-a3b", "0.19.0", 1, 2.68, 0.27, None, None),
    Start("qwen1.5-moe", "0.19.0", 1, 2.47, 0.25, None, None),
    Start("mixtral-8x7b", "0.19.0", 2, 1.21, 2.07, None, None),
    Start("gpt-oss-20b", "0.19.0", 2, 2.87, 2.07, None, None, utilization=0.9),
    Start("qwen2.5-72b", "0.19.0", 2, 2.29, 2.09, None, None),
    Start("mistral-small-3.1", "0.19.0", 1, 2.03, 0.25, None, None),
    Start("llama-3.3-70b-fp8", "0.19.0", 2, 1.96, 2.10, None, None),
    Start("llama-3.3-70b-fp8", "0.19.0", 4, 1.97, 2.21, None, None),
    Start("gpt-oss-20b", "0.11.0", 1, 7.38, 0.13, 13.47, 50.28, 16000, utilization=0.9, block_size=128),
    Start("llama-3.3-70b-fp8", "0.11.0", 2, 4.84, 0.55, 33.88, 32.00, 16000, utilization=0.9, block_size=128),
    Start("llama-3.1-8b", "0.11.0", 1, 4.76, 0.13, 14.99, 51.38, 16000, utilization=0.9, block_size=128),
    Start("qwen3-0.6b", "0.11.0", 1, 5.56, 0.13, 1.12, 64.45, 16000, utilization=0.9, block_size=128),
    Start("qwen3-32b", "0.11.0", 1, 5.64, 0.14, 61.03, 4.45, 16000, utilization=0.9, block_size=128),
    Start("qwen3-32b", "0.11.0", 2, 5.64, 0.54, 30.59, 34.49, 16000, utilization=0.9, block_size=128),
)


L40S, L20, RTX_PRO = Gpu("L40S", 44.39, (8, 9)), Gpu("L20", 44.39, (8, 9)), Gpu("RTX PRO 6000", 94.97, (12, 0))
A6000, A100 = Gpu("RTX A6000", 47.37, (8, 6)), Gpu("A100-80GB", 79.25, (8, 0))
RTX_4080, RTX_4070 = Gpu("RTX 4080", 15.99, (8, 9)), Gpu("RTX 4070", 11.99, (8, 9))
RTX_4060, RTX_5090 = Gpu("RTX 4060", 8.0, (8, 9)), Gpu("RTX 5090", 31.36, (12, 0))
T4, RTX_4090 = Gpu("T4", 14.56, (7, 5)), Gpu("RTX 4090", 23.65, (8, 9))
WSL_24, H100 = Gpu("RTX 4090", 23.99, (8, 9)), Gpu("H100-80GB", 79.18, (9, 0))


class Other(NamedTuple):
    """A start on another card.  GiB and tokens as logged; weights that no log says are what the tensors come to.

    `within`: the share of the KV cache that the estimate may be off by.
    """

    gpu: Gpu
    model: str
    release: str
    weights: float
    kv: float
    request: dict[str, Any]
    within: float = 0.02


def _at(length: int, utilization: float, **more: Any) -> dict[str, Any]:
    return {"max_model_len": length, "gpu_memory_utilization": utilization, **more}


_L20_ROW = {"enforce_eager": True, "max_num_batched_tokens": 4096}
OTHERS: tuple[Other, ...] = (
    # gnosia93/eks-agentic-ai, on Qwen2.5-72B: four cards over PCIe
    Other(L40S, "qwen2.5-72b", "0.19.0", 33.98, 5.11, _at(8192, 0.9, tensor_parallel_size=4)),
    # aws-samples/sample-claude-code-multi-model, self-hosted/vllm/README.md
    Other(L40S, "qwen3-30b-a3b", "0.24.0", 14.24, 23.74, _at(32768, 0.9, tensor_parallel_size=4)),
    # a comparison of vLLM and SGLang on L40S cards, with expert parallelism: one rank holds as much as under TP
    Other(L40S, "qwen3-30b-a3b", "0.10.2", 14.55, 25.91, _at(32768, 0.95, tensor_parallel_size=2), 0.04),
    # llm-d's guide to sizing prompts, Qwen3-0.6B
    Other(L40S, "qwen3-0.6b", "0.11.2", 1.12, 37.42, _at(16000, 0.9)),
    # debug log of a start with FlashInfer's sampler; without it 0.75 GiB more are activations
    Other(L40S, "llama-3.2-1b", "0.10.0", 2.3185, 37.10, _at(131072, 0.9)),
    # "Total non KV cache memory: 16.22GiB; torch peak 1.19GiB; non-torch 0.04GiB; weights 14.99GiB" of 39.95
    Other(L40S, "llama-3.1-8b", "0.11.2", 14.99, 23.73, _at(8192, 0.9)),
    # "L20 Qwen2.5-72B AWQ Throughput Notes": 12,320 and twice 10,848 tokens
    Other(
        L20,
        "qwen2.5-72b-awq",
        "0.8.5",
        38.77,
        3.76,
        _at(8192, 0.98, max_num_seqs=1, **_L20_ROW) | {"max_num_batched_tokens": 2048},
    ),
    Other(L20, "qwen2.5-72b-awq", "0.8.5", 38.77, 3.31, _at(4096, 0.98, max_num_seqs=1, **_L20_ROW)),
    Other(L20, "qwen2.5-72b-awq", "0.8.5", 38.77, 3.31, _at(1024, 0.98, max_num_seqs=48, **_L20_ROW)),
    # debug log of 0.13 with its "Actual usage is 15.27 GiB for weight, 1.4 for peak activation, 0.03 for non-torch"
    Other(A6000, "qwen3-8b", "0.13.0", 15.27, 25.94, _at(16384, 0.9)),
    # notes on vLLM 0.26 under WSL2: "5.29 weights, 1.04 activation, 0.06 non-torch", no graphs in the budget
    Other(RTX_4080, "qwen2.5-7b-awq", "0.26.0", 5.29, 8.0, _at(32768, 0.9)),
    # a baseline of vLLM under WSL2 on 12 GB: graphs estimated at 0.08
    Other(RTX_4070, "qwen2.5-7b-awq", "0.23.0", 5.29, 3.71, _at(4096, 0.85, max_num_seqs=16)),
    # kubectl logs of 0.18.0, bitsandbytes while loading
    Other(RTX_4060, "qwen2.5-3b", "0.18.0", 2.07, 3.75, _at(4096, 0.8, enforce_eager=True), 0.03),
    # notes on 0.27.1 under WSL2: "1.23 GiB consumed, 0.31 for peak activation"
    Other(WSL_24, "qwen2.5-0.5b", "0.27.1", 0.93, 20.52, _at(2048, 0.92, max_num_batched_tokens=8192)),
    # a fine-tuned Qwen2.5-7B; graphs estimated at 0.63
    Other(RTX_5090, "qwen2.5-7b", "0.24.0", 14.37, 11.92, _at(8192, 0.9)),
    # vllm-project/vllm#50159, offline: 6,908,880 tokens eager, 6,900,336 with graphs
    Other(
        RTX_PRO,
        "qwen2.5-0.5b",
        "0.26.0",
        0.93,
        79.07,
        _at(8192, 0.85, max_num_batched_tokens=16384, enforce_eager=True),
    ),
    Other(RTX_PRO, "qwen2.5-0.5b", "0.26.0", 0.93, 78.97, _at(8192, 0.85, max_num_batched_tokens=16384)),
    # "Available KV cache memory: 53.54 GiB" of 0.19.1
    Other(H100, "qwen3-8b", "0.19.1", 15.27, 53.54, _at(40960, 0.9)),
    # a course's notes on vllm-openai:v0.31.0: 15.26 consumed, 1.44 peak activation and graphs, 460,496 tokens
    Other(A100, "llama-3.1-8b", "0.31.0", 15.0, 56.21, _at(131072, 0.92)),
    # offline, pip installation without FlashInfer: 97,680 tokens; 359,328 on two cards
    Other(RTX_4090, "qwen2.5-7b", "0.8.4", 14.2717, 5.216, _at(4096, 0.9, max_num_batched_tokens=8192), 0.04),
    Other(
        *(RTX_4090, "qwen2.5-7b", "0.8.4", 7.1441, 9.595),
        _at(4096, 0.8, max_num_batched_tokens=8192, tensor_parallel_size=2),
        0.06,
    ),
    # the old engine on a T4: a whole prompt of 32768 tokens at once, "activation peak memory takes 2.02GiB"
    Other(T4, "qwen2.5-1.5b", "0.8.5", 2.89, 2.36, _at(32768, 0.5)),
)
