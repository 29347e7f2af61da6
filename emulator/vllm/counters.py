"""What /metrics says: the series that operators and a readiness probe read, as Prometheus text."""

import argparse
import json
import threading
from typing import Any

from emulator.vllm.memory import BLOCK, Memory

_TTFT_BUCKETS = (0.001, 0.01, 0.1, 1.0, 10.0)  # seconds

_Sample = tuple[str, dict[str, Any], float]  # suffix of the name, labels, value


class Counters:
    """Requests under way and done, tokens, waits. Safe from any thread."""

    def __init__(self, args: argparse.Namespace, sizes: Memory, model: str) -> None:
        self._args, self._sizes, self._model = args, sizes, model
        self._lock = threading.Lock()
        self._open = self._open_tokens = self._prompt_tokens = self._generation_tokens = 0
        self._finished = {"stop": 0, "length": 0}
        self._waits: list[float] = []

    def begin(self, usage: dict[str, Any]) -> None:
        with self._lock:
            self._open += 1
            self._open_tokens += usage["total_tokens"]

    def end(self, usage: dict[str, Any], reasons: list[str], first_token_seconds: float) -> None:
        with self._lock:
            self._open -= 1
            self._open_tokens -= usage["total_tokens"]
            self._prompt_tokens += usage["prompt_tokens"]
            self._generation_tokens += usage["completion_tokens"]
            self._waits.append(first_token_seconds)
            for reason in reasons:
                self._finished[reason] += 1

    def text(self) -> str:
        with self._lock:
            running = min(self._open, self._args.max_num_seqs)
            single = {
                "num_requests_running gauge": running,
                "num_requests_waiting gauge": self._open - running,
                "kv_cache_usage_perc gauge": min(1.0, self._open_tokens / self._sizes.tokens),
                "prompt_tokens_total counter": self._prompt_tokens,
                "generation_tokens_total counter": self._generation_tokens,
            }
            finished: list[_Sample] = [("", {"finished_reason": why}, n) for why, n in self._finished.items()]
            waits = list(self._waits)
        buckets: list[_Sample] = [("_bucket", {"le": at}, sum(wait <= at for wait in waits)) for at in _TTFT_BUCKETS]
        buckets += [
            ("_bucket", {"le": "+Inf"}, len(waits)),
            ("_count", {}, len(waits)),
            ("_sum", {}, sum(waits)),
        ]
        lines = self._series("cache_config_info gauge", [("", self._cache(), 1)])
        for head, value in single.items():
            lines += self._series(head, [("", {}, value)])
        lines += self._series("request_success_total counter", finished)
        lines += self._series("time_to_first_token_seconds histogram", buckets)
        return "\n".join(lines) + "\n"

    def _cache(self) -> dict[str, Any]:
        return {
            "block_size": BLOCK,
            "cache_dtype": self._args.kv_cache_dtype,
            "gpu_memory_utilization": self._args.gpu_memory_utilization,
            "kv_cache_max_concurrency": round(self._sizes.concurrency, 3),
            "kv_cache_size_tokens": self._sizes.tokens,
            "num_gpu_blocks": self._sizes.blocks,
        }

    def _series(self, head: str, samples: list[_Sample]) -> list[str]:
        name, kind = head.split()
        lines = [f"# HELP vllm:{name} {name.replace('_', ' ')}", f"# TYPE vllm:{name} {kind}"]
        for suffix, labels, value in samples:
            named = {"engine": 0, "model_name": self._model} | labels
            text = ",".join(f"{key}={json.dumps(str(label))}" for key, label in named.items())
            lines.append(f"vllm:{name}{suffix}{{{text}}} {float(value)}")
        return lines
