"""The manager's error answers, one class each, as problem JSON (texts copied from a real 26.9.6).

Problem
├── 400 InvalidAuthParameters MalformedBody InvalidRequest InvalidParameters UnknownSlot InvalidQuantity
│       BadRequest QuotaExceeded SessionAlreadyExists
├── 401 AuthFailed
├── 403 Forbidden NotEnoughPermission
├── 404 UrlNotFound SessionNotFound NameNotFound ImageNotFound ResourceGroupNotFound ResourceGroupRowNotFound
│       DomainNotFound ProjectNotFound ProjectNameNotFound VFolderNotFound AgentNotFound AppNotFound
├── 405 MethodNotAllowed
├── 409 UniqueViolation
└── 5xx InternalError RestartNotImplemented AgentUnavailable AppProxyUnavailable
"""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

from emulator.http import Response

OBJECT, ENTITY, PARAMS, BAD = (
    "object-not-found",
    "entity-not-found",
    "invalid-api-params",
    "generic-bad-request",
)


class Problem(Exception):
    """A refused request; `msg` and `data` are left out of the answer when they are None."""

    status: ClassVar[int]
    kind: ClassVar[str]
    title: ClassVar[str]
    error_code: ClassVar[str]

    def __init__(self, msg: str | None = None, data: Any = None) -> None:
        super().__init__(msg or self.title)
        self.msg, self.data = msg, data

    def response(self) -> Response:
        texts = {"title": self.title, "error_code": self.error_code, "msg": self.msg, "data": self.data}
        return problem_response(self.status, self.kind, texts)


def problem_response(status: int, kind: str, texts: Mapping[str, Any]) -> Response:
    """A problem document, with the spacing of the real one; texts that are None are left out."""
    body = {"type": f"https://api.backend.ai/probs/{kind}"}
    body |= {key: value for key, value in texts.items() if value is not None}
    text = json.dumps(body, separators=(",", ":"))
    return Response(status, {"Content-Type": "application/problem+json; charset=utf-8"}, text.encode())


class InvalidAuthParameters(Problem):
    status, kind = 400, "invalid-auth-params"
    title, error_code = "Missing or invalid authorization parameters.", "user_auth_invalid-parameters"


class AuthFailed(Problem):
    status, kind = 401, "auth-failed"
    title, error_code = "Credential/signature mismatch.", "user_auth_unauthorized"


class Forbidden(Problem):
    status, kind = 403, "generic-forbidden"
    title, error_code = "Forbidden operation.", "backendai_generic_forbidden"


class NotEnoughPermission(Problem):
    status, kind = 403, "not-enough-permission"
    title, error_code = "Insufficient permission to perform this operation.", "permission_access_forbidden"


class MalformedBody(Problem):
    status, kind = 400, BAD
    title, error_code = "Malformed request body.", "api_parsing_bad-request"


class InvalidRequest(Problem):
    """The body doesn't fit the request's schema; msg is pydantic's text."""

    status, kind = 400, BAD
    title, error_code = "Invalid or Missing API Parameters.", "api_parsing_invalid-parameters"


class InvalidParameters(Problem):
    """The body fits, its values don't."""

    status, kind = 400, PARAMS
    title, error_code = "Missing or invalid API parameters.", "api_generic_invalid-parameters"


class BadRequest(Problem):
    status, kind = 400, BAD
    title, error_code = "Bad request.", "backendai_generic_bad-request"


class UnknownSlot(Problem):
    status, kind = 400, "unknown-resource-slot-type"
    title, error_code = "Unknown resource slot type.", "backendai_parsing_not-found"


class InvalidQuantity(Problem):
    status, kind = 400, "invalid-resource-slot-quantity"
    title, error_code = "Invalid resource slot quantity.", "backendai_parsing_invalid-parameters"


class QuotaExceeded(Problem):
    status, kind = 400, "quota-exceeded"
    title, error_code = "You have reached your resource limit.", "session_create_unavailable"


class SessionAlreadyExists(Problem):
    status, kind = 400, "session-already-exists"
    title = "The session already exists but you requested not to reuse existing one."
    error_code = "session_create_already-exists"


class UniqueViolation(Problem):
    status, kind = 409, "unique-constraint-violation"
    title, error_code = "Unique constraint violated.", "database_generic_already-exists"


class UrlNotFound(Problem):
    status, kind, title, error_code = 404, "url-not-found", "Unknown URL path.", "api_read_not-found"


class MethodNotAllowed(Problem):
    status, kind = 405, "method-not-allowed"
    title, error_code = "HTTP Method Not Allowed.", "api_access_forbidden"


class SessionNotFound(Problem):
    """By id."""

    status, kind, title, error_code = 404, OBJECT, "No such session.", "session_read_not-found"


class NameNotFound(Problem):
    """By name: the same error_code, another title."""

    status, kind, title, error_code = 404, ENTITY, "Entity not found.", "session_read_not-found"

    def __init__(self) -> None:
        super().__init__("No SessionRow matches the given key")


class ImageNotFound(Problem):
    status, kind = 404, OBJECT
    title, error_code = "No such environment image.", "image_read_not-found"


class ResourceGroupNotFound(Problem):
    status, kind = 404, OBJECT
    title, error_code = "No such resource group.", "resource-group_read_not-found"


class ResourceGroupRowNotFound(Problem):
    """Asked for by name where there must be one: the same error_code, another title."""

    status, kind, title, error_code = 404, ENTITY, "Entity not found.", "resource-group_read_not-found"


class DomainNotFound(Problem):
    status, kind, title, error_code = 404, ENTITY, "Entity not found.", "domain_read_not-found"


class ProjectNotFound(Problem):
    """By create."""

    status, kind, title, error_code = 404, ENTITY, "Entity not found.", "project_read_not-found"

    def __init__(self) -> None:
        super().__init__("No ProjectRow matches the given key")


class ProjectNameNotFound(Problem):
    """By check-presets."""

    status, kind = 404, "project-not-found"
    title, error_code = "Project not found.", "project_read_not-found"


class VFolderNotFound(Problem):
    status, kind = 404, OBJECT
    title, error_code = "No such virtual folder.", "vfolder_read_not-found"


class AgentNotFound(Problem):
    status, kind, title, error_code = 404, OBJECT, "No such agent.", "agent_read_not-found"


class AppNotFound(Problem):
    status, kind, title, error_code = 404, OBJECT, "No such app service.", "backendai_read_not-found"


class InternalError(Problem):
    status, kind = 500, "internal-server-error"
    title, error_code = "Internal server error.", "backendai_generic_internal-error"


class RestartNotImplemented(Problem):
    status, kind = 501, "not-implemented"
    title, error_code = "This API is not implemented.", "api_generic_not-implemented"

    def __init__(self) -> None:
        super().__init__("Session restart is no longer supported. Terminate the session and enqueue a new one instead.")


class AgentUnavailable(Problem):
    status, kind = 503, "agent-connection-unavailable"
    title, error_code = "Agent connection unavailable.", "agent_access_unavailable"


class AppProxyUnavailable(Problem):
    status, kind = 500, "appproxy-connection-error"
    title, error_code = "Failed to connect to AppProxy.", "appproxy_request_unavailable"
