"""The cluster's state and its rules: users, images, sessions, what a session may become, its events.

All of it is guarded by one condition, `Cluster.changed`; whoever changes a session notifies it.
"""

import itertools
import secrets
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from emulator.cluster import exceptions as errors
from emulator.cluster.processes import Processes, SessionProcess

MIB = 1024**2
PROJECT_ID = "1638f9cc-06e2-58da-b4c3-053de14f631c"
DOMAIN_ID = "148db084-8b11-5a2d-8c84-a8d84f725915"
RESOURCE_GROUP_ID = "d8735aef-3c94-52d8-b509-a3f7d1a48daf"
AGENT_ID = "i-emulator1"
_TO_CREATING = ("PENDING", "DEPRIORITIZING", "RESERVED", "SCHEDULED", "PREPARING", "PULLING", "PREPARED")
_FROM_CREATING = ("CREATING", "RUNNING", "RESTARTING", "RUNNING_DEGRADED", "PREEMPTED", "RESCHEDULING")
STATUSES = frozenset([*_TO_CREATING, *_FROM_CREATING, "TERMINATING", "TERMINATED", "ERROR", "CANCELLED"])
TERMINAL = frozenset({"TERMINATED", "CANCELLED", "ERROR"})
OCCUPYING = frozenset({"SCHEDULED", "PREPARING", "PREPARED", "CREATING", "RUNNING", "TERMINATING"})

type Slots = Mapping[str, Decimal]


@dataclass(frozen=True)
class Policy:
    """Keypair resource policy. A slot that `slots` doesn't name is unlimited, and so are None limits."""

    name: str
    slots: Slots = field(default_factory=dict)
    max_concurrent_sessions: int | None = None
    max_containers_per_session: int | None = None


@dataclass(frozen=True)
class User:
    access_key: str
    secret_key: str = field(repr=False)
    id: str
    email: str
    superadmin: bool
    policy: Policy


@dataclass(frozen=True)
class Image:
    name: str
    id: str
    service_ports: tuple[tuple[str, str, int], ...]  # name, protocol, port
    min_cpu: int = 1
    min_mem: int = 64 * MIB  # bytes, without shmem


@dataclass
class Session:
    """One session with its one kernel. `due` (monotonic seconds) is when the scheduler may move it on."""

    name: str
    user: User
    image: Image
    type: str
    resources: Slots
    shmem: int  # bytes
    command: str | None
    environ: Mapping[str, str] = field(repr=False)
    ports: tuple[int, ...]
    mounts: Mapping[str, str]  # folder -> its path in the session
    tag: str | None
    priority: int
    bootstrap_script: str | None
    callback_url: str | None
    batch_timeout: float | None  # seconds
    created_at: datetime
    due: float
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    kernel_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    creation_id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    status: str = "PENDING"
    result: str = "UNDEFINED"
    status_info: str | None = None
    kernel_status_info: str | None = None
    status_changed: datetime = field(default=datetime.min)
    starts_at: datetime | None = None
    terminated_at: datetime | None = None
    scheduled: bool = False
    service_ports: list[dict[str, Any]] | None = None
    process: SessionProcess | None = None
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def occupied(self) -> Slots:
        return {} if self.terminal else self.resources

    @property
    def log(self) -> bytes:
        return bytes(self.process.output) if self.process else b""

    def host_port(self, app: str) -> int | None:
        """The loopback port an app is published on; None when it isn't (yet)."""
        ports = [p["host_ports"][0] for p in self.service_ports or () if p["name"] == app]
        return ports[0] if ports else None


@dataclass
class ClusterFaults:
    """What is wrong with the cluster until a test puts it right."""

    agent_lost: bool = False  # sessions stay as they are, their processes live on, calls to the agent are 503
    agent_timeout: float = 0.0  # seconds a call to a lost agent takes to find that out
    no_agent: bool = False  # everything stays PENDING
    create_fail: bool = False  # CREATING, TERMINATING, TERMINATED; the kernel says failed-to-create
    cancel_lost: bool = False  # a PENDING session that is destroyed is CANCELLED, then SCHEDULED all the same
    pull_fail: str = ""  # CANCELLED in PREPARING; the kernel says why
    clock_skew: float = 0.0  # seconds the manager's clock is ahead
    stuck_status: str = ""

    def stuck_in(self, status: str) -> None:
        """Sessions that reach this status stay in it (forced destroy ends them); "" frees them."""
        self.stuck_status = status


@dataclass
class Settings:
    """What a cluster is made of. Times are in seconds."""

    capacity: Slots
    start_seconds: float = 0.3  # from PENDING to RUNNING
    create_latency: float = 0.02  # how long POST /session takes: the window for two creates of one name
    kill_grace: float = 5.0
    load_seconds: float | None = None  # how long the vLLM stand-in loads; None: its own default
    hub_endpoint: str = ""
    app_proxy: str = ""  # its address, for clients; "": the cluster has none
    vfolders: tuple[str, ...] = ("llm-model", "hf-cache")

    @property
    def tick(self) -> float:
        return self.start_seconds / 6


