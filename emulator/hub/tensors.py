"""Names, dtypes and shapes of a checkpoint, worked out from its config.json.

Llama, Mistral and Qwen2, GPT-2 with its attn.bias buffers, GPTBigCode; packed AWQ and GPTQ.
Standard library only and light: the vLLM stand-in sizes its weights with it too.
"""

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

Config = dict[str, Any]

DTYPE_BYTES = {"F32": 4, "I32": 4, "BF16": 2, "F16": 2, "U8": 1, "I8": 1}
_PACK = 8  # int4 values in one int32 word


class Tensor(NamedTuple):
    """`buffer`: stored, but no parameter. `linear`: a matrix that quantization applies to."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    buffer: bool = False
    linear: bool = False

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def size(self) -> int:
        """Bytes."""
        return self.elements * DTYPE_BYTES[self.dtype]


class Dims(NamedTuple):
    """A model's sizes under one set of names, whatever its family calls them."""

    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    positions: int


def dims(config: Config) -> Dims:
    """Read the sizes; KeyError names what a config lacks."""
    if "n_embd" in config:
        hidden, heads = config["n_embd"], config["n_head"]
        kv_heads = 1 if config.get("multi_query") else heads
        inner = config.get("n_inner") or 4 * hidden
        layers, positions = config["n_layer"], config["n_positions"]
        return Dims(layers, hidden, inner, heads, kv_heads, hidden // heads, config["vocab_size"], positions)
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    return Dims(
        layers=config["num_hidden_layers"],
        hidden=hidden,
        intermediate=config["intermediate_size"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or hidden // heads,
        vocab=config["vocab_size"],
        positions=config["max_position_embeddings"],
    )


def tensors(config: Config, dtype: str) -> Iterator[Tensor]:
    """Every tensor of the checkpoint, in file order; KeyError for an architecture without a generator."""
    return _FAMILIES[config["model_type"]](config, dtype)


def parameters(config: Config) -> int:
    """Parameters of the model, unpacked and without buffers."""
    plain = {key: value for key, value in config.items() if key != "quantization_config"}
    return sum(tensor.elements for tensor in tensors(plain, "F16") if not tensor.buffer)


def _linear(config: Config, dtype: str, name: str, out: int, into: int, *, bias: bool) -> Iterator[Tensor]:
    """A linear layer; packed to int4 words when the config says so (AWQ packs outputs, GPTQ inputs)."""
    quantization = config.get("quantization_config") or {}
    method, group = quantization.get("quant_method"), quantization.get("group_size", 128)
    if method is None:
        yield Tensor(f"{name}.weight", dtype, (out, into), linear=True)
    else:
        groups = into // group if group > 0 else 1
        if method == "gptq":
            yield Tensor(f"{name}.g_idx", "I32", (into,))
        words = (into, out // _PACK) if method == "awq" else (into // _PACK, out)
        yield Tensor(f"{name}.qweight", "I32", words, linear=True)
        yield Tensor(f"{name}.qzeros", "I32", (groups, out // _PACK))
        yield Tensor(f"{name}.scales", dtype, (groups, out))
    if bias:
        yield Tensor(f"{name}.bias", dtype, (out,))


def _llama(config: Config, dtype: str) -> Iterator[Tensor]:
    size = dims(config)
    queries, keys = size.heads * size.head_dim, size.kv_heads * size.head_dim
    attention_bias = config["model_type"] == "qwen2"
    linears = (
        ("self_attn.q_proj", queries, size.hidden, attention_bias),
        ("self_attn.k_proj", keys, size.hidden, attention_bias),
        ("self_attn.v_proj", keys, size.hidden, attention_bias),
        ("self_attn.o_proj", size.hidden, queries, False),
        ("mlp.gate_proj", size.intermediate, size.hidden, False),
        ("mlp.up_proj", size.intermediate, size.hidden, False),
        ("mlp.down_proj", size.hidden, size.intermediate, False),
    )
    yield Tensor("model.embed_tokens.weight", dtype, (size.vocab, size.hidden))
    for layer in range(size.layers):
        prefix = f"model.layers.{layer}."
        yield Tensor(f"{prefix}input_layernorm.weight", dtype, (size.hidden,))
        for name, out, into, bias in linears:
            yield from _linear(config, dtype, prefix + name, out, into, bias=bias)
        yield Tensor(f"{prefix}post_attention_layernorm.weight", dtype, (size.hidden,))
    yield Tensor("model.norm.weight", dtype, (size.hidden,))
    if not config.get("tie_word_embeddings"):
        yield Tensor("lm_head.weight", dtype, (size.vocab, size.hidden))


def _gpt(config: Config, dtype: str, prefix: str, attn_out: int, *, transposed: bool, mask: bool) -> Iterator[Tensor]:
    """The GPT-2 block. GPT-2's Conv1D keeps its matrices transposed, GPTBigCode's Linear does not."""
    size = dims(config)

    def matrix(name: str, out: int, into: int) -> Iterator[Tensor]:
        yield Tensor(f"{name}.weight", dtype, (into, out) if transposed else (out, into), linear=True)
        yield Tensor(f"{name}.bias", dtype, (out,))

    def norm(name: str) -> Iterator[Tensor]:
        yield Tensor(f"{name}.weight", dtype, (size.hidden,))
        yield Tensor(f"{name}.bias", dtype, (size.hidden,))

    yield Tensor(f"{prefix}wte.weight", dtype, (size.vocab, size.hidden))
    yield Tensor(f"{prefix}wpe.weight", dtype, (size.positions, size.hidden))
    for layer in range(size.layers):
        block = f"{prefix}h.{layer}."
        yield from norm(f"{block}ln_1")
        if mask:
            yield Tensor(f"{block}attn.bias", dtype, (1, 1, size.positions, size.positions), buffer=True)
        yield from matrix(f"{block}attn.c_attn", attn_out, size.hidden)
        yield from matrix(f"{block}attn.c_proj", size.hidden, size.hidden)
        yield from norm(f"{block}ln_2")
        yield from matrix(f"{block}mlp.c_fc", size.intermediate, size.hidden)
        yield from matrix(f"{block}mlp.c_proj", size.hidden, size.intermediate)
    yield from norm(f"{prefix}ln_f")


def _gpt2(config: Config, dtype: str) -> Iterator[Tensor]:
    return _gpt(config, dtype, "", 3 * dims(config).hidden, transposed=True, mask=True)


def _gpt_bigcode(config: Config, dtype: str) -> Iterator[Tensor]:
    size = dims(config)
    attn_out = size.hidden + 2 * size.kv_heads * size.head_dim
    return _gpt(config, dtype, "transformer.", attn_out, transposed=False, mask=False)


_FAMILIES: dict[str, Callable[[Config, str], Iterator[Tensor]]] = {
    "llama": _llama,
    "mistral": _llama,
    "qwen2": _llama,
    "gpt2": _gpt2,
    "gpt_bigcode": _gpt_bigcode,
}
