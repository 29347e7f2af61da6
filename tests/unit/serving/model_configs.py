"""What config.json of real models says, as far as serving depends on it: REPO -> config.

Written down from the repos by hand: only the keys that sizes, lengths and quantization come from.
"""

from typing import Any

Config = dict[str, Any]


def _decoder(
    architecture: str, family: str, sizes: tuple[int, int, int, int, int], vocab: int, positions: int, **more: Any
) -> Config:
    """`sizes`: hidden, intermediate, layers, heads, KV heads."""
    hidden, intermediate, layers, heads, kv_heads = sizes
    return {
        "architectures": [architecture],
        "model_type": family,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": vocab,
        "max_position_embeddings": positions,
        "tie_word_embeddings": False,
        **more,
    }


def _llama(sizes: tuple[int, int, int, int, int], vocab: int, positions: int, **more: Any) -> Config:
    return _decoder("LlamaForCausalLM", "llama", sizes, vocab, positions, **({"torch_dtype": "float16"} | more))


def _qwen2(sizes: tuple[int, int, int, int, int], vocab: int = 152064, **more: Any) -> Config:
    return _decoder(
        "Qwen2ForCausalLM",
        "qwen2",
        sizes,
        vocab,
        32768,
        **(
            {
                "torch_dtype": "bfloat16",
                "rope_theta": 1000000.0,
                "sliding_window": 131072,
                "use_sliding_window": False,
                "max_window_layers": sizes[2],
            }
            | more
        ),
    )


def _gpt2(hidden: int, layers: int, heads: int) -> Config:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "activation_function": "gelu_new",
        "n_embd": hidden,
        "n_layer": layers,
        "n_head": heads,
        "n_ctx": 1024,
        "n_positions": 1024,
        "vocab_size": 50257,
    }


AWQ: Config = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
GPTQ: Config = {
    "quant_method": "gptq",
    "bits": 4,
    "group_size": 128,
    "damp_percent": 0.1,
    "desc_act": False,
    "sym": True,
    "true_sequential": True,
}

_L2_7B, _L2_13B, _L2_70B = (4096, 11008, 32, 32, 32), (5120, 13824, 40, 40, 40), (8192, 28672, 80, 64, 8)
_Q_7B, _Q_14B, _Q_32B = (3584, 18944, 28, 28, 4), (5120, 13824, 48, 40, 8), (5120, 27648, 64, 40, 8)
_Q_72B, _Q_72B_PACKED = (8192, 29568, 80, 64, 8), (8192, 29696, 80, 64, 8)
_LLAMA3_ROPE: Config = {
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}
_LLAMA31: Config = {
    "torch_dtype": "bfloat16",
    "rope_theta": 500000.0,
    "rope_scaling": _LLAMA3_ROPE,
    "attention_bias": False,
    "mlp_bias": False,
}
_YARN: Config = {
    "beta_fast": 32,
    "beta_slow": 1,
    "factor": 40,
    "original_max_position_embeddings": 4096,
    "type": "yarn",
}
_FP16: Config = {"torch_dtype": "float16"}
_MISTRAL_7B = (4096, 14336, 32, 32, 8)

