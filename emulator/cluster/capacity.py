"""What a user may ask before creating: quotas, free slots, placement, resource groups, the domain, folders."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from emulator.cluster import creation, shapes
from emulator.cluster import exceptions as errors
from emulator.cluster.models import DOMAIN_ID, PROJECT_ID, RESOURCE_GROUP_ID, Cluster
from emulator.cluster.responses import Call
from emulator.http import Response, json_response


class CheckPresetsRequest(BaseModel):
    group: str
    scaling_group: str | None = None


class ComputeScheduleInput(BaseModel):
    kernels: list[dict[str, Any]]
    cluster_mode: creation.ClusterMode
    resource_group_id: UUID


class UUIDScope(BaseModel):
    value: UUID


class ResourceGroupScope(BaseModel):
    domain: list[UUIDScope] | None = None
    project: list[UUIDScope] | None = None
    user: list[UUIDScope] | None = None


class ScopedSearchResourceGroupsInput(BaseModel):
    scope: ResourceGroupScope


def compute_schedule(call: Call) -> Response:
    """Against the agent's empty places only: quotas don't count here."""
    asked = creation.parse(ComputeScheduleInput, call.body())
    group = str(asked.resource_group_id)
    if group != RESOURCE_GROUP_ID:
        if not call.user.superadmin:
            raise errors.NotEnoughPermission(
                f"User {call.user.id} lacks permission <Permission.READ: 1> on resource_group {group}"
            )
        raise errors.ResourceGroupNotFound(f"Resource group {group} not found")
    return json_response({"results": [_placement(call.cluster, kernel) for kernel in asked.kernels]})


def _placement(cluster: Cluster, kernel: dict[str, Any]) -> dict[str, Any]:
    image = kernel.get("image_id")
    if image not in {known.id for known in cluster.images.values()}:
        raise errors.ImageNotFound(f"Image '{image}' not found")
    usage, capacity = cluster.usage(), cluster.settings.capacity
    missing = []
    for entry in kernel["resources"]:
        slot, asked = entry["resource_type"], Decimal(str(entry["quantity"]))
        free = capacity.get(slot, Decimal(0)) - usage.get(slot, Decimal(0))
        if asked > free:
            missing.append({"resource_type": slot, "quantity": f"{asked - free:.6f}"})
    return {
        "requested_slots": kernel["resources"],
        "requested_architecture": "x86_64",
        "success": not missing,
        "reason_hint": {"required_reduction": missing} if missing else None,
    }


def check_presets(call: Call) -> Response:
    asked = creation.parse(CheckPresetsRequest, call.body())
    if asked.group not in ("default", PROJECT_ID):
        raise errors.ProjectNameNotFound(f"Project not found (name: {asked.group})")
    if asked.scaling_group not in (None, "default"):
        raise errors.ResourceGroupRowNotFound("No ResourceGroupRow matches the given key")
    cluster, policy = call.cluster, call.user.policy
    names = list(dict.fromkeys([*cluster.settings.capacity, "cuda.device", "cuda.shares"]))
    zero, endless = Decimal(0), Decimal("Infinity")
    using, total = ({s: shapes.exact(n) for s, n in cluster.usage(who).items() if n} for who in (call.user, None))
    limits = {s: policy.slots.get(s, zero if policy.slots else endless) for s in names}
    remaining = {s: limits[s] - using.get(s, zero) for s in names}
    capacity = {s: shapes.exact(n) for s, n in cluster.settings.capacity.items()}
    free = {s: capacity.get(s, zero) - total.get(s, zero) for s in names}
    here = shapes.written_slots({s: min(free[s], remaining[s]) for s in names})
    mine = shapes.written_slots({s: using.get(s, zero) for s in names})
    unknown = dict.fromkeys(names, "NaN")
    return json_response(
        {
            "presets": [],
            "keypair_limits": shapes.written_slots(limits),
            "keypair_using": {s: mine[s] for s in using or names},
            "keypair_remaining": shapes.written_slots(remaining),
            "group_limits": unknown,
            "group_using": unknown,
            "group_remaining": unknown,
            "scaling_group_remaining": here,
            "scaling_groups": {"default": {"using": mine, "remaining": here}},
        }
    )


def resource_groups(call: Call) -> Response:
    """Here, as on the test cluster, the one group is the domain's: through the project alone it isn't found."""
    scope = creation.parse(ScopedSearchResourceGroupsInput, call.body()).scope
    found = [RESOURCE_GROUP_ID] if any(str(one.value) == DOMAIN_ID for one in scope.domain or ()) else []
    items = [{"id": id_, "entity_id": id_, "name": "default"} for id_ in found]
    return json_response(
        {"items": items, "total_count": len(items), "has_next_page": False, "has_previous_page": False}
    )


def domain(call: Call) -> Response:
    name = call.request.params["domain"]
    if name != "default":
        raise errors.DomainNotFound(f"Domain not found: {name}")
    return json_response({"id": DOMAIN_ID, "entity_id": DOMAIN_ID, "basic_info": {"name": name}})


def folders(call: Call) -> Response:
    """They belong to the project, and are listed only for who names it."""
    names = call.cluster.settings.vfolders if call.request.query.get("group_id") else ()
    return json_response([{"name": name, "permission": "rw", "status": "ready", "is_owner": False} for name in names])
