"""What a started vLLM says of its memory: in its start log, and in the metric `vllm:cache_config_info`.

The words by release (`gpu_model_runner.py`, `gpu_worker.py`, `kv_cache_utils.py`, before 0.10 also V0's
`model_runner.py` and `worker.py`):

    weights      "Loading model weights took 14.99 GB" (to 0.7), "Model loading took 14.99 GiB and 3.2 seconds" (0.8),
                 "Model loading took 14.99 GiB memory and 3.2 seconds" (0.14); once for each rank
    KV cache     "Available KV cache memory: 12.34 GiB"; V0: "memory reserved for KV Cache is 12.34GiB"
    its tokens   "GPU KV cache size: 412,345 tokens"; V0: "# GPU blocks: 27348", of 16 tokens each
    requests     "Maximum concurrency for 8,192 tokens per request: 50.34x"

Where ranks differ, the one that decides counts: the most weights, the least cache.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from .log_lines import lines_of

_V0_BLOCK = 16  # tokens
_WEIGHTS = re.compile(r"(?:Model loading|Loading model weights) took ([\d.]+) Gi?B")
_KV_CACHE = re.compile(r"(?:Available KV cache memory:|reserved for KV Cache is) *(-?[\d.]+) ?GiB")
_TOKENS = re.compile(r"KV cache size: ([\d,]+) tokens")
_BLOCKS = re.compile(r"# (?:GPU|cuda) blocks: (\d+)")
_CONCURRENCY = re.compile(r"Maximum concurrency for [\d,]+ tokens per request: ([\d.]+)x")
_METRIC = re.compile(r"^vllm:cache_config_info\{(.*)\} ", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class Figures:
    """Of one GPU: GiB of weights and of the KV cache; tokens in it; requests of max_model_len at once.

    None where nothing was said.
    """

    weights_gib: float | None = None
    kv_cache_gib: float | None = None
    kv_cache_tokens: int | None = None
    max_concurrency: float | None = None

    def __bool__(self) -> bool:
        return any(value is not None for value in asdict(self).values())

    def as_dict(self) -> dict[str, Any]:
        """What is known, by name."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def figures_of(log_text: str | None, metrics_text: str | None = None) -> Figures:
    """What the log says, and for what it leaves open, the metrics."""
    text = "\n".join(lines_of(log_text))
    info = _cache_config(metrics_text or "")
    tokens = [int(found.replace(",", "")) for found in _TOKENS.findall(text)]
    blocks = [int(found) * _V0_BLOCK for found in _BLOCKS.findall(text)]
    return Figures(
        weights_gib=max(map(float, _WEIGHTS.findall(text)), default=None),
        kv_cache_gib=min(map(float, _KV_CACHE.findall(text)), default=None),
        kv_cache_tokens=min(tokens or blocks, default=None) or _tokens(info),
        max_concurrency=min(map(float, _CONCURRENCY.findall(text)), default=None)
        or _number(info.get("kv_cache_max_concurrency")),
    )


def _cache_config(text: str) -> dict[str, str]:
    """The labels of the gauge; of several engines those of the first."""
    match = _METRIC.search(text)
    return dict(_LABEL.findall(match[1])) if match else {}


def _tokens(info: dict[str, str]) -> int | None:
    """0.30 on say the tokens themselves; before it, blocks of one size."""
    said = _number(info.get("kv_cache_size_tokens"))
    if said is not None:
        return int(said)
    blocks, size = _number(info.get("num_gpu_blocks")), _number(info.get("block_size"))
    return int(blocks * size) if blocks and size else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:  # "None"
        return None
