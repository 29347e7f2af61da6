"""From what a user said to what is created: explicit settings over the preset over the defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError

from providers import fields, session_inputs
from providers.problems import Problem, problems_of
from providers.session_inputs import SessionInputs
from serving import InvalidArgument, parse_repo_id

from .presets import PRESETS, Preset, Quantization
from .settings import ClusterSettings, ModelSettings, StackSettings

# Without a preset.  `shmem` and `tensor_parallel_size` follow from the GPUs.
DEFAULTS: dict[str, Any] = {"gpus": 1, "cpu": 4, "memory": "16g", "max_model_len": 4096}

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")

# Said in the stack file by the same name, and taken as it is.
_SHARED = (
    "dtype",
    "kv_cache_dtype",
    "gpu_memory_utilization",
    "trust_remote_code",
    "max_num_seqs",
    "max_num_batched_tokens",
    "enforce_eager",
    "allow_unverified",
    "max_lifetime",
    "port",
    "env",
    "extra_args",
    "mounts",
    "quantization",
)


@dataclass(frozen=True)
class ResolvedModel:
    """One model with nothing left open.

    `index`: its place in the stack file.  `inputs`: those of a session, without name, key and owner.
    """

    index: int
    name: str
    replicas: int
    wait: bool
    ready_timeout: float  # seconds
    session_name: str | None
    inputs: Mapping[str, Any]
    predicted: Mapping[str, Any] = field(default_factory=dict)  # of the memory, by the names of ModelEndpoint
    api_key: str | None = field(default=None, repr=False)
    hf_token: str | None = field(default=None, repr=False)

    def replica_session_name(self, index: int) -> str | None:
        """The given name for the first replica, so that another replica doesn't rename it."""
        return self.session_name if index == 0 or self.session_name is None else f"{self.session_name}-{index}"


def resolve(
    settings: StackSettings, environ: Mapping[str, str] | None = None
) -> tuple[list[ResolvedModel], list[Problem]]:
    """All models of a stack that can be resolved, and everything that can't work."""
    env = os.environ if environ is None else environ
    token = settings.hf_token or next((env[v] for v in TOKEN_VARIABLES if env.get(v)), None)
    problems: list[Problem] = []
    resolved = []
    for index, model in enumerate(settings.models):
        if model is None:
            continue
        try:
            one = _resolve_one(settings, index, model, token)
        except _Refused as refused:
            problems += [_at(index, problem) for problem in refused.problems]
            continue
        problems += [_at(index, problem) for problem in _session_problems(one)]
        resolved.append(one)
    return resolved, problems


class _Refused(Exception):
    def __init__(self, *problems: Problem) -> None:
        self.problems = problems


def _resolve_one(settings: StackSettings, index: int, model: ModelSettings, token: str | None) -> ResolvedModel:
    cluster, preset = settings.cluster, _preset(model)
    said = model.model_dump(exclude_none=True)
    sized = {**DEFAULTS, **(preset._asdict() if preset else {}), **said}
    if "model" not in sized:
        raise _Refused(Problem("model", "is missing.", "Name a Hugging Face repository, or a preset that has one."))
    try:
        # A folder of the session, such as a mounted one, is what it is.
        repo_id, revision = (sized["model"], None) if sized["model"].startswith("/") else parse_repo_id(sized["model"])
    except InvalidArgument as error:
        raise _Refused(Problem("model", error.what, error.cure)) from None
    if revision and model.revision and revision != model.revision:
        cure = "Say it once."
        raise _Refused(Problem("revision", f"'{model.revision}' isn't the '{revision}' in the model's URL.", cure))
    parallel = _parallel(model, preset, sized["gpus"])
    shmem = sized.get("shmem") or f"{2 * parallel if parallel > 1 else 1}g"
    if model.memory is None and fields.size_in_bytes(shmem) >= fields.size_in_bytes(sized["memory"]):
        # A default that can't hold another default: shared memory is a part of memory.
        more = fields.size_in_bytes(shmem) + fields.size_in_bytes(sized["memory"])
        sized["memory"] = f"{-(-more // 2**30)}g"
    inputs = {
        "model": repo_id,
        "revision": model.revision or revision,
        "served_model_name": model.served_model_name or repo_id,
        "gpus": sized["gpus"],
        "cpu": sized["cpu"],
        "memory": sized["memory"],
        "max_model_len": sized["max_model_len"],
        "tensor_parallel_size": parallel,
        "shmem": shmem,
        "gpu_unit": cluster.gpu_unit,
        "domain": cluster.domain,
        "project": cluster.project,
        "resource_group": model.resource_group or cluster.resource_group,
        "image": model.image or cluster.image,
        "vllm_version": model.vllm_version or (None if model.image else cluster.vllm_version),
        "model_cache": model.model_cache or cluster.model_cache,
        **_card(model if model.gpu or model.gpu_memory_gib else cluster),
        **{key: getattr(model, key) for key in _SHARED},
    }
    if inputs["model_cache"] == "none":
        inputs["model_cache"] = None
    if inputs["quantization"] == "none":
        inputs["quantization"] = None
    return ResolvedModel(
        index=index,
        name=model.name,
        replicas=model.replicas,
        wait=model.wait,
        ready_timeout=model.ready_timeout,
        session_name=model.session_name,
        inputs={key: value for key, value in inputs.items() if value is not None},
        api_key=model.api_key,
        hf_token=model.hf_token or token,
    )


def _card(said: ModelSettings | ClusterSettings) -> dict[str, Any]:
    return {key: getattr(said, key) for key in ("gpu", "gpu_memory_gib", "compute_capability")}


def _preset(model: ModelSettings) -> Preset | None:
    if model.preset == "auto":
        return None
    row = PRESETS.get((model.preset, cast(Quantization, model.quantization or "none")))
    if row is None and model.model is not None:  # an own repository: sizes as without quantization
        row = PRESETS[(model.preset, "none")]
    if row is None:
        offered = ", ".join(quantization for size, quantization in PRESETS if size == model.preset)
        cure = f"Preset {model.preset} has: {offered}; or name a `model` that carries it."
        raise _Refused(Problem("quantization", f"'{model.quantization}' isn't one of the preset's.", cure))
    return row


def _parallel(model: ModelSettings, preset: Preset | None, gpus: float) -> int:
    """As said; else the preset's where its GPUs are used; else all whole GPUs, so that none stands idle."""
    if model.tensor_parallel_size is not None:
        return model.tensor_parallel_size
    if preset is not None and model.gpus is None:
        return preset.tensor_parallel_size
    return max(1, int(gpus))


def _session_problems(model: ResolvedModel) -> list[Problem]:
    """What the session's own check would refuse, found before the first resource is registered."""
    given = {"session_name": model.session_name, "api_key": model.api_key, "hf_token": model.hf_token}
    props = {**model.inputs, **{k: v for k, v in given.items() if v is not None}}
    unknown = frozenset({"owner", "session_name", "api_key"} - props.keys())
    try:
        return session_inputs.check(props, unknown)
    except ValidationError as error:
        return problems_of(error, SessionInputs)


def _at(index: int, problem: Problem) -> Problem:
    return Problem(f"models[{index}].{problem.path}", problem.what, problem.cure)
