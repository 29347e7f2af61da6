"""One model as it is meant to be served: all that a check or an estimate goes by, before defaults are filled in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from .arguments import ExtraArgs, parse_extra_args
from .flags import table
from .gpus import Gpu
from .values import converted


@dataclass(frozen=True)
class ModelRequest:
    """One model as it is meant to be served.  None, "auto" or the default: vLLM decides.

    token        the Hub token that it will be deployed with
    gpu, gpus    the card, and how many of it the session has; `gpu` None: not known, so memory isn't judged
    host_memory, shmem   bytes of the session's memory and of its /dev/shm; None: not known
    extra_args   flags in them win over the fields of the same name
    """

    name: str
    model: str
    revision: str | None = None
    quantization: str | None = None
    max_model_len: int | str | None = None
    tensor_parallel_size: int = 1
    dtype: str = "auto"
    token: str | None = field(default=None, repr=False)
    vllm_version: str | None = None
    extra_args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    gpu: Gpu | None = None
    gpus: float = 1
    kv_cache_dtype: str | None = None
    gpu_memory_utilization: float | None = None
    max_num_seqs: int | None = None
    max_num_batched_tokens: int | None = None
    enforce_eager: bool = False
    trust_remote_code: bool = False
    host_memory: int | None = None
    shmem: int | None = None

    @cached_property
    def extra(self) -> ExtraArgs:
        return parse_extra_args(self.extra_args, self.vllm_version)

    @property
    def config_is_overridden(self) -> bool:
        """True when vLLM won't go by the config.json of the repo."""
        return any(self.extra.last(dest) for dest in ("hf_overrides", "hf_config_path", "rope_scaling", "rope_theta"))

    @property
    def release(self) -> tuple[int, int]:
        return table().release(self.vllm_version)

    def number(self, dest: str) -> int | None:
        """The whole number that extra_args give to a flag, such as `max_num_seqs`; None without, or for no number."""
        argument = self.extra.last(dest)
        try:
            value = converted("human_int", argument.values[0]) if argument and argument.values else None
        except ValueError:
            return None
        return value if isinstance(value, int) else None

    @property
    def seqs(self) -> int | None:
        """max_num_seqs as asked for."""
        return self.number("max_num_seqs") or self.max_num_seqs

    @property
    def batched_tokens(self) -> int | None:
        """max_num_batched_tokens as asked for."""
        return self.number("max_num_batched_tokens") or self.max_num_batched_tokens

    @property
    def is_eager(self) -> bool:
        """True when no CUDA graphs are captured; the last flag counts."""
        if self.extra.last("enforce_eager"):
            return self.extra.is_set("enforce_eager")
        return self.enforce_eager

    @property
    def gpus_needed(self) -> int:
        """GPUs of one node that vLLM takes: tensor times pipeline times data parallel size."""
        parts = (self.number("pipeline_parallel_size") or 1, self.number("data_parallel_size") or 1)
        return self.tensor_parallel_size * parts[0] * parts[1]
