"""The tensors of a model worked out from its config.json, for the families that are served most.

For what no header tells: repos with only .bin files, shapes that weren't in the header that was read, a Hub that
gives away nothing but the config.  Names and shapes as the models of `transformers` save them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .model_config import shape, text_config
from .quantization import carried_by
from .tensors import Stored
from .weight_classics import CLASSICS, classic_tensors
from .weight_packing import pieces

_TORCH = {"float16": "F16", "half": "F16", "bfloat16": "BF16", "float32": "F32", "float": "F32"}
_GPT = frozenset({"gpt2", "gpt_bigcode"})
_BIASED_QKV = frozenset({"qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl", "qwen"})
_FOUR_NORMS = frozenset({"gemma2", "gemma3", "gemma3_text"})
_HEAD_NORMS = frozenset({"qwen3", "qwen3_moe", "qwen3_next", "gemma3", "gemma3_text"})
_DECODERS = frozenset({"llama", "mistral", "gemma3_text"})
_DECODER_KEYS = ("hidden_act", "hidden_activation", "rms_norm_eps")  # what only Llama's kin has
_OTHER_LAYERS = (  # keys of recurrent layers that only their own families have
    *("mamba_d_state", "mamba_n_heads", "ssm_state_size", "hybrid_override_pattern", "conv_L_cache"),
    *("linear_attn_config", "attn_type_list", "layers_block_type"),
)
_PACKED = frozenset({"phi3"})  # q, k and v stored as one, gate and up as one
_UNSAID: dict[str, dict[str, int]] = {  # keys that configs of these families leave to transformers' defaults
    "gemma3_text": {
        "vocab_size": 262208,
        "head_dim": 256,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "num_hidden_layers": 26,
    }
}
# Families whose embeddings are tied unless the config says otherwise (`tie_word_embeddings` in transformers).
TIED = frozenset(
    (
        *("gpt2", "gpt_bigcode", "gpt_neo", "falcon", "falcon_mamba", "bloom", "opt", "mpt", "mamba", "starcoder2"),
        *("gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "gemma4", "cohere", "cohere2"),
        *("ernie4_5", "ernie4_5_moe", "lfm2", "lfm2_moe", "minicpm3", "granite_swa"),
    )
)


def tied(config: Mapping[str, Any]) -> bool | None:
    """Whether the output embedding is the input embedding; None when neither config nor family says."""
    text = text_config(config)
    for place in (text, config):
        if isinstance(place.get("tie_word_embeddings"), bool):
            return bool(place["tie_word_embeddings"])
    return True if {str(text.get("model_type")), str(config.get("model_type"))} & TIED else None


def stored_dtype(config: Mapping[str, Any]) -> str:
    """The dtype of the float tensors, as safetensors names it."""
    text = text_config(config)
    named = config.get("torch_dtype") or config.get("dtype") or text.get("torch_dtype") or text.get("dtype")
    return _TORCH.get(str(named).removeprefix("torch."), "F32" if named is None else "BF16")


def family_tensors(config: Mapping[str, Any]) -> tuple[Stored, ...] | None:
    """Every tensor by pattern; None for a family that isn't known, or when its config lacks a size."""
    text = dict(text_config(config))
    text = _UNSAID.get(str(text.get("model_type")), {}) | text
    try:
        if text.get("model_type") in CLASSICS:
            return tuple(classic_tensors(text, stored_dtype(config)))
        made = tuple(_Family(text, config).tensors())
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    return made or None


