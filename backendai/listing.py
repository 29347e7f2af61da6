"""This program's sessions on the cluster, found by their tag, and what is free beside them.

Everything here only asks, so a Reader is enough:

    POST /v2/sessions/my/search     the key pair's own sessions
    GET  /v2/sessions/ID/logs       what one has printed, while it runs and after its end
    POST /resource/check-presets    what quota and resource group have free
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from . import statuses
from .capacity_reads import Asks, requested, slots_of
from .retrying import reading
from .sessions import SessionState, state_of
from .tags import PREFIX, read_tag

PAGE = 200  # sessions asked for at a time
_HOST = ("cpu", "mem")
_PORT = re.compile(r"--port[= ](\d+)")
_MODEL = re.compile(r"\bvllm serve ['\"]?([^\s'\"]+)")
_SERVED = re.compile(r"--served-model-name[= ]['\"]?([^\s'\"]+)")
_DEFAULT_PORT = 8000


@dataclass(frozen=True)
class ListedSession(SessionState):
    """One session of this program.  `slots`: as they were asked for, mem in bytes; `stack_id`: "" when unreadable."""

    ended_at: datetime | None
    resource_group: str
    slots: Mapping[str, Decimal] = field(default_factory=dict)
    command: str = ""

    @property
    def stack_id(self) -> str:
        """Of the stack that has made it."""
        return read_tag(self.tag).stack_id

    @property
    def gpus(self) -> float:
        return float(sum((n for slot, n in self.slots.items() if slot not in _HOST), Decimal(0)))

    @property
    def port(self) -> int:
        """Where its server listens, as its command says."""
        match = _PORT.search(self.command)
        return int(match[1]) if match else _DEFAULT_PORT

    @property
    def hub_model(self) -> str:
        """The model of its command; "" when that isn't a `vllm serve`."""
        match = _MODEL.search(self.command)
        return match[1] if match else ""

    @property
    def served_model_name(self) -> str:
        match = _SERVED.search(self.command)
        return match[1] if match else self.hub_model


@dataclass(frozen=True)
class Room:
    """What one resource group has for this key pair.  {} where the cluster doesn't say it."""

    resource_group: str
    free: Mapping[str, Decimal] = field(default_factory=dict)
    used: Mapping[str, Decimal] = field(default_factory=dict)
    quota_left: Mapping[str, Decimal] = field(default_factory=dict)


async def list_sessions(api: Asks) -> list[ListedSession]:
    """The key pair's own living sessions with this program's tag, of all stacks, newest first.  Raises ClusterError."""
    wanted = {"tag": {"starts_with": f"{PREFIX}:"}, "status": {"not_in": list(statuses.ENDED)}}
    found: dict[str, ListedSession] = {}
    while True:
        body = {"filter": wanted, "limit": PAGE, "offset": len(found)}
        answer = await reading(lambda body=body: api.call("POST", "/v2/sessions/my/search", body=body))  # type: ignore[misc]
        before = len(found)
        found |= {session.id: session for session in map(_listed, answer["items"])}
        if not answer.get("has_next_page") or len(found) == before:
            return sorted(found.values(), key=lambda session: session.created_at, reverse=True)


async def ended_sessions(api: Asks, *, most: int = 20) -> list[ListedSession]:
    """Those that were created last among the ended ones, newest first.  Raises ClusterError."""
    wanted = {"tag": {"starts_with": f"{PREFIX}:"}, "status": {"in": list(statuses.ENDED)}}
    order = [{"field": "created_at", "direction": "DESC"}]
    body = {"filter": wanted, "order": order, "limit": most, "offset": 0}
    answer = await reading(lambda: api.call("POST", "/v2/sessions/my/search", body=body))
    return sorted(map(_listed, answer["items"]), key=lambda session: session.created_at, reverse=True)


async def session_by_id(api: Asks, session_id: str) -> ListedSession:
    """The session, living or ended.  Raises ClusterError, SessionNotFound among them."""
    return _listed(await reading(lambda: api.call("GET", f"/v2/sessions/{session_id}")))


async def session_log(api: Asks, session_id: str) -> str:
    """All that the session has printed.  Raises ClusterError; NotFound when it never had an agent."""
    answer = await reading(lambda: api.call("GET", f"/v2/sessions/{session_id}/logs"))
    return str(answer.get("logs") or "")


async def room(api: Asks, project: str, resource_group: str) -> Room:
    """What is free there now.  Raises ClusterError."""
    body = {"group": project, "scaling_group": resource_group}
    answer = await reading(lambda: api.call("POST", "/resource/check-presets", body=body))
    group = (answer.get("scaling_groups") or {}).get(resource_group) or {}
    return Room(
        resource_group,
        free=_numbers(group.get("remaining")),
        used=_numbers(group.get("using")),
        quota_left=_numbers(answer.get("keypair_remaining")),
    )


def _listed(node: Mapping[str, Any]) -> ListedSession:
    resource, ended = node.get("resource") or {}, node["lifecycle"].get("terminated_at")
    return ListedSession(
        **vars(state_of(node)),
        ended_at=datetime.fromisoformat(ended) if ended else None,
        resource_group=str(resource.get("resource_group_name") or ""),
        slots=requested(resource),
        command=str((node.get("runtime") or {}).get("startup_command") or ""),
    )


def _numbers(slots: Any) -> dict[str, Decimal]:
    """What is a number: NaN and Infinity mean that it isn't shown, or isn't limited."""
    return {slot: amount for slot, amount in slots_of(slots).items() if amount.is_finite()}
