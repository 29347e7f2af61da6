"""Every call that create, read, update and delete make: the rows of the matrix.

test_rows.py records what the real CLI asks and compares: a call without a row fails there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from .columns import COLUMNS, Column, problem

WHENS = ("before", "after")  # the server acts
CONFLICT = problem("session_terminate_conflict", "Ordered by a test.", "another operation is under way")
HANDSHAKE = {
    "timeout": r"nothing came back within|didn't answer in time",
    "401": r"doesn't accept the credentials",
    "403": r"may not do this",
    "404 gone": r"doesn't know what was asked for",
    "429": r"limits the rate",
    "500": r"failed with status 500",
    "clock": r"refuses the request",
}
ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@dataclass(frozen=True)
class Row:
    """One call. `skip`: how many like it the operation makes before; `command`: the CLI's, in which it is recorded."""

    operation: str
    call: str  # method and path, {id} and {domain} for what differs
    command: str = "up"
    skip: int = 0
    writes: bool = False
    note: str = ""
    service: str = "cluster"  # who is asked: Fault.service

    @property
    def method(self) -> str:
        return self.call.split()[0]

    @property
    def path(self) -> str:
        """A regular expression for Fault.path."""
        text = re.escape(self.call.split()[1]).replace(r"\{id\}", ID).replace(r"\{domain\}", "[^/]+")
        return f"^{text}$"

    @property
    def label(self) -> str:
        notes = [note for note in (self.note, self.service) if note and note != "cluster"]
        return f"{self.operation}: {self.call}" + (f" ({', '.join(notes)})" if notes else "")


SEARCH, SESSION, LOGS = "POST /v2/sessions/my/search", "GET /v2/sessions/{id}", "GET /v2/sessions/{id}/logs"
TUNNEL = "GET /stream/session/{id}/tcpproxy"

ROOM = tuple(
    Row("room", call)
    for call in (
        "POST /resource/check-presets",
        SEARCH,
        "POST /admin/gql",
        "GET /v2/domains/{domain}",
        "POST /v2/resource-groups/scoped/search",
        "POST /v2/sessions/compute-schedule",
        "GET /folders",
    )
)
CREATE = (Row("create", SEARCH), Row("create", "POST /session", writes=True))
WAIT = (Row("wait", SESSION), Row("wait", LOGS), Row("wait", TUNNEL))
PROVE = (
    Row("prove", SESSION),
    Row("prove", TUNNEL, note="a completion"),
    Row("prove", "POST /v2/sessions/{id}/services/start", writes=True),
    Row("prove", LOGS),
    Row("prove", TUNNEL, skip=1, note="/metrics"),
)
# Asked only where the cluster has an app-proxy, after PROVE's services/start and in a refresh.
PROXY = (
    Row("prove", "GET /v2/proxy/auth", service="app-proxy"),
    Row("prove", "GET /setup", service="app-proxy"),
    Row("prove", "GET /health", service="app-proxy"),
)
LOOK_PROXY = (Row("look again", "GET /health", "refresh", service="app-proxy"),)
READ = (
    Row("read", SESSION, "refresh"),
    Row("read, ended", "POST /admin/gql", "refresh of ended"),
    Row("read, ended", LOGS, "refresh of ended"),
)
SERVED = (Row("read", TUNNEL, "refresh", note="what it serves"),)
LOOK = (Row("look again", SESSION, "refresh"), Row("look again", TUNNEL, "refresh"))
UPDATE = (
    Row("update", SESSION, "up, renamed"),
    Row("update", "PATCH /v2/sessions/{id}", "up, renamed", writes=True),
)
DELETE = (
    Row("delete", SESSION, "destroy"),
    Row("delete", "DELETE /session/{id}", "destroy", writes=True),
    Row("delete", SESSION, "destroy", skip=1, note="has it ended?"),
)
REPLACE = (
    Row("leftover", SEARCH),
    Row("leftover", SESSION),
    Row("leftover", "DELETE /session/{id}", writes=True),
    Row("leftover", SESSION, skip=1, note="has it ended?"),
    Row("leftover", "POST /session", writes=True),
)
ROWS = (
    *(*ROOM, *CREATE, *WAIT, *PROVE, *PROXY),
    *(*READ, *SERVED, *LOOK, *LOOK_PROXY, *UPDATE, *DELETE, *REPLACE),
)


@dataclass(frozen=True)
class Cell:
    row: Row
    when: str
    column: Column

    @property
    def id(self) -> str:
        return f"{self.row.label} | {self.when} | {self.column.name}"

    @property
    def waits(self) -> bool:
        """Half a minute and more, until a plain destroy is forced."""
        return self.row.method == "DELETE" and self.column.lost and self.when == "before"

    @property
    def names(self) -> bool:
        """Whether the call is about a name, which may be taken."""
        return self.row.call.startswith(("POST /session", "PATCH"))

    @property
    def cause(self) -> str:
        """What the message says.  Of a websocket that is refused, only the status is known."""
        return HANDSHAKE.get(self.column.name, self.column.cause) if self.row.call == TUNNEL else self.column.cause

    @property
    def once(self) -> bool:
        """Whether one answer is spoilt, and not all of that run: afterwards the cluster is sound again."""
        return self.when == "after" or self.column.heals

    def order(self, **more: object) -> dict[str, object]:
        """The keywords of Fault."""
        order = dict(self.column.order)
        if self.column.name == "409" and not self.names:
            order["body"] = CONFLICT
        return {
            **order,
            "method": self.row.method,
            "path": self.row.path,
            "when": self.when,
            "skip": self.row.skip,
            "service": self.row.service,
            "times": 1 if self.once else -1,
            **more,
        }


def cells(*rows: Row) -> list[Cell]:
    return [Cell(row, when, column) for row in rows for when in WHENS for column in COLUMNS]


def empty(cell: Cell) -> str:
    """Why a combination can't occur; "" when it can."""
    row, column = cell.row, cell.column
    if column.name == "refused" and cell.when == "after":
        return "a connection that is refused never reaches the server"
    gone = column.name == "404 gone"
    if gone and row in (DELETE[0], DELETE[2], REPLACE[1], REPLACE[3]):
        return "the one answer that means gone: whoever gives it for a living session can't be caught out"
    if gone and row.operation == "room":
        return "asks for no session by its id"
    if column.name == "302" and row.call == TUNNEL:
        return "a websocket's handshake goes where it is sent, without the signature"
    if column.name == "409" and not row.writes:
        return "a read changes nothing that could be in conflict"
    return ""


def heals(cell: Cell) -> bool:
    """Whether the run itself gets over it, exit code 0."""
    row, column = cell.row, cell.column
    if column.name == "slow":
        return True
    if column.name == "404 gone":
        return row in (READ[0], LOOK[0]) or (row.call.startswith("DELETE") and cell.when == "after")
    if not row.writes:
        return column.passes and cell.once
    if row.call == "POST /session":
        return cell.when == "after" and (column.lost or column.name == "409")
    if row.method == "DELETE":
        return cell.once and column.lost
    return False