class _Family:
    """The generator of one model's tensors."""

    def __init__(self, text: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        self.text, self.kind = text, str(text.get("model_type"))
        self.dtype = stored_dtype(config)
        self.layers = int(text.get("num_hidden_layers") or text["n_layer"])
        self.hidden = int(text.get("hidden_size") or text["n_embd"])
        sizes = shape(text)
        self.heads = sizes.heads or 0
        self.kv_heads = sizes.kv_heads or self.heads
        self.head_dim = sizes.head_dim or 0
        self.inner = sizes.intermediate or 4 * self.hidden
        self.vocab = int(text["vocab_size"])
        self.carried = carried_by(config) or {}
        self.method = str(self.carried.get("quant_method", "")).lower()
        self.is_tied = tied(config)
        self.config = config

    def tensors(self) -> Iterator[Stored]:
        if self.kind in _GPT:
            yield from self.gpt()
        elif self.kind == "falcon":
            yield from self.falcon()
        elif self.kind in _DECODERS or any(key in self.text for key in _DECODER_KEYS):
            if self.kind != "jamba" and any(key in self.text for key in _OTHER_LAYERS):
                return  # a hybrid whose layers aren't known here
            yield from self.decoder()

    def one(self, name: str, *sizes: int) -> Stored:
        return Stored(name, self.dtype, sizes)

    def each(self, name: str, *sizes: int, layers: int, times: int = 1, dtype: str = "") -> Stored:
        return Stored(name, dtype or self.dtype, sizes, layers * times, layers)

    def linear(
        self, name: str, out: int, into: int, *, layers: int, times: int = 1, bias: bool = False
    ) -> Iterator[Stored]:
        """A matrix as its quantization method stores it."""
        for leaf, dtype, sizes in pieces(self.carried, out, into):
            yield self.each(f"{name}.{leaf}", *sizes, layers=layers, times=times, dtype=dtype)
        if bias:
            yield self.each(f"{name}.bias", out, layers=layers, times=times)

    def plain(self, name: str, *sizes: int, layers: int) -> Stored:
        return self.each(f"{name}.weight", *sizes, layers=layers)

    # Llama and what is built like it: dense, mixtures of experts, latent attention, linear attention.
    def decoder(self) -> Iterator[Stored]:
        prefix = "language_model.model." if self.text is not self.config and "text_config" in self.config else "model."
        layer = f"{prefix}layers.*."
        yield self.one(f"{prefix}embed_tokens.weight", self.vocab, self.hidden)
        yield self.plain(f"{layer}input_layernorm", self.hidden, layers=self.layers)
        yield self.plain(f"{layer}post_attention_layernorm", self.hidden, layers=self.layers)
        if self.kind in _FOUR_NORMS:
            yield self.plain(f"{layer}pre_feedforward_layernorm", self.hidden, layers=self.layers)
            yield self.plain(f"{layer}post_feedforward_layernorm", self.hidden, layers=self.layers)
        attention, recurrent = self.kinds_of_layers()
        if self.text.get("kv_lora_rank"):
            yield from self.latent(f"{layer}self_attn.")
        else:
            yield from self.attention(f"{layer}self_attn.", attention)
        if recurrent and self.kind == "jamba":
            yield from self.mamba(f"{layer}mamba.", recurrent)
        elif recurrent:
            yield from self.delta(f"{layer}linear_attn.", recurrent)
        yield from self.feed_forward(layer)
        yield self.one(f"{prefix}norm.weight", self.hidden)
        if not self.is_tied:
            yield self.one("lm_head.weight", self.vocab, self.hidden)
        if isinstance(self.config.get("vision_config"), Mapping):
            yield from self.siglip(self.config["vision_config"])

    def kinds_of_layers(self) -> tuple[int, int]:
        """How many layers attend, and how many recur."""
        if period := self.text.get("attn_layer_period"):
            attention = len(range(self.text.get("attn_layer_offset", 0), self.layers, period))
        elif period := self.text.get("full_attention_interval"):
            attention = self.layers // int(period)
        else:
            attention = self.layers
        return attention, self.layers - attention

    def attention(self, name: str, layers: int) -> Iterator[Stored]:
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        bias = self.kind in _BIASED_QKV or self.text.get("attention_bias") is True
        if self.kind in _PACKED:
            yield from self.linear(f"{name}qkv_proj", queries + 2 * keys, self.hidden, layers=layers, bias=bias)
        else:
            gated = 2 if self.kind == "qwen3_next" else 1
            yield from self.linear(f"{name}q_proj", queries * gated, self.hidden, layers=layers, bias=bias)
            yield from self.linear(f"{name}k_proj", keys, self.hidden, layers=layers, bias=bias)
            yield from self.linear(f"{name}v_proj", keys, self.hidden, layers=layers, bias=bias)
        with_bias = bias and self.kind not in _BIASED_QKV
        yield from self.linear(f"{name}o_proj", self.hidden, queries, layers=layers, bias=with_bias)
        if self.kind in _HEAD_NORMS:
            yield self.plain(f"{name}q_norm", self.head_dim, layers=layers)
            yield self.plain(f"{name}k_norm", self.head_dim, layers=layers)
        if self.kind == "gpt_oss":
            yield self.each(f"{name}sinks", self.heads, layers=layers)

    def latent(self, name: str) -> Iterator[Stored]:
        text, rank, layers = self.text, int(self.text["kv_lora_rank"]), self.layers
        query = text["qk_nope_head_dim"] + text["qk_rope_head_dim"]
        if lora := text.get("q_lora_rank"):
            yield from self.linear(f"{name}q_a_proj", lora, self.hidden, layers=layers)
            yield self.plain(f"{name}q_a_layernorm", lora, layers=layers)
            yield from self.linear(f"{name}q_b_proj", self.heads * query, lora, layers=layers)
        else:
            yield from self.linear(f"{name}q_proj", self.heads * query, self.hidden, layers=layers)
        keys = self.heads * (text["qk_nope_head_dim"] + text["v_head_dim"])
        yield from self.linear(f"{name}kv_a_proj_with_mqa", rank + text["qk_rope_head_dim"], self.hidden, layers=layers)
        yield self.plain(f"{name}kv_a_layernorm", rank, layers=layers)
        yield from self.linear(f"{name}kv_b_proj", keys, rank, layers=layers)
        yield from self.linear(f"{name}o_proj", self.hidden, self.heads * text["v_head_dim"], layers=layers)

    def feed_forward(self, layer: str) -> Iterator[Stored]:
        text, hidden = self.text, self.hidden
        experts = next((n for key in _EXPERTS if (n := text.get(key))), 0) or 0
        if self.kind == "gpt_oss" and self.method == "mxfp4":
            yield from self.mxfp4(f"{layer}mlp.", experts)
            return
        sparse = self.sparse_layers() if experts > 1 else 0
        width = int(text.get("moe_intermediate_size") or self.inner)
        old = self.kind == "mixtral"
        block = {"mixtral": "block_sparse_moe.", "jamba": "feed_forward."}.get(self.kind, "mlp.")
        leads, back = (("w1", "w3"), "w2") if old else (("gate_proj", "up_proj"), "down_proj")
        if sparse:
            router = "router" if self.kind == "jamba" else "gate"
            yield self.plain(f"{layer}{block}{router}", experts, hidden, layers=sparse)
            if text.get("topk_method") == "noaux_tc":
                yield self.each(f"{layer}{block}gate.e_score_correction_bias", experts, layers=sparse, dtype="F32")
            for name in leads:
                yield from self.linear(f"{layer}{block}experts.*.{name}", width, hidden, layers=sparse, times=experts)
            yield from self.linear(f"{layer}{block}experts.*.{back}", hidden, width, layers=sparse, times=experts)
            yield from self.shared(f"{layer}{block}", width, sparse)
        if dense := self.layers - sparse:
            if self.kind in _PACKED:
                yield from self.linear(f"{layer}mlp.gate_up_proj", 2 * self.inner, hidden, layers=dense)
            else:
                for name in ("gate_proj", "up_proj"):
                    yield from self.linear(f"{layer}{block}{name}", self.inner, hidden, layers=dense)
            yield from self.linear(f"{layer}{block}down_proj", hidden, self.inner, layers=dense)

    def sparse_layers(self) -> int:
        text = self.text
        if period := text.get("expert_layer_period"):
            return len(range(text.get("expert_layer_offset", 0), self.layers, period))
        dense = set(text.get("mlp_only_layers") or ()) | set(range(text.get("first_k_dense_replace") or 0))
        step = text.get("decoder_sparse_step") or text.get("moe_layer_freq") or 1
        step = step if isinstance(step, int) else 1
        return sum(
            (n + (1 if "decoder_sparse_step" in text else 0)) % step == 0 and n not in dense for n in range(self.layers)
        )

    def shared(self, block: str, width: int, layers: int) -> Iterator[Stored]:
        text = self.text
        if width_of_one := text.get("shared_expert_intermediate_size"):
            name, width = "shared_expert", int(width_of_one)
            yield self.plain(f"{block}shared_expert_gate", 1, self.hidden, layers=layers)
        elif count := text.get("n_shared_experts"):
            name, width = "shared_experts", width * int(count)
        else:
            return
        for lead in ("gate_proj", "up_proj"):
            yield from self.linear(f"{block}{name}.{lead}", width, self.hidden, layers=layers)
        yield from self.linear(f"{block}{name}.down_proj", self.hidden, width, layers=layers)

    def mxfp4(self, name: str, experts: int) -> Iterator[Stored]:
        """gpt-oss: blocks of 32 values in 16 bytes and one scale."""
        hidden, inner, layers = self.hidden, self.inner, self.layers
        yield from (
            self.each(f"{name}router.{leaf}", *size, layers=layers)
            for leaf, size in (("weight", (experts, hidden)), ("bias", (experts,)))
        )
        for part, out, into in (("gate_up_proj", 2 * inner, hidden), ("down_proj", hidden, inner)):
            yield self.each(f"{name}experts.{part}_blocks", experts, out, into // 32, 16, layers=layers, dtype="U8")
            yield self.each(f"{name}experts.{part}_scales", experts, out, into // 32, layers=layers, dtype="U8")
            yield self.each(f"{name}experts.{part}_bias", experts, out, layers=layers)

    def mamba(self, name: str, layers: int) -> Iterator[Stored]:
        text, hidden = self.text, self.hidden
        inner, state = hidden * int(text["mamba_expand"]), int(text["mamba_d_state"])
        rank = int(text["mamba_dt_rank"])
        yield self.plain(f"{name}in_proj", 2 * inner, hidden, layers=layers)
        yield self.plain(f"{name}conv1d", inner, 1, int(text["mamba_d_conv"]), layers=layers)
        yield self.each(f"{name}conv1d.bias", inner, layers=layers)
        yield self.plain(f"{name}x_proj", rank + 2 * state, inner, layers=layers)
        yield self.plain(f"{name}dt_proj", inner, rank, layers=layers)
        yield self.each(f"{name}dt_proj.bias", inner, layers=layers)
        yield self.each(f"{name}A_log", inner, state, layers=layers)
        yield self.each(f"{name}D", inner, layers=layers)
        yield self.plain(f"{name}out_proj", hidden, inner, layers=layers)
        for norm, size in (("dt_layernorm", rank), ("b_layernorm", state), ("c_layernorm", state)):
            yield self.plain(f"{name}{norm}", size, layers=layers)

    def delta(self, name: str, layers: int) -> Iterator[Stored]:
        """Gated DeltaNet of Qwen3-Next."""
        text, hidden = self.text, self.hidden
        keys = text["linear_num_key_heads"] * text["linear_key_head_dim"]
        values = text["linear_num_value_heads"] * text["linear_value_head_dim"]
        yield self.plain(f"{name}in_proj_qkvz", 2 * (keys + values), hidden, layers=layers)
        yield self.plain(f"{name}in_proj_ba", 2 * text["linear_num_value_heads"], hidden, layers=layers)
        yield self.plain(f"{name}conv1d", 2 * keys + values, 1, text["linear_conv_kernel_dim"], layers=layers)
        for leaf in ("A_log", "dt_bias"):
            yield self.each(f"{name}{leaf}", text["linear_num_value_heads"], layers=layers)
        yield self.plain(f"{name}norm", text["linear_value_head_dim"], layers=layers)
        yield self.plain(f"{name}out_proj", hidden, values, layers=layers)

    def siglip(self, vision: Mapping[str, Any]) -> Iterator[Stored]:
        """The vision tower of Gemma 3; of another's nothing is known here."""
        if vision.get("model_type") != "siglip_vision_model":
            return
        tower, layer = "vision_tower.vision_model.", "vision_tower.vision_model.encoder.layers.*."
        size, inner, layers = (
            int(vision["hidden_size"]),
            int(vision["intermediate_size"]),
            int(vision["num_hidden_layers"]),
        )
        patch = int(vision["patch_size"])
        yield self.one(f"{tower}embeddings.patch_embedding.weight", size, 3, patch, patch)
        yield self.one(f"{tower}embeddings.patch_embedding.bias", size)
        yield self.one(f"{tower}embeddings.position_embedding.weight", (vision["image_size"] // patch) ** 2, size)
        matrices = [(f"self_attn.{name}", size, size) for name in ("q_proj", "k_proj", "v_proj", "out_proj")]
        for name, out, into in (*matrices, ("mlp.fc1", inner, size), ("mlp.fc2", size, inner)):
            yield self.plain(f"{layer}{name}", out, into, layers=layers)
            yield self.each(f"{layer}{name}.bias", out, layers=layers)
        for name in (f"{layer}layer_norm1", f"{layer}layer_norm2"):
            yield self.plain(name, size, layers=layers)
            yield self.each(f"{name}.bias", size, layers=layers)
        yield self.one("multi_modal_projector.mm_input_projection_weight", size, self.hidden)

    def gpt(self) -> Iterator[Stored]:
        """GPT-2, whose files hold causal masks too, and GPTBigCode."""
        big = self.kind == "gpt_bigcode"
        prefix, positions = ("transformer." if big else ""), int(self.text["n_positions"])
        packed = self.hidden + 2 * self.kv_heads * self.head_dim
        yield self.one(f"{prefix}wte.weight", self.vocab, self.hidden)
        yield self.one(f"{prefix}wpe.weight", positions, self.hidden)
        matrices = (
            ("attn.c_attn", packed, self.hidden),
            ("attn.c_proj", self.hidden, self.hidden),
            ("mlp.c_fc", self.inner, self.hidden),
            ("mlp.c_proj", self.hidden, self.inner),
        )
        for name, out, into in matrices:
            sizes = (out, into) if big else (into, out)
            yield self.plain(f"{prefix}h.*.{name}", *sizes, layers=self.layers)
            yield self.each(f"{prefix}h.*.{name}.bias", out, layers=self.layers)
        if not big:
            yield self.each("h.*.attn.bias", 1, 1, positions, positions, layers=self.layers)
        for leaf in ("weight", "bias"):
            for norm in ("ln_1", "ln_2"):
                yield self.each(f"{prefix}h.*.{norm}.{leaf}", self.hidden, layers=self.layers)
            yield self.one(f"{prefix}ln_f.{leaf}", self.hidden)

    def falcon(self) -> Iterator[Stored]:
        layer, queries = "transformer.h.*.", self.heads * self.head_dim
        packed = queries + 2 * self.kv_heads * self.head_dim
        new = self.text.get("new_decoder_architecture") is True
        yield self.one("transformer.word_embeddings.weight", self.vocab, self.hidden)
        bias = self.text.get("bias") is True
        matrices = (
            ("self_attention.query_key_value", packed, self.hidden),
            ("self_attention.dense", self.hidden, queries),
            ("mlp.dense_h_to_4h", 4 * self.hidden, self.hidden),
            ("mlp.dense_4h_to_h", self.hidden, 4 * self.hidden),
        )
        for name, out, into in matrices:
            yield from self.linear(f"{layer}{name}", out, into, layers=self.layers, bias=bias)
        norms = ("ln_attn", "ln_mlp") if new else ("input_layernorm",)
        for leaf in ("weight", "bias"):
            for norm in norms:
                yield self.each(f"{layer}{norm}.{leaf}", self.hidden, layers=self.layers)
            yield self.one(f"transformer.ln_f.{leaf}", self.hidden)
        if not self.is_tied:
            yield self.one("lm_head.weight", self.vocab, self.hidden)


_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
