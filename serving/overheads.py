"""Memory that vLLM takes beside weights and activations: outside torch, buffers that stay, CUDA graphs.  In bytes.

What stays is told from vLLM's source where it can be (each function says where).  The rest was measured: vLLM 0.32.0 on
one Hopper GPU (eight models, the tests hold the rows), and 0.11 to 0.19 on H100s as published in llm-d-planner's
accuracy report (github.com/llm-d-incubation/llm-d-planner, accuracy/accuracy_report.md, 57 starts).  Other cards have
other drivers and kernels, so those terms are ranges.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .engine import Engine
from .estimates import GIB, Range
from .model_config import Sizes, padded_vocab, text_config
from .quantization import family
from .vllm_eras import (
    CONTEXT_OUTSIDE,
    FLASHINFER_SAMPLER,
    GRAPHS_ESTIMATED,
    MORE_BUFFERS,
    MORE_NON_TORCH,
    PERSISTENT_COUNTED,
    SORTLESS_SAMPLER,
    V2_GRAPHS_ESTIMATED,
    WORKSPACES,
)

MIB = 1024**2
_HOPPER = (9, 0)
_NOTHING = Range.exact(0)
_ALLOCATION = 0.015 * GIB  # rounding of torch's allocator, seen in each start
_STAYING = 10.5 * MIB  # input buffers of the model runner; this and the next are fitted (a model left out: 12 MiB off)
_PER_SEQ = 24 * 1024  # bytes a sequence: sampling parameters, tables
_MASKS = 1 / 16  # two bit masks of the vocabulary beside a counter of 32 bit
_CONTEXT, _CONTEXT_SMALL = 0.51 * GIB, 0.46 * GIB
_WITH_LARGE_KERNELS = frozenset({9, 10})  # major compute capabilities
_WORKSTATION = 12
_WITH_NVLINK = frozenset({(7, 0), (8, 0)})  # before Hopper
_NCCL_PCIE, _NCCL_NVLINK = 0.18, 0.4  # GiB of one of several ranks
# Multiprocessors by compute capability: a row of the vocabulary each in the sampler of 0.17 to 0.20.
_PROCESSORS = {(7, 0): 80, (7, 5): 40, (8, 0): 108, (8, 6): 82, (8, 9): 100, (9, 0): 132, (10, 0): 148, (12, 0): 170}
_ALONE = ((PERSISTENT_COUNTED, 0.2246), (MORE_NON_TORCH, 0.25), ((0, 0), 0.13))  # GiB of one Hopper GPU, since
_ALONE_SMALL = ((PERSISTENT_COUNTED, 0.1), (MORE_NON_TORCH, 0.06), ((0, 0), 0.02))  # of cards before Hopper
_ALONE_WORKSTATION = ((MORE_NON_TORCH, 0.2), ((0, 0), 0.05))  # of Blackwell without NVLink
_PACKED = frozenset({"awq", "gptq"})


def non_torch(engine: Engine) -> Range:
    """What CUDA, cuBLAS and NCCL take inside the budget: code of kernels that is loaded, buffers of all-reduce.

    One GPU: on Hopper 0.13 GiB up to 0.17, 0.25 since 0.18, 0.2246 in 0.32; on cards with smaller kernels 0.02 to 0.04
    up to 0.17, 0.06 to 0.13 since (measured and published, see published_starts.py in the tests).  Several: 0.55 GiB
    in 0.11, 2.07 to 2.21 GiB in 0.19 on H100s with NVLink, where buffers of all-reduce grow; 0.2 over PCIe.
    """
    datacentre = engine.capability[0] in _WITH_LARGE_KERNELS
    alone, context = _alone(engine), 0.0
    if engine.release < CONTEXT_OUTSIDE and not engine.v0_engine:
        context = _CONTEXT if datacentre else _CONTEXT_SMALL
    ranks = engine.tensor_parallel_size
    if ranks == 1:
        low, likely, high = max(0.0, alone - 0.08), alone, alone + (0.07 if datacentre else 0.12)
    elif not datacentre:
        likely = _NCCL_NVLINK if engine.capability in _WITH_NVLINK else _NCCL_PCIE
        low, likely, high = 0.05, likely + alone, 1.0
    elif engine.release < MORE_BUFFERS:
        low, likely, high = 0.25, 0.55, 1.5
    else:
        likely = 2.03 + 0.03 * ranks
        low, high = (0.8, likely + 0.8) if engine.release >= PERSISTENT_COUNTED else (likely - 0.4, likely + 0.4)
    return Range(low * GIB + context * 0.6, likely * GIB + context, high * GIB + context * 1.3)


def _alone(engine: Engine) -> float:
    """GiB of one GPU; of a card that is given by its memory alone, between the kinds of cards."""
    major = engine.capability[0]
    table = _ALONE_WORKSTATION if major == _WORKSTATION else _ALONE_SMALL
    small, large = (next(gib for since, gib in one if engine.release >= since) for one in (table, _ALONE))
    return small + _kernels(engine) * (large - small)


def _kernels(engine: Engine) -> float:
    """How large a card's kernels are: 1 those of datacentre cards since Hopper, 0 those of others."""
    if engine.gpu.is_by_numbers:
        return 0.5
    return float(engine.capability[0] in _WITH_LARGE_KERNELS)


