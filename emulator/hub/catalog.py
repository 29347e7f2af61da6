"""The repos of this Hub: configs as the real ones have them, shards, gates, chat templates.

Parameter counts come out of the configs (tensors.parameters) and are held to the published ones by a test.
Commit shas are made from the names: fixed, but not the real ones.
"""

import hashlib
from dataclasses import dataclass
from typing import Literal

from emulator.hub.tensors import Config

GB = 10**9  # what shard limits are counted in
_TORCH = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}

_INST = "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}"
_INST += "{% elif m.role == 'assistant' %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"
_CHATML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}"
_CHATML += "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
_TURNS = "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}"


@dataclass(frozen=True, eq=False)
class Repo:
    """One model repo, compared by identity. `shard_bytes`: the limit its weights were split at."""

    id: str
    config: Config
    chat_template: str | None = None
    gated: Literal[False, "auto", "manual"] = False
    weights: Literal["safetensors", "bin"] = "safetensors"
    shard_bytes: int = 10 * GB
    private: bool = False
    disabled: bool = False

    @property
    def sha(self) -> str:
        """The commit that `main` points to, 40 hex digits."""
        return hashlib.sha1(self.id.encode(), usedforsecurity=False).hexdigest()

    @property
    def dtype(self) -> str:
        """The dtype of the float tensors, as safetensors writes it."""
        return _TORCH[self.config.get("torch_dtype", "float32")]


def _decoder(family: str, sizes: tuple[int, int, int, int, int], vocab: int, positions: int) -> Config:
    """`sizes`: hidden, intermediate, layers, heads, KV heads."""
    hidden, intermediate, layers, heads, kv_heads = sizes
    architecture = {"llama": "Llama", "mistral": "Mistral", "qwen2": "Qwen2"}[family]
    return {
        "architectures": [f"{architecture}ForCausalLM"],
        "hidden_act": "silu",
        "hidden_size": hidden,
        "initializer_range": 0.02,
        "intermediate_size": intermediate,
        "max_position_embeddings": positions,
        "model_type": family,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "num_key_value_heads": kv_heads,
        "rms_norm_eps": 1e-05,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "use_cache": True,
        "vocab_size": vocab,
    }


def _gpt(family: str, sizes: tuple[int, int, int], vocab: int, positions: int) -> Config:
    """`sizes`: hidden, layers, heads."""
    architecture = {"gpt2": "GPT2LMHeadModel", "gpt_bigcode": "GPTBigCodeForCausalLM"}[family]
    hidden, layers, heads = sizes
    return {
        "activation_function": "gelu_new",
        "architectures": [architecture],
        "layer_norm_epsilon": 1e-05,
        "model_type": family,
        "n_embd": hidden,
        "n_head": heads,
        "n_layer": layers,
        "n_positions": positions,
        "vocab_size": vocab,
    }


_QUANTIZATION: dict[str, Config] = {
    "-AWQ": {"bits": 4, "group_size": 128, "quant_method": "awq", "version": "gemm", "zero_point": True},
    "-GPTQ-Int4": {
        "bits": 4,
        "damp_percent": 0.01,
        "desc_act": False,
        "group_size": 128,
        "quant_method": "gptq",
        "static_groups": False,
        "sym": True,
        "true_sequential": True,
    },
}


def _llama2() -> list[Repo]:
    sizes = {
        "7b": (4096, 11008, 32, 32, 32),
        "13b": (5120, 13824, 40, 40, 40),
        "70b": (8192, 28672, 80, 64, 8),
    }
    return [
        Repo(f"meta-llama/Llama-2-{name}-chat-hf", _decoder("llama", size, 32000, 4096), _INST, gated="manual")
        for name, size in sizes.items()
    ]


def _qwen25() -> list[Repo]:
    # The quantized 72B has its intermediate size padded to a multiple of 256.
    plain, packed = ("",), tuple(_QUANTIZATION)
    sizes = (
        ("7B", (*plain, *packed), (3584, 18944, 28, 28, 4)),
        ("14B", (*plain, *packed), (5120, 13824, 48, 40, 8)),
        ("72B", plain, (8192, 29568, 80, 64, 8)),
        ("72B", packed, (8192, 29696, 80, 64, 8)),
    )
    repos = []
    for name, suffixes, size in sizes:
        for suffix in suffixes:
            config = _decoder("qwen2", size, 152064, 32768) | {
                "max_window_layers": size[2],
                "rms_norm_eps": 1e-06,
                "rope_theta": 1000000.0,
                "sliding_window": 131072,
                "torch_dtype": "float16" if suffix else "bfloat16",
                "use_sliding_window": False,
            }
            if suffix:
                config["quantization_config"] = _QUANTIZATION[suffix]
            repos.append(Repo(f"Qwen/Qwen2.5-{name}-Instruct{suffix}", config, _CHATML, shard_bytes=4 * GB))
    return repos


def _others() -> list[Repo]:
    llama_13b, llama_34b = (5120, 13824, 40, 40, 40), (8192, 22016, 48, 64, 8)
    mistral = _decoder("mistral", (4096, 14336, 32, 32, 8), 32000, 32768)
    code = {"rope_theta": 1000000, "torch_dtype": "bfloat16"}
    window = {"sliding_window": 4096, "torch_dtype": "bfloat16"}
    tiny = _decoder("llama", (128, 344, 2, 2, 2), 256, 2048) | {"head_dim": 64, "torch_dtype": "bfloat16"}
    wizard = _gpt("gpt_bigcode", (6144, 40, 48), 49153, 8192)
    wizard |= {"multi_query": True, "n_inner": 24576, "torch_dtype": "float16"}
    return [
        Repo("openai-community/gpt2", _gpt("gpt2", (768, 12, 12), 50257, 1024)),
        Repo("microsoft/DialoGPT-medium", _gpt("gpt2", (1024, 24, 16), 50257, 1024), _TURNS),
        Repo("microsoft/DialoGPT-large", _gpt("gpt2", (1280, 36, 20), 50257, 1024), _TURNS),
        Repo("mistralai/Mistral-7B-Instruct-v0.1", mistral | window, _INST, gated="auto"),
        Repo("codellama/CodeLlama-13b-Instruct-hf", _decoder("llama", llama_13b, 32016, 16384) | code, _INST),
        Repo("codellama/CodeLlama-34b-Instruct-hf", _decoder("llama", llama_34b, 32000, 16384) | code, _INST),
        Repo("lmsys/vicuna-13b-v1.5", _decoder("llama", llama_13b, 32000, 4096), weights="bin"),
        Repo("WizardLM/WizardCoder-15B-V1.0", wizard, weights="bin", shard_bytes=40 * GB),
        Repo("backendai-vllm/tiny-llama", tiny, _CHATML),
    ]


# Old names that the Hub redirects.
RENAMED = {"gpt2": "openai-community/gpt2"}


def catalog() -> dict[str, Repo]:
    """Every repo by its id."""
    return {repo.id: repo for repo in [*_llama2(), *_qwen25(), *_others()]}
