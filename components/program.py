"""What the program does, in a module of its own so that it can be imported and tested."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pulumi
from pulumi.runtime.config import is_config_secret

from providers.problems import Problem
from providers.stack_identity import StackIdentity
from serving import ModelRequest, preflight

from .model_serving_stack import ModelServingStack
from .resolution import ResolvedModel, resolve
from .settings import SettingsError, load_settings

# What preflight is told of a model besides its repository and token, by the names of the session's inputs.
_ASKED = (
    "revision",
    "quantization",
    "max_model_len",
    "tensor_parallel_size",
    "dtype",
    "vllm_version",
    "extra_args",
    "env",
)


def declare(config: pulumi.Config) -> list[ModelServingStack]:
    """Declares the stack.  Raises pulumi.RunError, with everything that is wrong, before the first resource."""
    stack = pulumi.get_stack()
    try:
        models = resolve(load_settings(config.get, stack, _is_secret(config)), stack)
        _preflight(models, stack)
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None
    identity = StackIdentity("identity")
    stacks = [ModelServingStack(model, identity) for model in models]
    pulumi.export(
        "endpoints",
        pulumi.Output.all(*(s.endpoints for s in stacks)).apply(
            lambda lists: [entry for entries in lists for entry in entries]
        ),
    )
    cookies = pulumi.Output.all(*(s.cookies for s in stacks)).apply(_merged)
    pulumi.export("cookies", pulumi.Output.secret(cookies))
    pulumi.export("api_keys", pulumi.Output.all(**{m.name: s.api_key for m, s in zip(models, stacks, strict=True)}))
    return stacks


def _merged(mappings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {key: value for mapping in mappings for key, value in mapping.items()}


def _is_secret(config: pulumi.Config) -> Callable[[str], bool]:
    return lambda key: is_config_secret(f"{config.name}:{key}")


def _preflight(models: list[ResolvedModel], stack: str) -> None:
    """Asks the Hub about all models, side by side.  Raises SettingsError."""
    reports = preflight([_request(model) for model in models])
    problems = []
    for index, report in enumerate(reports):
        problems += [Problem(f"models[{index}] ({report.name})", p.what, p.cure) for p in report.problems]
        for warning in report.warnings:
            pulumi.log.warn(f"{report.name}: {warning}")
    if problems:
        raise SettingsError(problems, stack)


def _request(model: ResolvedModel) -> ModelRequest:
    return ModelRequest(
        name=model.name,
        model=model.inputs["model"],
        token=model.hf_token,
        **{key: model.inputs[key] for key in _ASKED if key in model.inputs},
    )
