"""Whether the cluster has room for the whole stack: a warning in preview, the end of an `up` before its first create.

The cluster would say nothing: what doesn't fit waits for ever.  A refusal must come before any session is touched,
because a changed model's old session is ended before the new one is made.  So all sessions of an `up` get their
`owner` from here, and nothing of them is registered until the cluster was asked.  A preview only asks beside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import pulumi

# Loaded with the program: when this runs, Pulumi's launcher has taken the program's folder off sys.path again.
import backendai
from backendai import Connection, Shortfall, Want
from providers import fields, stack_identity
from providers.session_spec import folders_of
from providers.stack_identity import StackIdentity

from .resolution import ResolvedModel


class Room:
    """`owner(name)` as the identity has it, known when the cluster has room."""

    def __init__(
        self,
        models: Sequence[ResolvedModel],
        identity: StackIdentity,
        connection: Connection | None,
        *,
        allow_queueing: bool = False,
    ) -> None:
        self._identity, self._asked = identity, pulumi.Output.from_input(True)
        if connection is not None and any(model.replicas for model in models):
            self._asked = pulumi.Output.from_input(_ask(models, identity, connection, allow_queueing))

    def owner(self, name: str) -> pulumi.Output[str]:
        """What marks the sessions of the resource `name`; in `up` not before there is room for them."""
        owner = self._identity.owner(name)
        if pulumi.runtime.is_dry_run():
            return owner
        return pulumi.Output.all(owner, self._asked).apply(lambda both: str(both[0]))


async def _ask(
    models: Sequence[ResolvedModel], identity: StackIdentity, connection: Connection, allow_queueing: bool
) -> bool:
    """True when nothing is in the way.  Raises pulumi.RunError in `up`, warns in preview."""
    wants = list(wants_of(models, await identity.stack_id.future()))
    capacity = await backendai.look(backendai.Reader(connection), wants)
    if capacity.unknown:
        pulumi.log.info(f"Not checked on the cluster: {'; '.join(capacity.unknown)}.")
    found = capacity.shortfalls(wants)
    fatal = [s for s in found if not (allow_queueing and s.passes)]
    for shortfall in found:
        if shortfall not in fatal or pulumi.runtime.is_dry_run():
            pulumi.log.warn(str(shortfall))
    if fatal and not pulumi.runtime.is_dry_run():
        raise pulumi.RunError(refusal(fatal))
    return not found


def refusal(found: Sequence[Shortfall]) -> str:
    """The text that ends an `up`."""
    lines = ["The cluster can't start what was asked for; no session was created or ended:"]
    lines += [f"  - {shortfall}" for shortfall in found]
    if any(shortfall.passes for shortfall in found):
        lines.append("With `allow_queueing: true` under `cluster`, sessions are created that have to wait for room.")
    return "\n".join(lines)


def wants_of(models: Sequence[ResolvedModel], stack_id: str | None) -> Iterator[Want]:
    """One for each replica.  `stack_id` None: the stack has none yet, and so no sessions."""
    for model in models:
        inputs = model.inputs
        for index in range(model.replicas):
            name = f"{model.name}-{index}"
            yield Want(
                name=name,
                owner=stack_identity.owner(stack_id, name) if stack_id else "",
                image=inputs["image"],
                resource_group=inputs["resource_group"],
                project=inputs["project"],
                domain=inputs["domain"],
                slots={
                    "cpu": Decimal(inputs["cpu"]),
                    "mem": Decimal(fields.size_in_bytes(inputs["memory"])),
                    inputs["gpu_unit"]: Decimal(str(inputs["gpus"])),
                },
                folders=folders_of(inputs),
                session_name=model.replica_session_name(index)
                or (stack_identity.session_name(stack_id, name) if stack_id else ""),
            )
