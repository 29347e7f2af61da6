"""What can go wrong when we talk to the cluster.

ClusterError                 every failure that leaves this room; its text is safe to show to anybody
├── InvalidConnection        endpoint or credentials are missing or can't be understood
├── AuthenticationFailed     401: the cluster doesn't accept the key pair
├── ClockSkew                400: this machine's clock is more than 15 minutes off
├── PermissionDenied         403: the key pair may not do this
├── NotFound                 404: image, resource group, project, folder or address
│   └── SessionNotFound      404 `session_read_not-found`, the only answer that means "gone"
├── InvalidRequest           400: the cluster refuses what was asked
├── NameTaken                another living session has this name
├── RateLimited              429
├── Unreachable              no answer; `sent` says whether the request may have been acted on
├── ServerFault              5xx, or an answer that can't be read; may have been acted on
├── AppProxyFault            the app-proxy's address leads nowhere; the manager's tunnel remains
├── SessionStuck             a session doesn't reach the state it was told to
└── WrongCluster             the session was made at another endpoint and isn't known at this one

An exception of the SDK never crosses this room's wall: one kind of it carries the Authorization header.
"""

from __future__ import annotations


class ClusterError(Exception):
    """A failure with a code for programs, what happened, and what cures it."""

    code = "cluster"
    retry_after = ""  # the answer's Retry-After header, for retrying.py

    def __init__(self, what: str, cure: str = "", *, code: str | None = None) -> None:
        super().__init__(what, cure)
        self.what = what
        self.cure = cure
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.what} {self.cure}".strip()


class InvalidConnection(ClusterError):
    code = "invalid-connection"


class AuthenticationFailed(ClusterError):
    code = "authentication-failed"


class ClockSkew(ClusterError):
    code = "clock-skew"


class PermissionDenied(ClusterError):
    code = "permission-denied"


class NotFound(ClusterError):
    code = "not-found"


class SessionNotFound(NotFound):
    code = "session-not-found"


class InvalidRequest(ClusterError):
    code = "invalid-request"


class NameTaken(ClusterError):
    code = "name-taken"


class RateLimited(ClusterError):
    code = "rate-limited"


class Unreachable(ClusterError):
    code = "unreachable"

    def __init__(self, what: str, cure: str = "", *, sent: bool = True) -> None:
        super().__init__(what, cure)
        self.sent = sent


class ServerFault(ClusterError):
    code = "server-fault"


class AppProxyFault(ClusterError):
    code = "app-proxy"


class SessionStuck(ClusterError):
    code = "session-stuck"


class WrongCluster(ClusterError):
    code = "wrong-cluster"
