"""What the program does, in a module of its own so that it can be imported and tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime.config import get_config_env, is_config_secret

from backendai import Connection
from providers.access import connection_of
from providers.problems import Problem
from providers.stack_identity import StackIdentity

from .debug_log import without_values
from .loading import SettingsError, StackFile
from .model_serving_stack import ModelServingStack
from .resolution import ResolvedModel, resolve
from .room import Room
from .verdicts import judged


def declare(config: pulumi.Config) -> list[ModelServingStack]:
    """Declares the stack.  Raises pulumi.RunError, with everything that is wrong, before the first resource."""
    without_values()
    read = _read(config)
    if read.problems:
        raise pulumi.RunError(str(SettingsError(read.problems, pulumi.get_stack())))
    models, identity = read.models, StackIdentity("identity")
    room = Room(models, identity, read.connection, allow_queueing=read.allow_queueing)
    stacks = [ModelServingStack(model, identity, room, secret_env=read.secret_models) for model in models]
    pulumi.export(
        "endpoints",
        pulumi.Output.all(*(s.endpoints for s in stacks)).apply(
            lambda lists: [entry for entries in lists for entry in entries]
        ),
    )
    pulumi.export("verdicts", read.verdicts)
    cookies = pulumi.Output.all(*(s.cookies for s in stacks)).apply(_merged)
    pulumi.export("cookies", pulumi.Output.secret(cookies))
    pulumi.export("api_keys", pulumi.Output.all(**{m.name: s.api_key for m, s in zip(models, stacks, strict=True)}))
    return stacks


def _merged(mappings: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {key: value for mapping in mappings for key, value in mapping.items()}


@dataclass
class _Read:
    """What the stack file comes to, and all that is wrong: in it, with the values, on the Hub, with the credentials."""

    models: list[ResolvedModel] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    verdicts: dict[str, Any] = field(default_factory=dict)
    connection: Connection | None = None
    allow_queueing: bool = False
    secret_models: bool = False  # whether anything in `models` is encrypted: no value of `env` is shown then


def _read(config: pulumi.Config) -> _Read:
    prefix = f"{config.name}:"
    keys = [key.removeprefix(prefix) for key in get_config_env() if key.startswith(prefix)]
    file = StackFile(config.get, keys, lambda key: is_config_secret(prefix + key))
    settings, problems = file.read()
    if settings is None:
        return _Read(problems=problems)
    models, more = resolve(settings)
    models, verdicts, refused = judged(models)
    said = {problem.what for problem in more}  # vLLM's parser and the verdict agree on what is wrong with a flag
    problems += [*more, *(problem for problem in refused if problem.what not in said)]
    read = _Read(models, problems, verdicts, allow_queueing=settings.cluster.allow_queueing)
    read.secret_models = is_config_secret(f"{prefix}models")
    if models:
        read.connection = _connection(config, read.problems)
    return read


def _connection(config: pulumi.Config, problems: list[Problem]) -> Connection | None:
    """Where the cluster is and who we are; None where that isn't known, said once: a preview needs neither."""
    from backendai import errors

    try:
        return connection_of(config.get)
    except errors.InvalidConnection as error:
        if not pulumi.runtime.is_dry_run():
            problems.append(Problem("cluster", error.what, error.cure))
        else:
            pulumi.log.warn(str(error))
        return None
