"""Engines for tests of what follows from them."""

from typing import Any

from serving.engine import Engine
from serving.gpus import Gpu
from serving.hub_facts import Access, HubFacts, contents_of
from serving.tensors import Tensors

H200 = Gpu("H200", 139.8, (9, 0))
A100 = Gpu("A100-80GB", 79.2, (8, 0))
B200 = Gpu("B200", 178.0, (10, 0))

_DEFAULTS: dict[str, Any] = {
    "release": (0, 32),
    "gpu": H200,
    "tensor_parallel_size": 1,
    "pipeline_parallel_size": 1,
    "data_parallel_size": 1,
    "dtype": "bfloat16",
    "dtype_bytes": 2,
    "quantization": None,
    "kv_cache_dtype": "auto",
    "kv_dtype_bytes": 2,
    "max_model_len": 4096,
    "auto_len": False,
    "max_num_seqs": 256,
    "max_num_batched_tokens": 2048,
    "gpu_memory_utilization": 0.92,
    "enforce_eager": True,
    "block_size": 16,
    "sliding_window_off": False,
    "hybrid_groups_off": False,
    "prefix_caching": None,
    "v2_runner": True,
    "multimodal": False,
}


def engine(**changes: Any) -> Engine:
    """An engine of the newest release on an H200, but for `changes`."""
    return Engine(**(_DEFAULTS | changes))


def facts(
    config: dict[str, Any], tensors: Tensors | None = None, names: tuple[str, ...] = ("model.safetensors",)
) -> HubFacts:
    """A repo with this config and these tensors."""
    access = Access(repo_id="org/model", sha="0" * 40, gated=False, private=False, disabled=False)
    return HubFacts(access=access, contents=contents_of(["config.json", *names], config, None, tensors=tensors))
