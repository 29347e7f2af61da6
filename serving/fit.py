"""Whether what is left of a GPU holds the KV cache that vLLM demands before it serves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from .engine import Engine
from .estimates import GIB, MemoryEstimate, Range
from .kv_cache import KvLayout
from .rules import Rule

EDGE = 0.02  # of the budget: how near to the edge a likely value doesn't decide
CONTEXT_GIB = 0.51  # of CUDA's context, on the card but outside the budget: vLLM wants the budget free beside it
_LEAST_CONTEXT_GIB = 0.2  # no card has been seen with less


class Outcome(StrEnum):
    """What the verdict is."""

    START = "START"
    MAYBE = "MAYBE"
    WONT_START = "WONT_START"

    @property
    def shown(self) -> str:
        """As people read it."""
        return "WON'T START" if self is Outcome.WONT_START else self.value


@dataclass(frozen=True)
class Room:
    """One GPU: how its memory is used, and how the KV cache is laid out (None: not known).

    `load_peak`: bytes that loading takes for a moment, where that is more than the weights.
    """

    engine: Engine
    memory: MemoryEstimate
    layout: KvLayout | None
    load_peak: float = 0.0

    @property
    def available(self) -> Range:
        """Bytes that are left for the KV cache."""
        return self.memory.kv_cache

    def outcome(self, length: int) -> Outcome:
        """Whether `length` tokens of one request fit, as vLLM's `_check_enough_kv_cache_memory` demands.

        START when the low end holds them, WON'T START when the high end doesn't.  Between the two the likely value
        decides as long as it is further than EDGE of the budget from the least that starts; else it is MAYBE.
        """
        edge = EDGE * self.memory.budget
        if self.holds(max(self.available.low, self.available.likely - edge), length):
            return Outcome.START
        if not self.holds(min(self.available.high, self.available.likely + edge), length):
            return Outcome.WONT_START
        return Outcome.MAYBE

    def holds(self, room: float, length: int) -> bool:
        """Whether `room` bytes are enough for one request of `length` tokens."""
        if self.layout is None:
            return room > 0
        return room > 0 and self.layout.fits(room, length)

    def rule(self, length: int) -> Rule:
        """The verdict of memory as a rule."""
        outcome = self.outcome(length)
        if self.layout is None or self.available.high <= 0 or not length:
            return Rule("memory", outcome is not Outcome.WONT_START, self._shares(), key="gpus")
        needed = self.layout.needed_bytes(length) / GIB
        left = f"{max(self.available.gib, 0):.2f} GiB are left for it"
        if outcome is Outcome.MAYBE:
            left = f"{max(self.available.low, 0) / GIB:.2f} to {self.available.high / GIB:.2f} GiB are left for it"
        what = f"One request of {length} tokens needs {needed:.2f} GiB of KV cache, and {left}."
        level: Literal["error", "warning"] = "warning" if outcome is Outcome.MAYBE else "error"
        return Rule("memory", outcome is Outcome.START, what, level=level, key="max_model_len")

    def rules(self, length: int) -> tuple[Rule, ...]:
        """What memory says: of CUDA itself, of loading, and of `length` tokens."""
        return (self.free_memory(), self.loading(), self.rule(length))

    def loading(self) -> Rule:
        """The weights must fit the card while they are loaded, whatever the budget: else CUDA is out of memory."""
        peak = max(self.load_peak, self.memory.weights.low)
        card = max(0.0, self.engine.gpu.visible_gib - CONTEXT_GIB) * GIB
        if peak <= card:
            return Rule("loading", True, "The card holds the weights while they are loaded.")
        what = f"Loading the weights takes {peak / GIB:.2f} GiB of each GPU, and there are {card / GIB:.2f}."
        return Rule("loading", False, what, "Use more GPUs, a larger card, or quantized weights.", key="gpus")

    def free_memory(self) -> Rule:
        """As vLLM's "Free memory on device … is less than desired GPU memory utilization".

        With kv_cache_memory_bytes the budget is what all comes to, and the card must have that.
        """
        card, budget = self.engine.gpu.visible_gib, self.memory.budget / GIB
        beside = card - budget
        if beside >= CONTEXT_GIB:
            return Rule("free-memory", True, "Beside the budget there is room for CUDA itself.")
        key = "gpu_memory_utilization" if self.engine.kv_cache_memory_bytes is None else "extra_args"
        what = (
            f"The budget is {budget:.2f} of the card's {card:.2f} GiB, and CUDA itself takes up to {CONTEXT_GIB} GiB "
            "beside it."
        )
        cure = (
            "Set gpu_memory_utilization to 0.95 or less." if key != "extra_args" else "Lower --kv-cache-memory-bytes."
        )
        level: Literal["error", "warning"] = "error" if beside < _LEAST_CONTEXT_GIB else "warning"
        return Rule("free-memory", False, what, cure, level, key)

    def _shares(self) -> str:
        memory = self.memory
        other = memory.non_torch.plus(memory.persistent).plus(memory.activation).plus(memory.cuda_graphs)
        left = memory.kv_cache.gib
        end = f"{left:.2f} GiB are left." if left > 0 else f"that is {-left:.2f} GiB too much."
        return (
            f"Of each GPU's {memory.budget / GIB:.2f} GiB ({self.engine.gpu_memory_utilization:g} of the card), "
            f"the weights take {memory.weights.gib:.2f} and running them {other.gib:.2f}: {end}"
        )
