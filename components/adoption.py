"""A session that others have made, as the stack's program would have it in the state: compared, and written down.

What is written is what `pulumi import --file` takes: a resource with its `inputs` and `outputs`, which Pulumi then
doesn't read by itself.  It can't: a dynamic provider is found by the inputs.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from providers import fields, serving_truth, stack_identity
from providers.problems import Problem

from .loading import StackFile
from .resolution import ResolvedModel, resolve

if TYPE_CHECKING:
    from backendai.details import Details
    from backendai.listing import ListedSession

_COMPONENT = "backendai:serving:ModelServingStack"
_DYNAMIC = "pulumi-python:dynamic/backendai:"
_SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}  # Pulumi's mark of a secret


class Difference(NamedTuple):
    """One setting that would make the next `up` replace the session."""

    key: str
    declared: str
    actual: str

    def __str__(self) -> str:
        return f"{self.key}: declared {self.declared}, the session has {self.actual}"


@dataclass(frozen=True)
class Declared:
    """The models of a stack file in clear.  `secret`: whether anything in `models` is encrypted there."""

    models: tuple[ResolvedModel, ...]
    problems: tuple[Problem, ...]
    secret: bool


@dataclass(frozen=True)
class Adopted:
    """One replica, with what must be known of it for the state."""

    model: ResolvedModel
    index: int
    session_id: str
    session_name: str
    api_key: str
    endpoint: str
    secret_env: bool = False

    @property
    def resource(self) -> str:
        return f"{self.model.name}-{self.index}"

    def derived_name(self, stack_id: str | None) -> str | None:
        """What the stack calls the session; None while that isn't known."""
        given = self.model.replica_session_name(self.index)
        return given or (stack_identity.session_name(stack_id, self.resource) if stack_id else None)


def declared(values: Mapping[str, tuple[str, bool]]) -> Declared:
    """From the config's keys, each with its text and whether it is encrypted."""
    file = StackFile(
        lambda key: values[key][0] if key in values else None, values, lambda key: values.get(key, ("", False))[1]
    )
    settings, problems = file.read()
    models, more = resolve(settings) if settings else ([], [])
    return Declared(tuple(models), (*problems, *more), values.get("models", ("", False))[1])


def differences(model: ResolvedModel, session: ListedSession, details: Details) -> Iterator[Difference]:
    """What the cluster tells of the session and the stack file says otherwise.  What isn't told isn't compared."""
    inputs = model.inputs
    texts = {
        "model": session.hub_model,
        "image": details.image,
        "resource_group": session.resource_group,
        "domain": details.domain,
    }
    for key, actual in texts.items():
        if actual and actual != inputs[key]:
            yield Difference(key, str(inputs[key]), actual)
    if session.slots:
        unit = str(inputs["gpu_unit"])
        numbers = {"cpu": ("cpu", Decimal(inputs["cpu"])), "gpus": (unit, Decimal(str(inputs["gpus"])))}
        for key, (slot, wanted) in numbers.items():
            if (has := session.slots.get(slot, Decimal(0))) != wanted:
                yield Difference(key, f"{wanted:f}", f"{has.normalize():f}")
        yield from _sizes("memory", inputs["memory"], int(session.slots.get("mem", 0)))
    if details.shmem is not None:
        yield from _sizes("shmem", inputs["shmem"], details.shmem)


def served_otherwise(model: ResolvedModel, served: Mapping[str, int | None]) -> Iterator[Difference]:
    """What its server tells otherwise: names, each with its max_model_len."""
    if found := serving_truth.otherwise(served, model.inputs):
        yield Difference(*found)


def new_stack_id() -> str:
    """For a stack that has never been up."""
    return secrets.token_hex(stack_identity.STACK_ID_BYTES)


def import_file(adopted: Adopted, stack_id: str, component: str | None, *, new_identity: bool) -> dict[str, Any]:
    """What `pulumi import --file` takes, secrets in clear.

    `component`: the URN of the model's component, where it has one; `new_identity`: whether the stack has none yet.
    """
    resources: list[dict[str, Any]] = []
    if new_identity:
        resources.append(_identity(stack_id))
    parent = f"component-{adopted.model.name}"
    if component is None:
        resources.append({"type": _COMPONENT, "name": parent, "logicalName": adopted.model.name, "component": True})
    resources.append({**_session(adopted, stack_id), "parent": parent})
    return {"nameTable": {parent: component} if component else {}, "resources": resources}


def _identity(stack_id: str) -> dict[str, Any]:
    own = {"__provider": _provider(stack_identity.StackIdentityProvider())}
    outputs = {**own, "stack_id": stack_id, "key_seed": _secret(secrets.token_hex(stack_identity.KEY_SEED_BYTES))}
    return {
        "type": f"{_DYNAMIC}StackIdentity",
        "name": "the-identity",
        "logicalName": "identity",
        "id": stack_id,
        "inputs": own,
        "outputs": outputs,
    }


def _session(adopted: Adopted, stack_id: str) -> dict[str, Any]:
    from providers.vllm_model_session import VLLMModelSessionProvider

    model = adopted.model
    inputs = {
        **model.inputs,
        "extra_args": list(model.inputs.get("extra_args", ())),
        "session_name": adopted.session_name,
        "owner": stack_identity.owner(stack_id, adopted.resource),
        "api_key": _secret(adopted.api_key),
        "__provider": _provider(VLLMModelSessionProvider()),
    }
    if model.hf_token:
        inputs["hf_token"] = _secret(model.hf_token)
    if adopted.secret_env and inputs.get("env"):
        inputs["env"] = _secret(inputs["env"])
    return {
        "type": f"{_DYNAMIC}VLLMModelSession",
        "name": f"session-{adopted.resource}",
        "logicalName": adopted.resource,
        "id": adopted.session_id,
        "inputs": inputs,
        "outputs": {**inputs, "endpoint": adopted.endpoint, "startup_command": _startup_command(adopted, inputs)},
    }


def _startup_command(adopted: Adopted, inputs: Mapping[str, Any]) -> str:
    """As the program would start it: the session's own may hold a key as an argument."""
    from providers import session_inputs
    from providers.session_spec import startup_command

    plain = {**inputs, "api_key": adopted.api_key, "env": adopted.model.inputs.get("env", {})}
    plain.pop("hf_token", None)
    return startup_command(session_inputs.parse(plain))


def _provider(provider: Any) -> str:
    from pulumi.dynamic.dynamic import serialize_provider

    return str(serialize_provider(provider))


def _secret(value: Any) -> dict[str, str]:
    return {**_SECRET, "plaintext": json.dumps(value)}


def _sizes(key: str, wanted: str, has: int) -> Iterator[Difference]:
    if fields.size_in_bytes(wanted) != has:
        yield Difference(key, wanted, _size(has))


def _size(count: int) -> str:
    for unit, name in ((2**30, "g"), (2**20, "m")):
        if count and count % unit == 0:
            return f"{count // unit}{name}"
    return str(count)