def persistent(found: Sizes, engine: Engine) -> Range:
    """Buffers that are alive after the profile run, and were counted by this release."""
    likely = float(staying(found, engine))
    low, high = likely, likely + 0.02 * GIB
    if engine.release >= PERSISTENT_COUNTED:
        rows = engine.max_num_seqs
        buffers = _STAYING
        if engine.v2_runner:  # v1/worker/gpu/sample/penalties.py: counter of int32 a token, masks
            buffers += rows * (padded_vocab(found.vocab) * 4 * (1 + _MASKS) + _PER_SEQ)
        low, likely, high = low + 0.95 * buffers, likely + buffers, high + 1.1 * buffers + 0.01 * GIB
        if engine.quantization and family(engine.quantization) in _PACKED:  # repacking leaves holes
            likely, high = likely + 0.03 * GIB, high + 0.15 * GIB
    return Range(low, likely, high)


def staying(found: Sizes, engine: Engine) -> int:
    """Bytes allocated during the profile run and kept: cuBLAS's, the experts' and the sampler's scratch memory."""
    rounding = 0.0 if engine.release >= PERSISTENT_COUNTED else _ALLOCATION
    return int(cublas_workspace(engine) + moe_workspace(found, engine) + sampler_buffer(found, engine) + rounding)


def cublas_workspace(engine: Engine) -> int:
    """PyTorch's `getChosenWorkspaceSize` (CUDABlas): 32 MiB from Hopper on, 8.1 MiB before."""
    return 32 * MIB if engine.capability >= _HOPPER else 4096 * 2 * 1024 + 16 * 8 * 1024


def moe_workspace(found: Sizes, engine: Engine) -> int:
    """Two scratch tensors of the experts: the first holds up projections or outputs, the second the activations.

    `TritonExperts.workspace_shapes` (layers/fused_moe), kept by v1/worker/workspace.py since 0.12.  Experts in
    MXFP4 on Hopper are one kernel and have none.
    """
    if not found.experts or engine.release < WORKSPACES or engine.quantization in ("mxfp4", "gpt_oss_mxfp4"):
        return 0
    return expert_scratch(found, engine)


def expert_scratch(found: Sizes, engine: Engine) -> int:
    """Bytes of both scratch tensors for max_num_batched_tokens tokens."""
    inner = found.expert_intermediate // (1 if engine.expert_parallel else engine.tensor_parallel_size)
    width = max(2 * inner, found.hidden) + max(inner, found.hidden)
    return engine.max_num_batched_tokens * max(1, found.experts_per_token) * engine.dtype_bytes * width


def sampler_buffer(found: Sizes, engine: Engine) -> int:
    """`apply_top_k_top_p_triton` of 0.17 to 0.20: a row of the vocabulary a multiprocessor, in float32."""
    if not SORTLESS_SAMPLER <= engine.release < FLASHINFER_SAMPLER or engine.v2_runner:
        return 0
    rows = min(_PROCESSORS.get(engine.capability, 100), engine.max_num_seqs)
    return rows * padded_vocab(found.vocab) * 4


def cuda_graphs(config: Mapping[str, Any], found: Sizes, engine: Engine) -> Range:
    """What vLLM sets aside for CUDA graphs: its own estimate, which is larger than what they take.

    `profile_cudagraph_memory` measures the first two of each kind and counts the others like the second.  A graph's
    cost is that of its nodes, so it goes by layers and graphs; the first also has a pool for its activations.  The
    three factors are fitted on seven starts of 0.32 (a model left out is off by 35 MiB at most).  The old runner's
    estimate is known from two starts of 0.19 only (0.84 GiB of 32 layers, 1.05 of 62).
    """
    since = V2_GRAPHS_ESTIMATED if engine.v2_runner else GRAPHS_ESTIMATED
    if engine.enforce_eager or engine.release < since:
        return _NOTHING
    full, pieces = graph_counts(engine)
    layers = -(-found.layers // engine.pipeline_parallel_size)
    if not engine.v2_runner:
        share = (full + pieces) / _ALL_GRAPHS
        likely = share * (_OLD_BASE + _OLD_LAYER * layers)
        return Range(likely * 0.4, likely, likely * 2)
    inner = 3 * found.intermediate / engine.tensor_parallel_size
    pool = _largest(engine) * engine.dtype_bytes * (inner + 3 * found.hidden)
    nodes = layers * (_FULL_GRAPH * (full - 1) + _PIECE * pieces)
    likely = nodes * (_SMALLER_NODES + (1 - _SMALLER_NODES) * _kernels(engine)) + _POOL * pool
    known = engine.capability == _HOPPER and not found.experts and engine.tensor_parallel_size == 1
    spread = 0.15 if known else 0.45
    recurrent = bool(text_config(config).get("linear_num_value_heads"))  # their first graph takes its scratch, too
    return Range(likely * (1 - spread), likely, likely * (4 if recurrent else 1 + spread))


_OLD_BASE, _OLD_LAYER, _ALL_GRAPHS = 0.616 * GIB, 0.007 * GIB, 102
_FULL_GRAPH, _PIECE, _POOL = 0.3167 * MIB, 0.2196 * MIB, 1.35
_SMALLER_NODES = 0.55  # of Hopper's: one start of 0.31 on an A100 (0.46 GiB of 32 layers)
_SIZES = (1, 2, 4, *range(8, 256, 8), *range(256, 1025, 16))  # tokens of the graphs (CompilationConfig)
_LARGEST = 512


def _largest(engine: Engine) -> int:
    """Tokens of the largest graph (`_set_cudagraph_sizes`)."""
    return min(2 * engine.max_num_seqs, _LARGEST, engine.max_num_batched_tokens)


def graph_counts(engine: Engine) -> tuple[int, int]:
    """(graphs of whole decoding steps, graphs of the pieces between attention)."""
    sizes = [size for size in _SIZES if size <= _largest(engine)]
    return max(1, sum(size <= engine.max_num_seqs for size in sizes)), max(1, len(sizes))
