"""Time: a thread that moves sessions along PENDING ... RUNNING ... TERMINATED.

The queue is first in, first out. A session over its user's quota is passed over; one that no agent can hold
blocks all behind it. Neither is told anything: the reason stands in the scheduling history.
"""

import threading
import time
from decimal import Decimal

from emulator.cluster.models import OCCUPYING, Cluster, Session

LOOK_AGAIN = 0.25  # seconds between looks at faults and queues that nobody announces
NEXT = {"SCHEDULED": "PREPARING", "PREPARING": "PREPARED", "PREPARED": "CREATING", "CREATING": "RUNNING"}
SCHEDULER = "triggered-by-scheduler"
# What is told when a status is reached: event, reason. The order is the measured one.
EVENTS = {
    "PREPARING": [("session_preparing", "passed-preconditions")],
    "PREPARED": [("session_prepared", SCHEDULER)],
    "CREATING": [("kernel_preparing", ""), ("kernel_creating", "")],
    "RUNNING": [("kernel_started", ""), ("session_creating", SCHEDULER), ("session_started", SCHEDULER)],
}


class Scheduler(threading.Thread):
    """Runs until the cluster is closed; sleeps while nothing lives."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(name="scheduler", daemon=True)
        self._cluster = cluster

    def run(self) -> None:
        cluster = self._cluster
        with cluster.changed:
            while not cluster.closed:
                self._advance()
                cluster.changed.wait(self._pause())

    def _pause(self) -> float | None:
        living = self._cluster.living()
        if not living:
            return None
        now = time.monotonic()
        return max(0.005, min([LOOK_AGAIN, *(s.due - now for s in living if s.due > now)]))

    def _advance(self) -> None:
        faults = self._cluster.faults
        self._queue()
        for session in self._cluster.living():
            if session.due > time.monotonic() or session.status == faults.stuck_status or faults.agent_lost:
                continue
            if session.status in NEXT:
                self._step(session)
            elif session.status == "RUNNING":
                self._watch(session)
            elif session.status == "TERMINATING":
                self._cluster.end(session)

    # -- PENDING -----------------------------------------------------------------------------------

    def _queue(self) -> None:
        cluster = self._cluster
        if cluster.faults.no_agent or cluster.faults.agent_lost or cluster.faults.stuck_status == "PENDING":
            return
        for session in [s for s in cluster.living() if s.status == "PENDING"]:
            if session.due > time.monotonic():
                break
            if reason := self._over_quota(session):
                cluster.record(session, "schedule-sessions", "NEED_RETRY", reason)
                continue
            if reason := self._unplaceable(session):
                cluster.record(session, "schedule-sessions", "NEED_RETRY", reason)
                break
            session.scheduled = True
            cluster.record(session, "schedule-sessions", "SUCCESS", "schedule-sessions success")
            cluster.move(session, "SCHEDULED", due=cluster.settings.tick)
            cluster.publish(session, "session_scheduled", SCHEDULER)

    def _over_quota(self, session: Session) -> str:
        policy, usage = session.user.policy, self._cluster.usage(session.user)
        over = [
            f"  - {slot}: used {usage[slot]} + requested {amount} > limit {policy.slots[slot]} "
            f"(over by {usage[slot] + amount - policy.slots[slot]})"
            for slot, amount in session.resources.items()
            if slot in policy.slots and usage[slot] + amount > policy.slots[slot]
        ]
        if over:
            lines = "\n".join(["Your default-keypair resource quota is exceeded.", *over])
            return f"User resource quota exceeded. ({lines})"
        mine = [s for s in self._cluster.living() if s.user == session.user and s.status in OCCUPYING]
        limit = policy.max_concurrent_sessions
        if limit is not None and len(mine) >= limit:
            return f"Concurrent session limit exceeded. (You cannot run more than {limit} concurrent sessions)"
        return ""

    def _unplaceable(self, session: Session) -> str:
        usage, capacity = self._cluster.usage(), self._cluster.settings.capacity
        missing = [
            f"  - {slot}: missing={amount - (capacity[slot] - usage[slot]):.6f}"
            for slot, amount in session.resources.items()
            if amount > capacity[slot] - usage[slot]
        ]
        if not missing:
            return ""
        slots = " ".join(f"{slot}={amount:.6f}" for slot, amount in session.resources.items())
        head = f"- requirement #0 (containers=1, arch=x86_64, slots={slots})"
        head += ": no agents passed the 'resource' filter"
        lines = "\n".join(["1 requirement(s) could not be placed:", head, *missing])
        return f"Some kernels could not be placed on any agent. ({lines})"

    # -- from SCHEDULED on -------------------------------------------------------------------------

    def _step(self, session: Session) -> None:
        cluster, faults = self._cluster, self._cluster.faults
        if session.status == "PREPARING" and faults.pull_fail:
            session.status_info = "All kernels cancelled"
            session.kernel_status_info = f"Image pull failed: RuntimeError({faults.pull_fail!r})"
            cluster.move(session, "CANCELLED")
            cluster.publish(session, "session_cancelled", session.status_info)
            return
        if session.status == "CREATING" and (faults.create_fail or "BAI_FAULT_CREATE_FAIL" in session.environ):
            cluster.begin_end(session, None, "failed-to-create")
            return
        status = NEXT[session.status]
        if status == "RUNNING":
            self._start(session)
        delay = float(session.environ.get("BAI_FAULT_CREATE_DELAY", 0)) if status == "CREATING" else 0
        cluster.move(session, status, due=cluster.settings.tick + delay if status != "RUNNING" else 0)
        for event, why in EVENTS[status]:
            cluster.publish(session, event, why, kernel=event.startswith("kernel_"))

    def _start(self, session: Session) -> None:
        processes = self._cluster.processes
        apps = [("sshd", "tcp", 2200), ("ttyd", "http", 7681)]
        apps += [(str(port), "preopen", port) for port in session.ports]
        session.service_ports = [
            {
                "name": name,
                "protocol": protocol,
                "host_ports": [processes.free_port()],
                "is_inference": False,
                "container_ports": [port],
            }
            for name, protocol, port in [*apps, *session.image.service_ports]
        ]
        session.starts_at = self._cluster.now()
        session.kernel_status_info = ""
        if session.type == "batch" and session.command:
            environ = environment(self._cluster, session)
            session.process = processes.start(session.id, session.command, environ, session.mounts, self._notify)

    def _notify(self) -> None:
        with self._cluster.changed:
            self._cluster.changed.notify_all()

    def _watch(self, session: Session) -> None:
        if session.process is None or session.starts_at is None:
            return
        if session.process.ended:
            succeeded = session.process.exit_code == 0
            self._end(session, "SUCCESS" if succeeded else "FAILURE", "finished" if succeeded else "failed")
        elif session.batch_timeout:
            age = (self._cluster.now() - session.starts_at).total_seconds()
            if age > session.batch_timeout:
                self._end(session, "FAILURE", "timeout")

    def _end(self, session: Session, result: str, how: str) -> None:
        session.result = result
        event = "session_success" if result == "SUCCESS" else "session_failure"
        self._cluster.publish(session, event, f"task-{how}")
        self._cluster.begin_end(session, f"task-{how}")


def environment(cluster: Cluster, session: Session) -> dict[str, str]:
    """What a session's process is told beside PATH and HOME; the session's own environ wins."""
    gpus = sum((n for slot, n in session.resources.items() if slot.startswith("cuda.")), Decimal(0))
    told = {"EMULATOR_GPUS": str(gpus)}
    if cluster.settings.hub_endpoint:
        told["HF_ENDPOINT"] = cluster.settings.hub_endpoint
    if cluster.settings.load_seconds is not None:
        told["VLLM_STANDIN_LOAD_SECONDS"] = str(cluster.settings.load_seconds)
    for port in session.ports:
        told[f"EMULATOR_PORT_{port}"] = str(session.host_port(str(port)))
    return told | dict(session.environ)
