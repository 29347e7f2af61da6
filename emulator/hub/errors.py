"""What the Hub refuses. The headers X-Error-Code and X-Error-Message decide the client's exception.

HubError
    InvalidToken        401  no code
    RepoNotFound        401 without a token, 404 with one
    GatedRepo           401 without a token, 403 for one that is not approved
    Disabled            403  no code
    RevisionNotFound    404
    EntryNotFound       404
    BadRequest          400
    RateLimited         429
    ServerError         5xx
"""

from collections.abc import Mapping


class HubError(Exception):
    """An answer that is an error: status, X-Error-Code ("" for none), X-Error-Message, more headers."""

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.headers = dict(headers or {})


class InvalidToken(HubError):
    def __init__(self) -> None:
        super().__init__(401, "", "Invalid credentials in Authorization header")


class RepoNotFound(HubError):
    """A repo that isn't there, or is private; who has no token is asked for one."""

    def __init__(self, *, signed_in: bool) -> None:
        status, message = (404, "Repository not found") if signed_in else (401, "Invalid username or password.")
        super().__init__(status, "RepoNotFound", message)


class GatedRepo(HubError):
    def __init__(self, repo_id: str, *, signed_in: bool) -> None:
        reason = (
            f"you are not in the authorized list. Visit https://huggingface.co/{repo_id} to ask for access."
            if signed_in
            else "You must have access to it and be authenticated to access it. Please log in."
        )
        joint = "and " if signed_in else ""
        message = f"Access to model {repo_id} is restricted{' ' if signed_in else '. '}{joint}{reason}"
        super().__init__(403 if signed_in else 401, "GatedRepo", message)


class Disabled(HubError):
    def __init__(self) -> None:
        super().__init__(403, "", "Access to this resource is disabled.")


class RevisionNotFound(HubError):
    def __init__(self, revision: str) -> None:
        super().__init__(404, "RevisionNotFound", f"Invalid rev id: {revision}")


class EntryNotFound(HubError):
    def __init__(self) -> None:
        super().__init__(404, "EntryNotFound", "Entry not found")


class BadRequest(HubError):
    def __init__(self, message: str) -> None:
        super().__init__(400, "", message)


class RateLimited(HubError):
    """`seconds` until the window ends."""

    def __init__(self, seconds: int) -> None:
        limits = {
            "RateLimit": f'"api";r=0;t={seconds}',
            "RateLimit-Policy": '"fixed window";"api";q=500;w=300',
        }
        super().__init__(429, "", "You have reached your api rate limit.", limits)


class ServerError(HubError):
    def __init__(self, status: int) -> None:
        super().__init__(status, "", "Internal Error - We're working hard to fix this as soon as possible!")
