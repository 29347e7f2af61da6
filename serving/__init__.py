"""What we know about models, GPUs and vLLM.  No Pulumi, no cluster; what is heavy loads when it is used.

command, arguments, flags   the command line of `vllm serve`, checked as vLLM's own parser would, and beyond
repo_id, hub, hub_facts     a model on the Hugging Face Hub: its name, its facts
model_report, model_checks  what would keep a model from starting, before a GPU is taken
gpus                        cards by the names people use, or by numbers
rules, rules_*              every rule that vLLM holds a model to, broken or kept
weights, kv_cache, memory   what a model takes of a GPU, in bytes
verdict, verdicts, fit      START, MAYBE or WON'T START; cures: what would make it start; verdict_*: shown to people
readiness                   whether a server answers, proved by a completion
startup_log, causes         what a starting vLLM is doing, and why it ended
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .causes import Cause, explain
    from .command import ServeSettings, argument_problems, max_model_len_tokens, serve_argv, startup_command
    from .errors import (
        GatedModel,
        HubUnreachable,
        InvalidArgument,
        InvalidArguments,
        InvalidHubToken,
        ModelDisabled,
        ModelError,
        ModelLenTooLong,
        ModelNotFound,
        NotServable,
        ParallelSizeMismatch,
        QuantizationMismatch,
        RevisionNotFound,
        ServingError,
        UnknownGpu,
    )
    from .fit import Outcome
    from .gpus import Gpu, find_gpu, gpu_of_numbers
    from .hub import fetch
    from .hub_facts import HubFacts
    from .model_report import ModelReport, preflight
    from .model_request import ModelRequest
    from .readiness import NotReady, Ready, probe, served_models
    from .repo_id import RepoRef, parse_repo_id
    from .rules import Rule
    from .startup_log import Phase, Stage, phase_of
    from .verdict import Verdict, judge
    from .verdict_table import verdict_markdown
    from .versions import vllm_version_of_image

__all__ = [
    "Cause",
    "GatedModel",
    "Gpu",
    "HubFacts",
    "HubUnreachable",
    "InvalidArgument",
    "InvalidArguments",
    "InvalidHubToken",
    "ModelDisabled",
    "ModelError",
    "ModelLenTooLong",
    "ModelNotFound",
    "ModelReport",
    "ModelRequest",
    "NotReady",
    "NotServable",
    "Outcome",
    "ParallelSizeMismatch",
    "Phase",
    "QuantizationMismatch",
    "Ready",
    "RepoRef",
    "RevisionNotFound",
    "Rule",
    "ServeSettings",
    "ServingError",
    "Stage",
    "UnknownGpu",
    "Verdict",
    "argument_problems",
    "explain",
    "fetch",
    "find_gpu",
    "gpu_of_numbers",
    "judge",
    "max_model_len_tokens",
    "parse_repo_id",
    "phase_of",
    "preflight",
    "probe",
    "serve_argv",
    "served_models",
    "startup_command",
    "verdict_markdown",
    "vllm_version_of_image",
]

# Names that live elsewhere than in errors.
_HOMES = {
    "causes": ("Cause", "explain"),
    "command": (
        "ServeSettings",
        "argument_problems",
        "max_model_len_tokens",
        "serve_argv",
        "startup_command",
    ),
    "hub": ("fetch",),
    "hub_facts": ("HubFacts",),
    "fit": ("Outcome",),
    "gpus": ("Gpu", "find_gpu", "gpu_of_numbers"),
    "model_report": ("ModelReport", "preflight"),
    "model_request": ("ModelRequest",),
    "readiness": ("NotReady", "Ready", "probe", "served_models"),
    "repo_id": ("RepoRef", "parse_repo_id"),
    "rules": ("Rule",),
    "startup_log": ("Phase", "Stage", "phase_of"),
    "verdict": ("Verdict", "judge"),
    "verdict_table": ("verdict_markdown",),
    "versions": ("vllm_version_of_image",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME_OF.get(name, 'errors')}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
