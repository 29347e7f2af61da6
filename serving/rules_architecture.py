"""Whether a release of vLLM has a model's architecture, or can run it by other code.

As ModelRegistry.inspect_model_cls of vLLM 0.32.0 decides: an architecture of its own registry; else one that the
Transformers library has and that declares itself fit for vLLM; else a class that the repo brings (`auto_map`), which
needs trust_remote_code; else an error.  data/vllm_architectures.json is made from the registry of each release.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .errors import InvalidArgument, NotServable, ServingError
from .hub_facts import HubFacts
from .model_request import ModelRequest
from .versions import minor

Finding = ServingError | str

_DATA = Path(__file__).with_name("data") / "vllm_architectures.json"
_CODE_OF_CONFIG = "AutoConfig"


@cache
def _table() -> Mapping[str, Any]:
    table: dict[str, Any] = json.loads(_DATA.read_text(encoding="utf-8"))
    for names in ("transformers_backend", "model_types"):
        table[names] = frozenset(table[names])
    return table


def architecture(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """The release has no code for it."""
    names = facts.architectures
    if not names or any(_why_not(name, request.release) is None for name in names):
        return
    name, why = names[0], _why_not(names[0], request.release)
    if _own_code(facts):
        yield f"vLLM {_shown(request)} has no {name} of its own, and runs the repo's code: memory isn't certain."
    elif name in _table()["transformers_backend"]:
        yield f"vLLM {_shown(request)} runs {name} by its Transformers backend: memory isn't certain."
    else:
        yield NotServable(f"vLLM {_shown(request)} doesn't know the architecture {name}: {why}.", _cure(name))


def runs_by_transformers(request: ModelRequest, facts: HubFacts) -> bool:
    """True when vLLM has no code of its own for the model, and takes that of Transformers or of the repo."""
    names = facts.architectures
    if any(_why_not(name, request.release) is None for name in names):
        since: str | None = _row(names[0]).get("transformers_since")
        return since is not None and request.release >= minor(since)
    return bool(names)


def remote_code(request: ModelRequest, facts: HubFacts) -> Iterator[Finding]:
    """The repo's own code is needed, but not allowed: for its config, or for its model class."""
    if request.trust_remote_code:
        return
    known = any(_why_not(name, request.release) is None for name in facts.architectures)
    config_only = _brings(facts, _CODE_OF_CONFIG) and facts.model_type not in _table()["model_types"]
    if config_only or (not known and _own_code(facts)):
        what = f"{facts.repo_id} brings its own code, which vLLM runs only when it is trusted."
        cure = "Read that code, pin the revision, and set trust_remote_code."
        yield InvalidArgument(what, cure, key="trust_remote_code")


def _own_code(facts: HubFacts) -> bool:
    """True when the repo has a model class of its own."""
    return _brings(facts, "AutoModel")


def _brings(facts: HubFacts, kind: str) -> bool:
    auto_map = facts.config.get("auto_map")
    return isinstance(auto_map, Mapping) and any(str(name).startswith(kind) for name in auto_map)


def _row(name: str) -> Mapping[str, Any]:
    row: Mapping[str, Any] = _table()["architectures"].get(name) or {}
    return row


def _why_not(name: str, release: tuple[int, int]) -> str | None:
    """Why the release doesn't have it; None when it does, or when that can't be told."""
    if name not in _table()["architectures"]:
        return "no release does" if release <= minor(_table()["releases"][-1]) else None
    row = _row(name)
    if (not_yet := row.get("not_yet")) and release <= minor(not_yet):
        return f"it came after {not_yet}"
    if (last := row.get("gone_after")) and release >= minor(row.get("gone_in", last)) and release > minor(last):
        return f"{last} was the last release with it"
    return None


def _cure(name: str) -> str:
    row = _row(name)
    if row.get("gone_after"):
        return f"Use an image with vLLM {row['gone_after']}, or another model."
    return "Use an image with a newer vLLM, or another model." if row else "Use a model that vLLM has."


def _shown(request: ModelRequest) -> str:
    return f"{request.release[0]}.{request.release[1]}"
