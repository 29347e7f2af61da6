"""Sessions: find, enqueue, read, rename, destroy.  Identity is the id; a name is only looked up among the living."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from . import errors, statuses
from .api import Api
from .redaction import redact
from .retrying import poll, reading
from .statuses import CANCELLED, Stage, stage_of
from .tags import same_owner

FORCE_AFTER = 30.0  # seconds that a plain destroy may take; one on a lost agent never ends
GIVE_UP_AFTER = 120.0  # seconds, from the beginning, until a destroy has failed
BACK_WITHIN = 60.0  # seconds in which a manager that was restarted answers again
DOUBT_LASTS = 5.0  # seconds in which a session ends that is shown, and yet can't be told to end for it is unknown
CANCEL_SETTLES = 2.0  # seconds in which a session that was cancelled while it waited may come back
LOOK_AGAIN_FOR = 6.0  # seconds in which a session shows up whose create was answered by silence


@dataclass(frozen=True)
class SessionSpec:
    """A batch session as it is asked for.  `resources` are slot quantities, `shmem` is a size like "1g"."""

    name: str
    tag: str
    image: str
    command: str
    resources: Mapping[str, str]
    shmem: str
    resource_group: str
    domain: str
    project: str
    ports: Sequence[int]
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)  # holds secrets
    mounts: Mapping[str, str] = field(default_factory=dict)  # folder name -> path in the session
    max_lifetime: float | None = None  # seconds that it may run, then the cluster ends it


@dataclass(frozen=True)
class SessionState:
    """What the cluster says of a session."""

    id: str
    name: str
    tag: str
    status: str
    result: str
    created_at: datetime

    @property
    def stage(self) -> Stage:
        return stage_of(self.status)

    @property
    def ended(self) -> bool:
        return self.stage is Stage.ENDED


async def find_living(api: Api, name: str) -> SessionState | None:
    """The caller's own living session of this name, if there is one."""
    body = {"filter": {"name": {"equals": name}, "status": {"not_in": list(statuses.ENDED)}}, "limit": 2}
    answer = await reading(lambda: api.call("POST", "/v2/sessions/my/search", body=body))
    return next((state_of(item) for item in answer["items"]), None)


async def read(api: Api, session_id: str) -> SessionState:
    """The session, living or ended.  Raises SessionNotFound only when the cluster has never heard of it."""
    return state_of(await reading(lambda: api.call("GET", f"/v2/sessions/{session_id}")))


async def ensure(api: Api, spec: SessionSpec) -> str:
    """The id of exactly one living session for this spec: the one that is there and is ours, or a new one.

    A session is ours when it has our name and our tag.  One with our name whose tag has our owner, but another digest,
    is what a killed run left behind: it is ended first.  Anybody else's raises NameTaken, also that of another model
    of the same stack.
    Never creates twice: the cluster is told not to reuse a name, and after a create whose answer was lost, or
    refused for its name, the session is looked up.
    """
    found = await find_living(api, spec.name)
    if found is not None and not await _make_room(api, spec, found):
        return found.id
    try:
        return str((await api.call("POST", "/session", body=_create_body(spec)))["sessionId"])
    except (errors.NameTaken, errors.Unreachable, errors.ServerFault) as error:
        return await _after_uncertain_create(api, spec, error)


async def rename(api: Api, session_id: str, name: str) -> None:
    """The one thing of a session that can be changed in place (v1 rename and restart are broken in 26.9).

    Raises InvalidRequest when the session isn't running: the cluster renames no other.
    """
    state = await read(api, session_id)
    if state.stage is not Stage.RUNNING:
        raise errors.InvalidRequest(
            f"Session {state.name} is {state.status}; the cluster changes the name of a running session only.",
            "Run it again when the session runs.",
        )
    await api.call("PATCH", f"/v2/sessions/{session_id}", body={"name": name})


async def destroy(api: Api, session_id: str, *, force_after: float = FORCE_AFTER) -> None:
    """End the session and wait until its slots are free.  One that has ended, or never was, is fine.

    A waiting session that is told to end just when the scheduler takes it is CANCELLED and then SCHEDULED all the
    same (26.9.6), so one that was cancelled is watched for a moment, and told again.
    Raises SessionStuck when it is still there after GIVE_UP_AFTER seconds, the last of them forced.
    """
    status, doubt, started = "", "", time.monotonic()

    async def gone() -> bool:
        nonlocal status
        try:
            state = await read(api, session_id)
        except errors.SessionNotFound:
            return True
        status = state.status
        return state.ended

    async def back() -> bool:
        return not await gone()

    if await gone():
        return
    for forced, patience in ((False, force_after), (True, GIVE_UP_AFTER - force_after)):
        try:
            await api.call("DELETE", f"/session/{session_id}", params={"forced": "true"} if forced else None)
        except errors.SessionNotFound as error:
            doubt = error.what  # a read had shown it: another one decides
        except (errors.Unreachable, errors.ServerFault):
            if forced and not await gone():  # the plain one may have been acted on: waiting tells
                raise
        seconds = min(patience, DOUBT_LASTS) if doubt else patience
        if await poll(gone, seconds=seconds) and not (
            status == CANCELLED and await poll(back, seconds=CANCEL_SETTLES, longest=0.3)
        ):
            return
    took = f"{time.monotonic() - started:.0f} seconds"
    raise errors.SessionStuck(
        f"Session {session_id} hasn't ended {took} after it was told to. {doubt}".strip(),
        "Run it again; if it stays, the cluster's administrator can find out why the agent doesn't answer.",
    )


