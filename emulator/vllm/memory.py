"""Weights and KV cache in GiB: the basic formula, enough for plausible log lines and for the refusals.

Terms as measured on vLLM 0.32.0 (V2 model runner); no verdict for a real GPU is to be read off here.
"""

import argparse
import math
from typing import Any, NamedTuple

from emulator.hub.tensors import DTYPE_BYTES, Dims, dims, tensors
from emulator.vllm.journal import ENGINE, Refusal

GIB = 2**30
BLOCK = 16  # tokens
_NON_TORCH_GIB = 0.2246
_CARD_DEFAULTS = (
    (160, 16384, 1024),
    (70, 8192, 1024),
    (0, 2048, 256),
)  # from GiB on: batched tokens, sequences
_HIDDEN_COPIES = {"qwen2": 4, "gpt2": 2, "gpt_bigcode": 2}
_SEE = "See https://docs.vllm.ai/en/latest/configuration/conserving_memory/ for more details."


class Card(NamedTuple):
    """`gpus`: how many there are, None where nobody said."""

    name: str
    gib: float
    capability: int
    gpus: int | None


class Memory(NamedTuple):
    """GiB of one rank; `tokens` is vLLM's log number, concurrency x length."""

    graphs: float
    available: float
    blocks: int
    max_model_len: int
    concurrency: float

    @property
    def tokens(self) -> int:
        return int(self.concurrency * self.max_model_len)


def batch_defaults(card: Card) -> tuple[int, int]:
    """vLLM's own max_num_batched_tokens and max_num_seqs for this card."""
    gib = 0.0 if "A100" in card.name else card.gib
    return next((tokens, seqs) for limit, tokens, seqs in _CARD_DEFAULTS if gib >= limit)


def weight_bytes(args: argparse.Namespace, config: dict[str, Any]) -> int:
    """Bytes as loaded: floats in the run's dtype, packed words as stored, fp8 on request."""
    float_bytes = 4 if args.dtype in ("float", "float32") else 2
    online = (args.quantization or "").startswith("fp8") and not config.get("quantization_config")
    total = 0
    for tensor in tensors(config, "F16"):
        if tensor.buffer:
            continue
        stored = DTYPE_BYTES[tensor.dtype] if tensor.dtype == "I32" else float_bytes
        total += tensor.elements * (1 if online and tensor.linear else stored)
    return total


def loaded_gib(args: argparse.Namespace, config: dict[str, Any], card: Card) -> float:
    """The weights of one rank; Refusal when the card cannot hold them."""
    weights = weight_bytes(args, config) / GIB / (args.tensor_parallel_size * args.pipeline_parallel_size)
    if weights > card.gib:
        text = (
            "CUDA out of memory. Tried to allocate 128.00 MiB. "
            f"GPU 0 has a total capacity of {card.gib:.2f} GiB of which 64.00 MiB is free."
        )
        raise Refusal("torch.OutOfMemoryError", text, source=ENGINE)
    return float(weights)


def plan(args: argparse.Namespace, config: dict[str, Any], card: Card, weights: float, max_model_len: int) -> Memory:
    """Divide the rest of the budget; Refusal when no sequence fits. `max_model_len` -1: what fits."""
    size = dims(config)
    budget = card.gib * args.gpu_memory_utilization
    graphs = 0.0 if args.enforce_eager else _graphs(size, args.max_num_seqs)
    overhead = _NON_TORCH_GIB + _persistent(size, args.max_num_seqs) + _transient(args, size, config) + graphs
    available = budget - weights - overhead
    if args.kv_cache_memory_bytes:
        available = args.kv_cache_memory_bytes / GIB
    if available <= 0:
        text = (
            "No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when "
            "initializing the engine (this flag also controls CPU memory reservation on the CPU backend, "
            f"despite its name). {_SEE}"
        )
        raise Refusal("ValueError", text, source=ENGINE)
    page = _block_bytes(args, size)
    blocks = args.num_gpu_blocks_override or int(available * GIB // page)
    fitting = (blocks - 1) * BLOCK
    if max_model_len < 0:
        max_model_len = min(fitting, size.positions)
    needed = _blocks_per_sequence(args, config, max_model_len)
    if needed > blocks - 1:
        raise _too_long(max_model_len, needed * page / GIB, available, fitting)
    return Memory(graphs, available, blocks, max_model_len, blocks / needed)


def _block_bytes(args: argparse.Namespace, size: Dims) -> int:
    """Bytes of one block over a rank's layers; KV heads are replicated when there are fewer than ranks."""
    value = 4 if args.dtype in ("float", "float32") else 2
    if args.kv_cache_dtype != "auto":
        value = 1 if args.kv_cache_dtype.startswith(("fp8", "int8")) else 2
    kv_heads = max(1, size.kv_heads // int(args.tensor_parallel_size))
    layers = math.ceil(size.layers / int(args.pipeline_parallel_size))
    return 2 * kv_heads * size.head_dim * value * BLOCK * layers


def _blocks_per_sequence(args: argparse.Namespace, config: dict[str, Any], length: int) -> int:
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    if not window or args.disable_sliding_window:
        return max(1, math.ceil(length / BLOCK))
    in_flight: int = window - 1 + 2 * args.max_num_batched_tokens
    return math.ceil(min(in_flight, length) / BLOCK) + 1


def _persistent(size: Dims, seqs: int) -> float:
    return 0.043 + 1.054 * seqs * size.vocab * 4 / GIB + 0.025 * seqs / 1024


def _transient(args: argparse.Namespace, size: Dims, config: dict[str, Any]) -> float:
    copies = _HIDDEN_COPIES.get(config["model_type"], 3)
    tokens, seqs = int(args.max_num_batched_tokens), int(args.max_num_seqs)
    forward = tokens * 2 * (3 * size.intermediate + copies * size.hidden)
    sampler = seqs * size.vocab * 2 + (tokens + seqs) * size.hidden * 2
    embedding = 0 if args.enforce_eager else size.vocab * size.hidden * 2
    return max(forward, sampler, embedding) / GIB


def _graphs(size: Dims, seqs: int) -> float:
    return max(0.0, -0.10 + 0.0136 * size.layers + 0.063 * size.hidden / 1000 + 0.446 * seqs / 1024)


def _too_long(length: int, needed: float, available: float, fitting: int) -> Refusal:
    estimate = "Based on the available memory, the estimated maximum model length is "
    text = (
        f"To serve at least one request with the model's max seq len ({length}), ({round(needed, 2)} GiB KV "
        "cache is needed, which is larger than the available KV cache memory "
        f"({round(available, 2)} GiB). {f'{estimate}{fitting}. ' if fitting > 0 else ''}"
        "Try increasing `gpu_memory_utilization` (which also controls CPU memory on the CPU backend) or "
        f"decreasing `max_model_len` when initializing the engine. {_SEE}"
    )
    return Refusal("ValueError", text, source=ENGINE)
