"""The replace-or-update table: what a changed input does to a living session."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache
from typing import Annotated, Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from .session_inputs import SessionInputs


class Effect(Enum):
    """What a changed input does to the session."""

    REPLACE = "replace"  # Backend.AI can't change it in a living session
    RENAME = "rename"  # changed in place, on the cluster
    RECORD = "record"  # changed in place, in the state only


class Change(NamedTuple):
    effect: Effect
    why: str


_FIXED = Change(Effect.REPLACE, "fixed when the session is created")
_ARGUMENT = Change(Effect.REPLACE, "an argument of vllm serve, read at its start")
_JUDGED = Change(Effect.RECORD, "what the verdict goes by; the session doesn't know of it")

# The replace-or-update table: every input has a row.
CHANGES: dict[str, Change] = {
    "session_name": Change(Effect.RENAME, "the one thing that Backend.AI can change in a living session"),
    "owner": Change(Effect.REPLACE, "the session belongs to another resource"),
    "model": _ARGUMENT,
    "image": _FIXED,
    "resource_group": _FIXED,
    "domain": _FIXED,
    "project": _FIXED,
    "revision": _ARGUMENT,
    "vllm_version": Change(Effect.RECORD, "says what the image holds; a command line that it changes replaces"),
    "gpus": _FIXED,
    "gpu_unit": _FIXED,
    "cpu": _FIXED,
    "memory": _FIXED,
    "shmem": _FIXED,
    "tensor_parallel_size": _ARGUMENT,
    "max_model_len": _ARGUMENT,
    "dtype": _ARGUMENT,
    "kv_cache_dtype": _ARGUMENT,
    "quantization": _ARGUMENT,
    "gpu_memory_utilization": _ARGUMENT,
    "trust_remote_code": _ARGUMENT,
    "max_num_seqs": _ARGUMENT,
    "max_num_batched_tokens": _ARGUMENT,
    "enforce_eager": _ARGUMENT,
    "served_model_name": _ARGUMENT,
    "port": _FIXED,
    "env": Change(Effect.REPLACE, "the environment of a process is fixed at its start"),
    "extra_args": _ARGUMENT,
    "mounts": _FIXED,
    "model_cache": _FIXED,
    "gpu": _JUDGED,
    "gpu_memory_gib": _JUDGED,
    "compute_capability": _JUDGED,
    "allow_unverified": _JUDGED,
    "max_lifetime": _FIXED,
    "api_key": Change(Effect.REPLACE, "the environment of a process is fixed at its start"),
    # The token is used while loading only, and it comes from each developer's environment: another one must not
    # take a running model down.
    "hf_token": Change(Effect.RECORD, "used while loading only; the next start takes the new one"),
}


def changed(olds: Mapping[str, Any], news: Mapping[str, Any]) -> dict[str, Change]:
    """The rows of the inputs that differ.  A value that isn't known yet counts as different."""
    return {
        key: row for key, row in CHANGES.items() if _canonical(key, olds.get(key)) != _canonical(key, news.get(key))
    }


@cache
def _adapter(key: str) -> TypeAdapter[Any]:
    field = SessionInputs.model_fields[key]
    return TypeAdapter(Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation)


def _canonical(key: str, value: Any) -> Any:
    """A value in a form in which equal meanings are equal: 2.0 is 2, 16GB is 16g, what is absent is the default."""
    if value is None:
        field = SessionInputs.model_fields[key]
        return None if field.is_required() else field.get_default(call_default_factory=True)
    try:
        return _adapter(key).validate_python(value)
    except ValidationError:  # not known yet, or of another release: equal to itself only
        return value
