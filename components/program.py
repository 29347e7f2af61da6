"""What the program does, in a module of its own so that it can be imported and tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pulumi
from pulumi.runtime.config import get_config_env, is_config_secret

from providers.access import connection_of
from providers.problems import Problem
from providers.stack_identity import StackIdentity
from serving import ModelRequest, preflight

from .loading import SettingsError, StackFile
from .model_serving_stack import ModelServingStack
from .resolution import ResolvedModel, resolve

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
    models, problems = _models(config)
    if problems:
        raise pulumi.RunError(str(SettingsError(problems, pulumi.get_stack())))
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


def _models(config: pulumi.Config) -> tuple[list[ResolvedModel], list[Problem]]:
    """The stack's models, and all that is wrong: in the file, with the values, on the Hub, with the credentials."""
    prefix = f"{config.name}:"
    keys = [key.removeprefix(prefix) for key in get_config_env() if key.startswith(prefix)]
    file = StackFile(config.get, keys, lambda key: is_config_secret(prefix + key))
    settings, problems = file.read()
    if settings is None:
        return [], problems
    models, more = resolve(settings)
    return models, [*problems, *more, *_preflight(models), *(_credentials(config) if models else ())]


def _preflight(models: list[ResolvedModel]) -> Iterator[Problem]:
    """Asks the Hub about all models, side by side."""
    reports = preflight([_request(model) for model in models])
    for model, report in zip(models, reports, strict=True):
        for problem in report.problems:
            yield Problem(f"models[{model.index}] ({report.name})", problem.what, problem.cure)
        for warning in report.warnings:
            pulumi.log.warn(f"{report.name}: {warning}")


def _credentials(config: pulumi.Config) -> Iterator[Problem]:
    """Whether it is known where the cluster is and who we are, said once; a preview needs neither."""
    from backendai import errors

    try:
        connection_of(config.get)
    except errors.InvalidConnection as error:
        if not pulumi.runtime.is_dry_run():
            yield Problem("cluster", error.what, error.cure)
        else:
            pulumi.log.warn(str(error))


def _request(model: ResolvedModel) -> ModelRequest:
    return ModelRequest(
        name=model.name,
        model=model.inputs["model"],
        token=model.hf_token,
        **{key: model.inputs[key] for key in _ASKED if key in model.inputs},
    )
