"""What can go wrong with one answer of the cluster: each column of the matrix, and what the user must read of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

SLOW = 6.0  # seconds; less than what any request may take
SILENCE = 40.0  # seconds; longer than anybody waits for one answer
NAMES = "A living session already has this name"


def problem(error_code: str, title: str, msg: str) -> str:
    """A problem document as the manager writes it."""
    return json.dumps(
        {"type": "https://api.backend.ai/probs/emulated", "title": title, "error_code": error_code, "msg": msg}
    )


@dataclass(frozen=True)
class Column:
    """`order`: the keywords of emulator.faults.Fault; `cause` and `cure`: regular expressions for the message."""

    name: str
    order: dict[str, Any] = field(hash=False)
    cause: str
    cure: str
    passes: bool = False  # a read that is tried again gets over it
    lost: bool = False  # nothing tells whether the server acted

    @property
    def heals(self) -> bool:
        """It comes once, and never again."""
        return self.name in ("timeout", "slow")


def _status(
    name: str, status: int, code: str, msg: str, *, cause: str, cure: str, headers: Any = None, **more: Any
) -> Column:
    order = {
        "action": "status",
        "status": status,
        "body": problem(code, "Ordered by a test.", msg),
        "headers": headers or {},
    }
    return Column(name, order, cause, cure, **more)


_UNREACHABLE = r"didn't answer in time or broke off|didn't answer|cut off|the connection broke"
_MANAGER = r"Check BACKEND_ENDPOINT and that the manager runs|run it again"

REFUSED = Column("refused", {"action": "last"}, r"Nothing answers at", _MANAGER, passes=True)

COLUMNS = (
    REFUSED,
    Column("reset", {"action": "reset"}, _UNREACHABLE, _MANAGER, passes=True, lost=True),
    Column("timeout", {"action": "timeout", "delay": SILENCE}, _UNREACHABLE, _MANAGER, passes=True, lost=True),
    _status("401", 401, "user_auth_unauthorized", "HMAC signature mismatch",
            cause=r"doesn't accept the credentials: HMAC signature mismatch",
            cure=r"Check BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY"),
    _status("403", 403, "permission_access_forbidden", "User lacks permission",
            cause=r"may not do this .*User lacks permission",
            cure=r"Use the key pair that owns the session"),
    _status("302", 302, "", "Found",
            cause=r"answers with a redirect to https://login\.example\.com/sso \(status 302\)",
            cure=r"Set BACKEND_ENDPOINT to the manager's API", headers={"Location": "https://login.example.com/sso?to=1"}),
    _status("404 gone", 404, "session_read_not-found", "No such session",
            cause=r"doesn't know this session",
            cure=r"Run `pulumi up` again|Run it again"),
    _status("404 address", 404, "api_read_not-found", "No such API",
            cause=r"doesn't know what was asked for",
            cure=r"Check that BACKEND_ENDPOINT"),
    _status("409", 409, "database_generic_already-exists", "duplicate key value",
            cause=NAMES + r"|conflict",
            cure=r"Choose another `session_name`|Run it again"),
    _status("429", 429, "api_generic_rate-limit-exceeded", "Too many requests",
            cause=r"limits the rate: Too many requests",
            cure=r"Wait and run it again", passes=True, headers={"Retry-After": "2"}),
    _status("500", 500, "backendai_generic_internal-error", "Internal error",
            cause=r"failed with status 500: Internal error",
            cure=r"Run it again", passes=True, lost=True),
    Column("502 page", {"action": "html"}, r"status 502|no JSON", r"[Rr]un it again", passes=True, lost=True),
    Column("half JSON", {"action": "truncate"}, r"no JSON|cut off|broke off|failed with status 500",
           r"[Rr]un it again|Check BACKEND_ENDPOINT", passes=True, lost=True),
    Column("slow", {"action": "slow", "delay": SLOW}, "", ""),
    _status("clock", 400, "user_auth_invalid-parameters", "Date/time sync error",
            cause=r"refuses the request's date: Date/time sync error",
            cure=r"Set this machine's clock"),
)  # fmt: skip
BY_NAME = {column.name: column for column in COLUMNS}