CONFIGS: dict[str, Config] = {
    "openai-community/gpt2": _gpt2(768, 12, 12),
    "microsoft/DialoGPT-medium": _gpt2(1024, 24, 16),
    "microsoft/DialoGPT-large": _gpt2(1280, 36, 20),
    "meta-llama/Llama-2-7b-chat-hf": _llama(_L2_7B, 32000, 4096),
    "meta-llama/Llama-2-13b-chat-hf": _llama(_L2_13B, 32000, 4096),
    "meta-llama/Llama-2-70b-chat-hf": _llama(_L2_70B, 32000, 4096),
    "TheBloke/Llama-2-7B-Chat-AWQ": _llama(_L2_7B, 32000, 4096, quantization_config=AWQ),
    "TheBloke/Llama-2-7B-Chat-GPTQ": _llama(_L2_7B, 32000, 4096, quantization_config=GPTQ),
    "TheBloke/Llama-2-13B-chat-AWQ": _llama(_L2_13B, 32000, 4096, quantization_config=AWQ),
    "TheBloke/Llama-2-13B-chat-GPTQ": _llama(_L2_13B, 32000, 4096, quantization_config=GPTQ),
    "TheBloke/Llama-2-70B-Chat-AWQ": _llama(_L2_70B, 32000, 4096, quantization_config=AWQ),
    "meta-llama/Llama-3.1-8B-Instruct": _llama((4096, 14336, 32, 32, 8), 128256, 131072, **_LLAMA31),
    "meta-llama/Llama-3.1-70B-Instruct": _llama(_L2_70B, 128256, 131072, **_LLAMA31),
    "mistralai/Mistral-7B-Instruct-v0.1": _decoder(
        *("MistralForCausalLM", "mistral", _MISTRAL_7B, 32000, 32768),
        sliding_window=4096,
        torch_dtype="bfloat16",
        rope_theta=10000.0,
    ),
    "mistralai/Mistral-7B-Instruct-v0.3": _decoder(
        *("MistralForCausalLM", "mistral", _MISTRAL_7B, 32768, 32768),
        sliding_window=None,
        torch_dtype="bfloat16",
        rope_theta=1000000.0,
    ),
    "mistralai/Mixtral-8x7B-Instruct-v0.1": _decoder(
        *("MixtralForCausalLM", "mixtral", _MISTRAL_7B, 32000, 32768),
        sliding_window=None,
        torch_dtype="bfloat16",
        rope_theta=1000000.0,
        num_local_experts=8,
        num_experts_per_tok=2,
    ),
    "codellama/CodeLlama-13b-Instruct-hf": _llama(_L2_13B, 32016, 16384, torch_dtype="bfloat16", rope_theta=1000000),
    "codellama/CodeLlama-34b-Instruct-hf": _llama(
        (8192, 22016, 48, 64, 8), 32000, 16384, torch_dtype="bfloat16", rope_theta=1000000
    ),
    "lmsys/vicuna-13b-v1.5": _llama(_L2_13B, 32000, 4096),
    "WizardLM/WizardCoder-15B-V1.0": {
        "architectures": ["GPTBigCodeForCausalLM"],
        "model_type": "gpt_bigcode",
        "activation_function": "gelu",
        "multi_query": True,
        "n_embd": 6144,
        "n_head": 48,
        "n_inner": 24576,
        "n_layer": 40,
        "n_positions": 8192,
        "torch_dtype": "float16",
        "vocab_size": 49153,
    },
    "Qwen/Qwen2.5-0.5B-Instruct": _qwen2((896, 4864, 24, 14, 2), 151936, tie_word_embeddings=True),
    "Qwen/Qwen2.5-7B-Instruct": _qwen2(_Q_7B),
    "Qwen/Qwen2.5-7B-Instruct-AWQ": _qwen2(_Q_7B, quantization_config=AWQ, **_FP16),
    "Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4": _qwen2(_Q_7B, quantization_config=GPTQ, **_FP16),
    "Qwen/Qwen2.5-14B-Instruct": _qwen2(_Q_14B),
    "Qwen/Qwen2.5-14B-Instruct-AWQ": _qwen2(_Q_14B, quantization_config=AWQ, **_FP16),
    "Qwen/Qwen2.5-14B-Instruct-GPTQ-Int4": _qwen2(_Q_14B, quantization_config=GPTQ, **_FP16),
    "Qwen/Qwen2.5-32B-Instruct": _qwen2(_Q_32B),
    "Qwen/Qwen2.5-32B-Instruct-AWQ": _qwen2(_Q_32B, quantization_config=AWQ, **_FP16),
    "Qwen/Qwen2.5-72B-Instruct": _qwen2(_Q_72B),
    "Qwen/Qwen2.5-72B-Instruct-AWQ": _qwen2(_Q_72B_PACKED, quantization_config=AWQ, **_FP16),
    "Qwen/Qwen2.5-72B-Instruct-GPTQ-Int4": _qwen2(_Q_72B_PACKED, quantization_config=GPTQ, **_FP16),
    "Qwen/Qwen3-8B": _decoder(
        *("Qwen3ForCausalLM", "qwen3", (4096, 12288, 36, 32, 8), 151936, 40960),
        head_dim=128,
        attention_bias=False,
        torch_dtype="bfloat16",
        rope_theta=1000000,
        sliding_window=None,
        use_sliding_window=False,
        max_window_layers=36,
    ),
    "Qwen/Qwen3-30B-A3B": _decoder(
        *("Qwen3MoeForCausalLM", "qwen3_moe", (2048, 6144, 48, 32, 4), 151936, 40960),
        head_dim=128,
        attention_bias=False,
        torch_dtype="bfloat16",
        rope_theta=1000000.0,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        moe_intermediate_size=768,
        norm_topk_prob=True,
        num_experts=128,
        num_experts_per_tok=8,
        sliding_window=None,
        use_sliding_window=False,
        max_window_layers=48,
    ),
    "google/gemma-2-9b-it": _decoder(
        *("Gemma2ForCausalLM", "gemma2", (3584, 14336, 42, 16, 8), 256000, 8192),
        head_dim=256,
        hidden_activation="gelu_pytorch_tanh",
        attn_logit_softcapping=50.0,
        final_logit_softcapping=30.0,
        query_pre_attn_scalar=256,
        sliding_window=4096,
        rope_theta=10000.0,
        torch_dtype="bfloat16",
        tie_word_embeddings=True,
    ),
    "google/gemma-3-12b-it": {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "mm_tokens_per_image": 256,
        "image_token_index": 262144,
        "torch_dtype": "bfloat16",
        "text_config": {
            "model_type": "gemma3_text",
            "hidden_size": 3840,
            "intermediate_size": 15360,
            "num_attention_heads": 16,
            "num_hidden_layers": 48,
            "num_key_value_heads": 8,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
        "vision_config": {
            "hidden_size": 1152,
            "image_size": 896,
            "intermediate_size": 4304,
            "model_type": "siglip_vision_model",
            "num_attention_heads": 16,
            "num_hidden_layers": 27,
            "patch_size": 14,
            "vision_use_head": False,
        },
    },
    "microsoft/phi-4": _decoder(
        *("Phi3ForCausalLM", "phi3", (5120, 17920, 40, 40, 10), 100352, 16384),
        torch_dtype="bfloat16",
        rope_theta=250000,
        sliding_window=None,
        attention_bias=False,
    ),
    "microsoft/Phi-3-mini-4k-instruct": _decoder(
        *("Phi3ForCausalLM", "phi3", (3072, 8192, 32, 32, 32), 32064, 4096),
        torch_dtype="bfloat16",
        rope_theta=10000.0,
        sliding_window=2047,
        original_max_position_embeddings=4096,
        attention_bias=False,
    ),
    "deepseek-ai/DeepSeek-V2-Lite": _decoder(
        *("DeepseekV2ForCausalLM", "deepseek_v2", (2048, 10944, 27, 16, 16), 102400, 163840),
        torch_dtype="bfloat16",
        q_lora_rank=None,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        first_k_dense_replace=1,
        moe_layer_freq=1,
        moe_intermediate_size=1408,
        n_routed_experts=64,
        n_shared_experts=2,
        num_experts_per_tok=6,
        n_group=1,
        topk_group=1,
        topk_method="greedy",
        scoring_func="softmax",
        rope_scaling=_YARN | {"mscale": 0.707, "mscale_all_dim": 0.707},
    ),
    "deepseek-ai/DeepSeek-V3": _decoder(
        *("DeepseekV3ForCausalLM", "deepseek_v3", (7168, 18432, 61, 128, 128), 129280, 163840),
        torch_dtype="bfloat16",
        q_lora_rank=1536,
        kv_lora_rank=512,
        qk_nope_head_dim=128,
        qk_rope_head_dim=64,
        v_head_dim=128,
        first_k_dense_replace=3,
        moe_layer_freq=1,
        moe_intermediate_size=2048,
        n_routed_experts=256,
        n_shared_experts=1,
        num_experts_per_tok=8,
        num_nextn_predict_layers=1,
        n_group=8,
        topk_group=4,
        topk_method="noaux_tc",
        scoring_func="sigmoid",
        rope_scaling=_YARN | {"mscale": 1.0, "mscale_all_dim": 1.0},
        quantization_config={
            "activation_scheme": "dynamic",
            "fmt": "e4m3",
            "quant_method": "fp8",
            "weight_block_size": [128, 128],
        },
    ),
    "openai/gpt-oss-20b": _decoder(
        *("GptOssForCausalLM", "gpt_oss", (2880, 2880, 24, 64, 8), 201088, 131072),
        head_dim=64,
        attention_bias=True,
        torch_dtype="bfloat16",
        num_local_experts=32,
        num_experts_per_tok=4,
        experts_per_token=4,
        sliding_window=128,
        initial_context_length=4096,
        layer_types=["sliding_attention", "full_attention"] * 12,
        rope_scaling={
            "beta_fast": 32.0,
            "beta_slow": 1.0,
            "factor": 32.0,
            "original_max_position_embeddings": 4096,
            "rope_type": "yarn",
            "truncate": False,
        },
        quantization_config={
            "quant_method": "mxfp4",
            "modules_to_not_convert": [
                *("model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head")
            ],
        },
    ),
    "tiiuae/falcon-7b": {
        "architectures": ["FalconForCausalLM"],
        "model_type": "falcon",
        "alibi": False,
        "bias": False,
        "hidden_size": 4544,
        "multi_query": True,
        "new_decoder_architecture": False,
        "num_attention_heads": 71,
        "num_hidden_layers": 32,
        "parallel_attn": True,
        "torch_dtype": "bfloat16",
        "vocab_size": 65024,
    },
    "ai21labs/AI21-Jamba-1.5-Mini": _decoder(
        *("JambaForCausalLM", "jamba", (4096, 14336, 32, 32, 8), 65536, 262144),
        torch_dtype="bfloat16",
        attn_layer_offset=4,
        attn_layer_period=8,
        expert_layer_offset=1,
        expert_layer_period=2,
        num_experts=16,
        num_experts_per_tok=2,
        mamba_conv_bias=True,
        mamba_d_conv=4,
        mamba_d_state=16,
        mamba_dt_rank=256,
        mamba_expand=2,
        mamba_proj_bias=False,
    ),
    "Qwen/Qwen3-Next-80B-A3B-Instruct": _decoder(
        *("Qwen3NextForCausalLM", "qwen3_next", (2048, 5120, 48, 16, 2), 151936, 262144),
        torch_dtype="bfloat16",
        head_dim=256,
        attention_bias=False,
        partial_rotary_factor=0.25,
        rope_theta=10000000,
        decoder_sparse_step=1,
        mlp_only_layers=[],
        moe_intermediate_size=512,
        shared_expert_intermediate_size=512,
        num_experts=512,
        num_experts_per_tok=10,
        full_attention_interval=4,
        linear_conv_kernel_dim=4,
        linear_key_head_dim=128,
        linear_num_key_heads=16,
        linear_num_value_heads=32,
        linear_value_head_dim=128,
    ),
}
