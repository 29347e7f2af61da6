"""The stack file as one typed object: what a user can say, and nothing else.

Everything wrong with it is said at once, each with its full path, its value and its cure, before anything is created.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from providers import fields
from providers.problems import Problem, problems_of

_CLOSED = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

ModelName = Annotated[str, Field(pattern=r"^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$")]


class ClusterSettings(BaseModel):
    """Where the models run.  `endpoint` may come from BACKEND_ENDPOINT instead, which wins."""

    model_config = _CLOSED

    endpoint: fields.Text | None = None
    domain: fields.Text = "default"
    project: fields.Text = "default"
    resource_group: fields.Text = "default"
    image: fields.Text  # no vLLM image is known to be in every cluster
    vllm_version: fields.Text | None = None  # where the image's name doesn't tell
    gpu: fields.Text | None = None  # the card's name, such as A100-80GB
    gpu_unit: fields.GpuUnit = "cuda.device"


class ModelSettings(BaseModel):
    """One model.  What isn't set comes from the preset, and without one from the defaults in resolution.py."""

    model_config = _CLOSED

    name: ModelName
    model: fields.Text | None = None
    revision: fields.Text | None = None
    preset: Literal["auto", "7b", "13b", "70b"] = "auto"
    quantization: fields.Text | None = None
    gpus: fields.Gpus | None = None
    cpu: fields.Count | None = None
    memory: fields.Size | None = None
    shmem: fields.Size | None = None
    tensor_parallel_size: fields.Count | None = None
    max_model_len: fields.MaxModelLen | None = None
    dtype: fields.Text = "auto"
    kv_cache_dtype: fields.Text | None = None
    gpu_memory_utilization: fields.Share | None = None
    trust_remote_code: bool = False
    served_model_name: fields.Text | None = None
    port: fields.Port = 8000
    env: fields.Environment = Field(default_factory=dict)
    extra_args: tuple[str, ...] = ()
    mounts: fields.Mounts = Field(default_factory=dict)
    replicas: Annotated[fields.Whole, Field(ge=0, le=64)] = 1
    wait: bool = True
    ready_timeout: fields.Seconds = 1800.0
    session_name: fields.SessionName | None = None
    image: fields.Text | None = None
    vllm_version: fields.Text | None = None
    resource_group: fields.Text | None = None
    hf_token: fields.Text | None = Field(default=None, repr=False)
    api_key: fields.ApiKey | None = Field(default=None, repr=False)


class StackSettings(BaseModel):
    """A whole stack file."""

    model_config = _CLOSED

    cluster: ClusterSettings
    models: tuple[ModelSettings, ...] = ()
    hf_token: fields.Text | None = Field(default=None, repr=False)


class SettingsError(Exception):
    """Everything that is wrong with the stack file, one line each."""

    def __init__(self, problems: list[Problem], stack: str) -> None:
        self.problems = problems
        count = "one problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = [f"The configuration of stack '{stack}' has {count}; nothing was created:"]
        super().__init__("\n".join([*lines, *(f"  - {problem}" for problem in problems)]))


def load_settings(
    get: Callable[[str], str | None], stack: str, is_secret: Callable[[str], bool] = lambda _key: True
) -> StackSettings:
    """The settings in a stack's config, where `get` gives a key's text and `is_secret` whether it holds an
    encrypted value.  Raises SettingsError.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, kind in (("cluster", dict), ("models", list), ("hf_token", str)):
        text = get(key)
        if text is None:
            continue
        try:
            values[key] = text if kind is str else json.loads(text)
        except ValueError:
            problems.append(
                Problem(key, "is no structured value.", f"See stacks/Pulumi.local.yaml for how `{key}` looks.")
            )
    if "cluster" not in values and not problems:
        problems.append(Problem("cluster", "is missing.", "Add it, with at least `image`; see stacks/Pulumi.dev.yaml."))
    if problems:
        raise SettingsError(problems, stack)
    try:
        settings = StackSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(problems_of(error, StackSettings), stack) from None
    if more := _names_used_twice(settings) + _secrets_in_clear(settings, is_secret):
        raise SettingsError(more, stack)
    return settings


def _secrets_in_clear(settings: StackSettings, is_secret: Callable[[str], bool]) -> list[Problem]:
    """A stack file is kept in git, and `preview --json` shows what isn't encrypted in it."""
    given = [("hf_token", "hf_token")] if settings.hf_token else []
    for index, model in enumerate(settings.models):
        given += [("models", f"models[{index}].{key}") for key in ("hf_token", "api_key") if getattr(model, key)]
    what = "stands in clear in the stack file."
    return [
        Problem(path, what, f"Encrypt it: pulumi config set --secret --path 'backendai-vllm:{path}' VALUE")
        for key, path in given
        if not is_secret(key)
    ]


def _names_used_twice(settings: StackSettings) -> list[Problem]:
    found = []
    for key in ("name", "session_name"):
        counted = Counter(getattr(model, key) for model in settings.models)
        for index, model in enumerate(settings.models):
            value = getattr(model, key)
            if value is not None and counted[value] > 1:
                cure = "Give each model one of its own."
                found.append(Problem(f"models[{index}].{key}", f"'{value}' is used {counted[value]} times.", cure))
    return found
