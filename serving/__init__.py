"""What we know about models, GPUs and vLLM.  No Pulumi, no cluster; what is heavy loads when it is used.

command, arguments, flags   the command line of `vllm serve`, checked as vLLM's own parser would, and beyond
repo_id, hub, hub_facts     a model on the Hugging Face Hub: its name, its facts
model_report, model_checks  what would keep a model from starting, before a GPU is taken
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
    )
    from .hub import fetch
    from .hub_facts import HubFacts
    from .model_report import ModelReport, ModelRequest, preflight
    from .readiness import NotReady, Ready, probe
    from .repo_id import RepoRef, parse_repo_id
    from .startup_log import Phase, Stage, phase_of
    from .versions import vllm_version_of_image

__all__ = [
    "Cause",
    "GatedModel",
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
    "ParallelSizeMismatch",
    "Phase",
    "QuantizationMismatch",
    "Ready",
    "RepoRef",
    "RevisionNotFound",
    "ServeSettings",
    "ServingError",
    "Stage",
    "argument_problems",
    "explain",
    "fetch",
    "max_model_len_tokens",
    "parse_repo_id",
    "phase_of",
    "preflight",
    "probe",
    "serve_argv",
    "startup_command",
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
    "model_report": ("ModelReport", "ModelRequest", "preflight"),
    "readiness": ("NotReady", "Ready", "probe"),
    "repo_id": ("RepoRef", "parse_repo_id"),
    "startup_log": ("Phase", "Stage", "phase_of"),
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