async def logs(api: Api, session_id: str, *, timeout: float = 8.0) -> str:
    """All that the session's process has printed; empty when there is nothing to be had (yet, or any more)."""
    try:
        answer = await api.call("GET", f"/v2/sessions/{session_id}/logs", timeout=timeout)
    except errors.ClusterError:  # no agent yet, being created, agent lost: never a reason to fail
        return ""
    return str(answer.get("logs") or "")


_WHY = """query($id: UUID!) {
  compute_session(id: $id) { status status_info result containers { status status_info } }
}"""


async def why_ended(api: Api, session_id: str) -> str:
    """The cluster's own words on an ended session (its kernel's where they say more); empty when it has none."""
    try:
        answer = await api.call(
            "POST", "/admin/gql", body={"query": _WHY, "variables": {"id": session_id}}, timeout=8.0
        )
        row = (answer.get("data") or {}).get("compute_session") or {}
    except errors.ClusterError:
        return ""
    words = [c.get("status_info") for c in row.get("containers") or []] + [row.get("status_info")]
    result = str(row.get("result") or "").upper()
    said = ", ".join(dict.fromkeys(str(w) for w in words if w))
    return redact(f"{said} (result {result})" if said and result in ("SUCCESS", "FAILURE") else said)


async def _make_room(api: Api, spec: SessionSpec, found: SessionState) -> bool:
    """True when the name is free for a new session; False when `found` is the one that was asked for."""
    if same_owner(found.tag, spec.tag):
        if found.tag == spec.tag and found.stage not in (Stage.ENDING, Stage.BROKEN):
            return False
        await destroy(api, found.id)
        return True
    raise errors.NameTaken(
        f"The session name '{spec.name}' is taken by session {found.id} ({found.status}), which isn't this model's.",
        "Set another `session_name` for the model, or terminate that session if nobody needs it.",
    )


async def _after_uncertain_create(api: Api, spec: SessionSpec, error: errors.ClusterError) -> str:
    if isinstance(error, errors.Unreachable) and not error.sent:
        raise error
    found = await _look_for(api, spec.name)
    if found is None:
        raise error
    if found.tag != spec.tag:
        await _make_room(api, spec, found)
        raise error
    return found.id


async def _look_for(api: Api, name: str) -> SessionState | None:
    """The living session of this name, which may show up late, or after the manager has come back.

    Raises the last failure when the cluster has told nothing within BACK_WITHIN seconds: the session may exist, and
    the next create finds it.
    """
    found: SessionState | None = None
    failure: errors.ClusterError | None = None

    async def there() -> bool:
        nonlocal found, failure
        try:
            found, failure = await find_living(api, name), None
        except (errors.Unreachable, errors.ServerFault) as error:
            failure = error
        return found is not None

    async def told() -> bool:
        return await there() or failure is None

    if await poll(told, seconds=BACK_WITHIN, longest=2.0) and found is None:
        await poll(there, seconds=LOOK_AGAIN_FOR, first=0.2, longest=1.0)
    if failure is not None:
        raise failure
    return found


def _create_body(spec: SessionSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "tag": spec.tag,
        "image": spec.image,
        "architecture": "x86_64",
        "type": "batch",  # the only type that runs a startup command
        "startupCommand": spec.command,
        "domain": spec.domain,
        "group": spec.project,
        "clusterSize": 1,
        "clusterMode": "single-node",
        "enqueueOnly": True,
        "reuseIfExists": False,  # with reuse, name and image decide and other resources are silently ignored
        **({"batch_timeout": f"{spec.max_lifetime:.0f}s"} if spec.max_lifetime else {}),
        "config": {
            "resources": dict(spec.resources),
            "resource_opts": {"shmem": spec.shmem},
            "environ": dict(spec.environ),
            "scalingGroup": spec.resource_group,
            "preopen_ports": list(spec.ports),
            "mounts": list(spec.mounts),
            "mount_map": dict(spec.mounts),
        },
    }


def state_of(node: Mapping[str, Any]) -> SessionState:
    """A session of the v2 API."""
    metadata, lifecycle = node["metadata"], node["lifecycle"]
    return SessionState(
        id=str(node["id"]),
        name=str(metadata["name"]),
        tag=str(metadata.get("tag") or ""),
        status=str(lifecycle["status"]),
        result=str(lifecycle.get("result") or "undefined").upper(),
        created_at=datetime.fromisoformat(lifecycle["created_at"]),
    )
