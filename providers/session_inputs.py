"""The inputs of a VLLMModelSession: their types and what can be wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from . import fields
from .problems import Problem, problems_of


class SessionInputs(BaseModel):
    """What one serving session is made from."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    session_name: fields.SessionName
    owner: Annotated[str, Field(pattern=r"^[0-9a-f]{12}\.[0-9a-f]{6}$")]  # StackIdentity.owner
    model: fields.Text
    image: fields.Text
    resource_group: fields.Text = "default"
    domain: fields.Text = "default"
    project: fields.Text = "default"
    revision: fields.Text | None = None
    vllm_version: fields.Text | None = None
    gpus: fields.Gpus = 1
    gpu_unit: fields.GpuUnit = "cuda.device"
    cpu: fields.Count = 4
    memory: fields.Size = "16g"
    shmem: fields.Size = "1g"
    tensor_parallel_size: fields.Count = 1
    max_model_len: fields.MaxModelLen = 4096
    dtype: fields.Text = "auto"
    kv_cache_dtype: fields.Text | None = None
    quantization: fields.Text | None = None
    gpu_memory_utilization: fields.Share | None = None
    trust_remote_code: bool = False
    max_num_seqs: fields.Count | None = None
    max_num_batched_tokens: fields.Count | None = None
    enforce_eager: bool = False
    served_model_name: fields.Text
    port: fields.Port = 8000
    env: fields.Environment = Field(default_factory=dict)
    extra_args: tuple[str, ...] = ()
    mounts: fields.Mounts = Field(default_factory=dict)
    model_cache: fields.Text | None = None  # a folder that is mounted as the Hub cache
    gpu: fields.Text | None = None  # the card's name; it and what follows are for the verdict only
    gpu_memory_gib: fields.Gib | None = None
    compute_capability: fields.Capability | None = None
    allow_unverified: bool = False
    max_lifetime: fields.Lifetime | None = None  # seconds from its start, then the cluster ends it
    api_key: fields.ApiKey
    hf_token: fields.Text | None = None


def combination_problems(inputs: SessionInputs) -> list[Problem]:
    """What can't be true of several values at once."""
    found: list[Problem] = []
    gpus, parallel = inputs.gpus, inputs.tensor_parallel_size
    whole = inputs.gpu_unit == "cuda.device"
    if whole and gpus != int(gpus):
        cure = "Use whole cards, or set cluster.gpu_unit to cuda.shares where the cluster has them."
        found.append(Problem("gpus", f"{gpus:g} is no whole number of cards.", cure))
    if parallel > max(gpus, 1):
        cure = f"Set gpus to {parallel}, or tensor_parallel_size to {int(max(gpus, 1))}."
        found.append(Problem("tensor_parallel_size", f"{parallel} needs as many GPUs, but gpus is {gpus:g}.", cure))
    if fields.size_in_bytes(inputs.shmem) >= fields.size_in_bytes(inputs.memory):
        cure = "Raise memory or lower shmem: shared memory is a part of memory."
        found.append(Problem("shmem", f"{inputs.shmem} isn't less than memory, {inputs.memory}.", cure))
    return [*found, *_card_problems(inputs), *_cache_problems(inputs)]


def _card_problems(inputs: SessionInputs) -> Iterator[Problem]:
    if inputs.gpu and inputs.gpu_memory_gib:
        yield Problem("gpu_memory_gib", "is set beside `gpu`.", "Say the card once: its name, or its numbers.")
    if inputs.compute_capability and not inputs.gpu_memory_gib:
        yield Problem("compute_capability", "is set without `gpu_memory_gib`.", "Add it, or name the card as `gpu`.")


def _cache_problems(inputs: SessionInputs) -> Iterator[Problem]:
    if inputs.model_cache is None:
        return
    if inputs.model_cache in inputs.mounts:
        cure = "Take it out of one of them."
        yield Problem("model_cache", f"'{inputs.model_cache}' is among the mounts, too.", cure)
    for variable in ("HF_HOME", "HF_HUB_CACHE"):
        if variable in inputs.env:
            what = f"decides where the Hub cache is, and so does {variable} in env."
            yield Problem("model_cache", what, "Take out one of them.")


def parse(props: Mapping[str, Any]) -> SessionInputs:
    """The typed inputs; pydantic.ValidationError when they aren't sound."""
    return SessionInputs.model_validate({k: v for k, v in props.items() if k in SessionInputs.model_fields})


def check(news: Mapping[str, Any], unknown: frozenset[str]) -> list[Problem]:
    """All problems of the inputs; those whose value isn't known yet are left out."""
    known = {k: v for k, v in news.items() if k not in unknown and not k.startswith("__") and v is not None}
    try:
        inputs = SessionInputs.model_validate(known | {k: _STAND_INS[k] for k in unknown if k in _STAND_INS})
    except ValidationError as error:
        found = problems_of(error, SessionInputs)
        return [p for p in found if p.path.split(".")[0] not in unknown]
    return [p for p in combination_problems(inputs) + argument_problems(inputs) if p.path not in unknown]


def sound(known: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs that have passed the check, in their proper types; with stand-ins for those that aren't known yet."""
    return parse({**_STAND_INS, **{k: v for k, v in known.items() if v is not None}}).model_dump()


# Stand in for values that aren't known before `up`, so that all others can be checked in preview.
_STAND_INS: dict[str, Any] = {
    "session_name": "not-known-yet",
    "owner": "0" * 12 + "." + "0" * 6,
    "api_key": "not-known-yet",
    "served_model_name": "not-known-yet",
    "model": "not/known-yet",
    "image": "not-known-yet",
}


def argument_problems(inputs: SessionInputs) -> list[Problem]:
    """What vLLM's own parser or the version in the image would refuse."""
    from serving import argument_problems as of_vllm

    from .session_spec import serve_settings, version_of

    return [Problem(p.key, p.what, p.cure) for p in of_vllm(serve_settings(inputs), version_of(inputs))]
