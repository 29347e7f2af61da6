"""Every rule that vLLM holds a model to before it loads it: which are kept, which are broken, and what cures it.

A broken rule is an error (vLLM would end) or a warning (it starts, but).  The rules themselves are in model_checks and
rules_*; here is the table of them, in the order in which vLLM comes to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from . import (
    model_checks,
    rules_architecture,
    rules_batch,
    rules_hardware,
    rules_host,
    rules_parallel,
)
from .errors import NotServable, ServingError
from .hub_facts import HubFacts
from .model_request import ModelRequest

# What a config.json of another shape than expected may lead to.
UNEXPECTED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)

Finding = ServingError | str
Check = Callable[[ModelRequest, HubFacts], Iterator[Finding]]


@dataclass(frozen=True)
class Rule:
    """One rule.  `ok`: kept; `message`: what is wrong, or what was found right; `key`: the setting it is about."""

    rule: str
    ok: bool
    message: str
    cure: str = ""
    level: Literal["error", "warning"] = "error"
    key: str = ""

    @property
    def broken(self) -> bool:
        """True when vLLM would not start for it."""
        return not self.ok and self.level == "error"


class _Row(NamedTuple):
    rule: str
    check: Check
    kept: str
    of_config: bool = False  # not asked when extra_args override the config


_TABLE: tuple[_Row, ...] = (
    _Row("vllm-version", rules_batch.known_release, "The release of vLLM is known here."),
    _Row("architecture", rules_architecture.architecture, "vLLM has the architecture."),
    _Row("trust-remote-code", rules_architecture.remote_code, "No code of the repo's own is needed."),
    _Row("extra-args", rules_batch.extra_args, "vLLM takes the flags."),
    _Row("quantization-method", rules_batch.quantization_method, "vLLM has the quantization."),
    _Row("quantization", model_checks.quantization, "The weights carry what is asked for."),
    _Row("quantization-capability", rules_hardware.quantization_capability, "The card can do the quantization."),
    _Row("quantization-dtype", rules_hardware.quantization_dtype, "The dtype suits the quantization."),
    _Row("dtype", model_checks.dtype, "The dtype suits the model."),
    _Row("dtype-capability", rules_hardware.dtype_capability, "The card can do the dtype."),
    _Row("gpu-kernels", rules_hardware.kernels, "vLLM is built for the card."),
    _Row("kv-cache-dtype", rules_hardware.kv_cache_dtype, "The card can do the KV cache's dtype."),
    _Row("max-model-len", model_checks.length, "The model was made for this length.", of_config=True),
    _Row("max-num-batched-tokens", rules_batch.batched_tokens, "A step holds every sequence."),
    _Row("gpu-memory-utilization", rules_batch.utilization, "The share of the card is above 0 and at most 1."),
    *(
        _Row(rule, partial(rules_parallel.parallel, rules=(rule,)), f"Divisible: {what}.", of_config=True)
        for rule, (what, _) in rules_parallel.PARTS.items()
    ),
    _Row("tensor-parallel-family", rules_parallel.family_is_divided, "vLLM can divide the family."),
    _Row("gpus", rules_parallel.enough_gpus, "There are as many GPUs as it takes."),
    _Row("pipeline-parallel", rules_parallel.enough_layers, "Every stage has a layer."),
    _Row("shmem", rules_host.shared_memory, "/dev/shm is large enough."),
    _Row("bin-weights", model_checks.weights, "The weights are safetensors."),
    _Row("chat-template", model_checks.chat, "It has a chat template, or none is known to be missing."),
)
_REPO = "repo"


def rules_of(request: ModelRequest, facts: HubFacts, largest_bin: int = 0) -> tuple[Rule, ...]:
    """Every rule in vLLM's order.  `largest_bin`: bytes of the largest .bin file, as far as it is known.

    Of a repo that holds nothing to load, only that is said: the rest would be said of numbers that aren't there.
    """
    found = list(model_checks.contents(request, facts))
    repo = _rules(_REPO, found, "The repo has a model that vLLM can load.")
    if any(isinstance(finding, NotServable) for finding in found) or not facts.config:
        return tuple(repo)
    for row in _TABLE:
        if not (row.of_config and request.config_is_overridden):
            repo += _rules(row.rule, _found(row.check, request, facts), row.kept)
    memory = list(rules_host.host_memory(request, facts, largest_bin))
    return (*repo, *_rules("host-memory", memory, "The session's memory is large enough to load."))


def _found(check: Check, request: ModelRequest, facts: HubFacts) -> list[Finding]:
    """A config.json is anybody's: what has another shape there than a check expects must not end a preview."""
    try:
        return list(check(request, facts))
    except UNEXPECTED as error:
        return [f"Not checked: the config isn't understood ({type(error).__name__}: {error})."]


def rule_of(error: ServingError) -> Rule:
    """What the Hub said of a model, as a broken rule."""
    return Rule(error.code, False, error.what, error.cure, "error", error.key)


def _rules(rule: str, found: list[Finding], kept: str) -> list[Rule]:
    if not found:
        return [Rule(rule, True, kept)]
    return [
        Rule(rule, False, finding, level="warning")
        if isinstance(finding, str)
        else Rule(rule, False, finding.what, finding.cure, "error", finding.key)
        for finding in found
    ]
