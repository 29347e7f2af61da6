"""From the inputs of a VLLMModelSession to what the cluster is asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .changes import CHANGES, Effect
from .session_inputs import SessionInputs

if TYPE_CHECKING:
    from backendai import SessionSpec
    from serving import ServeSettings

HUB_CACHE = "/home/work/.cache/huggingface"  # where `model_cache` is mounted; HF_HOME is set to it

# Inputs of later releases: a session that was made before they existed keeps its digest.
_LATER = frozenset({"max_num_seqs", "max_num_batched_tokens", "enforce_eager", "model_cache", "max_lifetime"})

# Quantization that a checkpoint carries: vLLM reads it from config.json, and saying it again on the command line
# forces slower kernels in some releases.  Preflight warns of the rare checkpoint that says it elsewhere.
CARRIED_BY_CHECKPOINT = frozenset({"awq", "gptq"})


def version_of(inputs: SessionInputs) -> str | None:
    """The vLLM version that the session will run, if it can be told."""
    from serving import vllm_version_of_image

    return inputs.vllm_version or vllm_version_of_image(inputs.image)


def serve_settings(inputs: SessionInputs) -> ServeSettings:
    """The part of the inputs that becomes the command line."""
    from serving import ServeSettings

    quantization = None if inputs.quantization in CARRIED_BY_CHECKPOINT else inputs.quantization
    shared = set(ServeSettings.model_fields) & set(SessionInputs.model_fields) - {"quantization"}
    return ServeSettings(quantization=quantization, **{key: getattr(inputs, key) for key in shared})


def startup_command(inputs: SessionInputs) -> str:
    """The shell command of the session.  Raises serving.InvalidArgument."""
    from serving import startup_command as command

    return command(serve_settings(inputs), version_of(inputs))


def session_spec(inputs: SessionInputs) -> SessionSpec:
    """What the cluster is asked for."""
    from backendai import SessionSpec
    from backendai.tags import tag_of

    environ = {
        "PYTHONUNBUFFERED": "1",  # without it the log comes in blocks, long after the event
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        **({"HF_HOME": HUB_CACHE} if inputs.model_cache else {}),
        **inputs.env,
        "VLLM_API_KEY": inputs.api_key,
        **({"HF_TOKEN": inputs.hf_token} if inputs.hf_token else {}),
    }
    return SessionSpec(
        name=inputs.session_name,
        tag=tag_of(inputs.owner, _digest(inputs)),
        image=inputs.image,
        command=startup_command(inputs),
        resources={"cpu": str(inputs.cpu), "mem": inputs.memory, inputs.gpu_unit: f"{inputs.gpus:g}"},
        shmem=inputs.shmem,
        resource_group=inputs.resource_group,
        domain=inputs.domain,
        project=inputs.project,
        ports=(inputs.port,),
        environ=environ,
        mounts=mounts_of(inputs),
        max_lifetime=inputs.max_lifetime,
    )


def folders_of(inputs: Mapping[str, Any]) -> tuple[str, ...]:
    """The folders that a session mounts."""
    cache = inputs.get("model_cache")
    return (*(inputs.get("mounts") or ()), *([cache] if cache else []))


def mounts_of(inputs: SessionInputs) -> dict[str, str]:
    """Folder -> path in the session, the Hub cache among them."""
    return {**inputs.mounts, **({inputs.model_cache: HUB_CACHE} if inputs.model_cache else {})}


def _digest(inputs: SessionInputs) -> str:
    """12 hex digits that change with everything that would replace the session, and with nothing else."""
    replacing = {k for k, row in CHANGES.items() if row.effect is Effect.REPLACE}
    values = inputs.model_dump(mode="json", include=replacing)
    values = {k: v for k, v in values.items() if k not in _LATER or v}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
