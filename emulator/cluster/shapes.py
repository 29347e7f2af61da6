"""A session as JSON: v2's clean node, v1's Python-repr strings, GraphQL's rows."""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from emulator.cluster.models import AGENT_ID, PROJECT_ID, Cluster, Session, Slots, stamp


def plain_slots(slots: Slots) -> dict[str, str]:
    """As GraphQL writes them."""
    return {slot: f"{amount.normalize():f}" for slot, amount in slots.items()}


def written_slots(slots: Slots) -> dict[str, str]:
    """As check-presets writes them: with the digits that they have."""
    return {slot: f"{amount:f}" for slot, amount in slots.items()}


def exact(amount: Decimal) -> Decimal:
    """With the six digits that the database keeps."""
    return amount.quantize(Decimal("1.000000"))


def v2_node(session: Session) -> dict[str, Any]:
    """SessionNode of `GET /v2/sessions/{id}`."""
    environ = [{"name": name, "value": value} for name, value in session.environ.items()]
    return {
        "id": session.id,
        "entity_id": session.id,
        "image_ids": [session.image.id],
        "domain_name": "default",
        "user_id": session.user.id,
        "project_id": PROJECT_ID,
        "metadata": {
            "creation_id": session.creation_id,
            "name": session.name,
            "session_type": session.type,
            "access_key": session.user.access_key,
            "cluster_mode": "SINGLE_NODE",
            "cluster_size": 1,
            "tier": session.priority,
            "priority": session.priority,
            "job_priority": 0,
            "is_preemptible": True,
            "tag": session.tag,
        },
        "resource": {
            "allocation": {
                "requested": _entries(session.resources),
                "used": _entries(session.occupied),
                "allocated": _entries(session.resources if session.scheduled else {}),
            },
            "resource_group_name": "default",
        },
        "lifecycle": {
            "status": session.status,
            "result": session.result.lower(),
            "created_at": stamp(session.created_at),
            "terminated_at": stamp(session.terminated_at) or None,
            "starts_at": stamp(session.starts_at) or None,
            "batch_timeout": session.batch_timeout,
        },
        "runtime": {
            "environ": {"entries": environ} if environ else None,
            "bootstrap_script": session.bootstrap_script,
            "startup_command": session.command,
            "callback_url": session.callback_url,
        },
        "network": {"use_host_network": False, "network_type": "volatile", "network_id": None},
        "replica_id": None,
    }


def _entries(slots: Slots) -> dict[str, Any]:
    entries = [{"resource_type": slot, "quantity": f"{amount:.6f}"} for slot, amount in slots.items()]
    return {"entries": entries}


def search_page(found: list[Session], limit: int | None, offset: int) -> dict[str, Any]:
    page = found[offset:][:limit]
    return {
        "items": [v2_node(session) for session in page],
        "total_count": len(found),
        "has_next_page": offset + len(page) < len(found),
        "has_previous_page": offset > 0,
    }


def created(session: Session, new: bool, status: str) -> dict[str, Any]:
    """The answer of POST /session; the reused session's ports come under two names, as in the real one."""
    body: dict[str, Any] = {"sessionId": session.id, "sessionName": session.name, "status": status}
    if new:
        return body | {"servicePorts": session.service_ports or [], "created": True}
    ports = session.service_ports
    return body | {"service_ports": ports, "servicePorts": ports, "created": False}


def v1_info(cluster: Cluster, session: Session) -> dict[str, Any]:
    """The answer of `GET /session/{id|name}`: no name, id, command, ports or mounts."""
    occupied, requested = _repr_slots(session.occupied), _repr_slots(session.resources)
    age = cluster.now() - session.created_at
    return {
        "age": int(age.total_seconds() * 1000),
        "domainName": "default",
        "groupId": PROJECT_ID,
        "userId": session.user.id,
        "lang": session.image.name,
        "image": session.image.name,
        "architecture": "x86_64",
        "registry": session.image.name.partition("/")[0],
        "tag": session.tag,
        "containerId": _container_id(session),
        "occupiedSlots": occupied,
        "occupyingSlots": occupied,
        "requestedSlots": requested,
        "occupiedShares": "{}",
        "environ": repr(dict(session.environ)),
        "resourceOpts": repr(_resource_opts(session)),
        "status": session.status,
        "statusInfo": str(session.status_info),
        "statusData": None,
        "creationTime": session.created_at.isoformat(),
        "terminationTime": session.terminated_at and session.terminated_at.isoformat(),
        "numQueriesExecuted": 0,
        "lastStat": None,
        "idleChecks": {"session_lifetime": {"remaining": None, "remaining_time_type": "expire_after", "extra": None}},
    }


def _repr_slots(slots: Slots) -> str:
    return repr({slot: Decimal(f"{amount:.6f}") for slot, amount in slots.items()})


def _resource_opts(session: Session) -> Mapping[str, Any]:
    return {"main1": {"shmem": session.shmem}}


def _container_id(session: Session) -> str | None:
    return session.kernel_id.replace("-", "") * 2 if session.starts_at else None


def gql_row(session: Session) -> dict[str, Any]:
    """ComputeSession of the GraphQL API; group_name is cut to one letter there too."""
    agent = AGENT_ID if session.scheduled else None
    ended = session.terminal and session.scheduled
    return {
        "id": session.id,
        "name": session.name,
        "type": session.type.upper(),
        "status": session.status,
        "status_info": session.status_info,
        "status_data": None,
        "status_changed": session.status_changed.isoformat(),
        "result": session.result,
        "tag": session.tag,
        "startup_command": session.command,
        "mounts": list(session.mounts),
        "service_ports": json.dumps(session.service_ports) if session.service_ports else None,
        "occupied_slots": json.dumps(plain_slots(session.occupied)),
        "requested_slots": json.dumps(plain_slots(session.resources)),
        "resource_opts": json.dumps(_resource_opts(session)),
        "created_at": session.created_at.isoformat(),
        "starts_at": session.starts_at and session.starts_at.isoformat(),
        "terminated_at": session.terminated_at and session.terminated_at.isoformat(),
        "image": session.image.name,
        "domain_name": "default",
        "group_name": "d",
        "scaling_group": "default",
        "access_key": session.user.access_key,
        "user_email": session.user.email,
        "cluster_size": 1,
        "agents": [agent] if agent else None,
        "containers": [
            {
                "id": session.kernel_id,
                "status": session.status,
                "status_info": session.kernel_status_info,
                "status_data": json.dumps({"kernel": {"exit_code": -1}}) if ended else None,
                "container_id": _container_id(session),
                "agent": agent,
            }
        ],
    }