class Cluster:
    """One Backend.AI manager with one agent. `close()` ends the sessions' processes."""

    def __init__(self, settings: Settings, users: tuple[User, ...], images: tuple[Image, ...]) -> None:
        self.settings = settings
        self.users = {user.access_key: user for user in users}
        self.images = {image.name: image for image in images}
        self.sessions: dict[str, Session] = {}
        self.faults = ClusterFaults()
        self.writes = 0
        self.requests: list[tuple[str, str, int]] = []
        self.app_tokens: dict[str, int] = {}  # what start-service hands out -> the loopback port it is good for
        self.changed = threading.Condition(threading.RLock())
        self.processes = Processes()
        self.closed = False
        self._listeners: dict[int, Callable[[Session, str, dict[str, Any]], None]] = {}
        self._listener_ids = itertools.count()

    def now(self) -> datetime:
        """The manager's clock."""
        return datetime.now(UTC) + timedelta(seconds=self.faults.clock_skew)

    def living(self) -> list[Session]:
        """Sessions that haven't ended, oldest first."""
        return [session for session in list(self.sessions.values()) if not session.terminal]

    def usage(self, user: User | None = None) -> dict[str, Decimal]:
        """Slots in use, of one user or of all."""
        total = dict.fromkeys(self.settings.capacity, Decimal(0))
        for session in self.living():
            if session.status in OCCUPYING and user in (None, session.user):
                for slot, amount in session.resources.items():
                    total[slot] = total.get(slot, Decimal(0)) + amount
        return total

    # -- finding -----------------------------------------------------------------------------------

    def by_id(self, user: User, session_id: str, permission: str = "READ: 1") -> Session:
        """Of any status. A user gets the same 403 for a foreign id and for an unknown one."""
        session = self.sessions.get(session_id)
        if not user.superadmin and (session is None or session.user != user):
            raise errors.NotEnoughPermission(
                f"User {user.id} lacks permission <Permission.{permission}> on session {session_id}"
            )
        if session is None:
            raise errors.SessionNotFound(f"Session (id={session_id}) does not exist.")
        return session

    def by_name(self, user: User, name: str) -> Session | None:
        """The user's own living session of this name."""
        return next((s for s in self.living() if s.user == user and s.name == name), None)

    def find(self, user: User, ref: str, *, permission: str = "READ: 1", ended: bool = False) -> Session:
        """By id or name; an ended one only by id and with `ended`."""
        if not is_uuid(ref):
            session = self.by_name(user, ref)
            if session is None:
                raise errors.NameNotFound
            return session
        session = self.by_id(user, ref, permission)
        if session.terminal and not ended:
            raise errors.SessionNotFound(f"Session (id={ref}) does not exist.")
        return session

    # -- changing ----------------------------------------------------------------------------------

    def add(self, session: Session) -> None:
        """Enqueue. Names are unique among a user's living sessions: UniqueViolation (409)."""
        with self.changed:
            if self.by_name(session.user, session.name):
                raise errors.UniqueViolation(
                    "<class 'asyncpg.exceptions.UniqueViolationError'>: duplicate key value violates unique "
                    'constraint "ix_sessions_unique_name_per_user_nonterminal"\n'
                    f"DETAIL:  Key (name, user_uuid)=({session.name}, {session.user.id}) already exists."
                )
            session.status_changed = session.created_at
            self.sessions[session.id] = session
            self.record(session, "enqueue", "SUCCESS", "enqueue success")
            self.publish(session, "session_pending", "Session enqueued")
            self.changed.notify_all()

    def move(self, session: Session, status: str, *, due: float = 0.0) -> None:
        """Into another status, in which it stays for at least `due` seconds."""
        with self.changed:
            session.status = status
            session.status_changed = self.now()
            session.due = time.monotonic() + due
            if session.terminal:
                session.terminated_at = session.status_changed
            self.changed.notify_all()

    def destroy(self, session: Session, *, forced: bool) -> str | None:
        """Begin the end; "terminated", "cancelled", or None when that has begun already."""
        with self.changed:
            if session.terminal or (session.status == "TERMINATING" and not forced):
                return None
            again = session.status == "TERMINATING"
            reason = "force-terminated" if forced else "user-requested"
            if session.status == "PENDING":
                session.status_info = session.kernel_status_info = reason
                self.move(session, "CANCELLED")
                self.publish(session, "session_cancelled", reason)
                if self.faults.cancel_lost:
                    self._come_back(session)
                return "cancelled"
            session.due = 0.0
            if not again:
                self.begin_end(session, reason)
            if forced and (self.faults.agent_lost or self.faults.stuck_status == session.status):
                self.finish(session)  # for the manager it is over; a lost agent would find its process later
            return None if again else "terminated"

    def _come_back(self, session: Session) -> None:
        """The scheduler had taken the session when it was cancelled, and writes its own status last."""

        def write() -> None:
            with self.changed:
                session.scheduled, session.terminated_at = True, None
                self.move(session, "SCHEDULED")

        timer = threading.Timer(self.settings.tick * 2, write)
        timer.daemon = True
        timer.start()

    def begin_end(self, session: Session, reason: str | None, kernel_reason: str | None = None) -> None:
        session.status_info, session.kernel_status_info = reason, kernel_reason or reason
        delay = float(session.environ.get("BAI_FAULT_DESTROY_DELAY", 0))
        self.move(session, "TERMINATING", due=delay)
        self.publish(session, "session_terminating", reason or "")

    def end(self, session: Session) -> None:
        """TERMINATED, once its process is."""
        if session.process is None or session.process.ended:
            self.finish(session)
        else:
            session.process.terminate(self.settings.kill_grace)

    def finish(self, session: Session) -> None:
        self.publish(session, "kernel_terminated", session.kernel_status_info or "", kernel=True)
        self.move(session, "TERMINATED")
        self.publish(session, "session_terminated", "triggered-by-scheduler")

    def rename(self, session: Session, name: str) -> None:
        """The only thing PATCH /v2/sessions changes: it takes a tag and ignores it."""
        with self.changed:
            if session.status != "RUNNING":
                raise errors.InvalidParameters("Can't change name of not running session")
            if name != session.name and self.by_name(session.user, name):
                raise errors.SessionAlreadyExists(f"Session with name '{name}' already exists")
            session.name = name

    def kill_container(self, session: Session) -> None:
        """As if the container died: TERMINATED without a result, the kernel says self-terminated."""
        with self.changed:
            self.begin_end(session, None, "self-terminated")

    def ask_agent(self) -> None:
        """Raises AgentUnavailable (503), after a while, when the agent is lost."""
        with self.changed:
            if self.faults.agent_lost:
                self.changed.wait_for(lambda: self.closed, self.faults.agent_timeout)
                raise errors.AgentUnavailable(f"Agent {AGENT_ID} connection unavailable: emulated")

    def close(self) -> None:
        with self.changed:
            self.closed = True
            self.changed.notify_all()
        self.processes.close([s.process for s in self.sessions.values() if s.process])

    def reset(self) -> None:
        """End and forget every session, and the faults; the request log and the counter start anew."""
        with self.changed:
            processes = [s.process for s in self.sessions.values() if s.process]
            for session in self.living():
                self.move(session, "TERMINATED")
            self.sessions.clear()
            self.requests.clear()
            self.faults = ClusterFaults()
            self.writes = 0
        for process in processes:
            process.terminate(grace=0.2)

    # -- telling -----------------------------------------------------------------------------------

    def record(self, session: Session, phase: str, result: str, message: str) -> None:
        """One line of the scheduling history; a repeated one counts its attempts."""
        now = stamp(self.now())
        last = session.history[-1] if session.history else {}
        if (last.get("phase"), last.get("message")) == (phase, message):
            last["attempts"] += 1
            last["updated_at"] = now
            return
        entry: dict[str, Any] = {
            "id": str(uuid.uuid4()),
            "session_id": session.id,
            "phase": phase,
            "from_status": None,
        }
        if phase != "enqueue":
            entry["from_status"] = "PENDING"
        moved = result == "SUCCESS" and phase != "enqueue"
        entry |= {"to_status": "SCHEDULED" if moved else "PENDING", "result": result, "error_code": None}
        entry |= {"message": message, "sub_steps": [], "attempts": 1, "created_at": now, "updated_at": now}
        session.history.append(entry)

    def listen(self, callback: Callable[[Session, str, dict[str, Any]], None]) -> Callable[[], None]:
        """Call `callback(session, event, data)` for what happens from now on; returns how to stop."""
        number = next(self._listener_ids)
        self._listeners[number] = callback
        return lambda: void(self._listeners.pop(number, None))

    def publish(self, session: Session, event: str, reason: str, *, kernel: bool = False) -> None:
        data: dict[str, Any] = {
            "reason": reason,
            "sessionName": session.name,
            "ownerAccessKey": session.user.access_key,
            "sessionId": session.id,
            "exitCode": None,
        }
        if kernel:
            data |= {"kernelId": session.kernel_id, "clusterRole": "main", "clusterIdx": 1}
        for callback in list(self._listeners.values()):
            callback(session, event, data)


def is_uuid(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def stamp(moment: datetime | None) -> str:
    """ISO 8601 with Z, as v2 writes it."""
    return "" if moment is None else moment.isoformat().replace("+00:00", "Z")


def void(_value: object) -> None:
    return None
