"""From an HTTP answer to one of our errors: by status and `error_code`, never by title."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from . import errors
from .redaction import redact
from .retrying import asked_to_wait

REDIRECTS = range(300, 400)


class Rule(NamedTuple):
    status: int | None  # None: any
    error_code: str | None  # None: any
    error: type[errors.ClusterError]
    what: str  # {msg}: the cluster's own words, {endpoint}: where we asked
    cure: str


# First match wins.
RULES: tuple[Rule, ...] = (
    Rule(
        401,
        None,
        errors.AuthenticationFailed,
        "The cluster at {endpoint} doesn't accept the credentials: {msg}.",
        "Check BACKEND_ACCESS_KEY and BACKEND_SECRET_KEY (the environment wins over the stack config), "
        "and that the endpoint is the cluster the key pair belongs to. Keys that were changed in the stack config: "
        "export them for one run, because a refresh still uses those of the last `up`.",
    ),
    Rule(
        400,
        "user_auth_invalid-parameters",
        errors.ClockSkew,
        "The cluster at {endpoint} refuses the request's date: {msg}.",
        "Set this machine's clock (it may be at most 15 minutes off), for example with NTP.",
    ),
    Rule(
        403,
        None,
        errors.PermissionDenied,
        "The key pair may not do this at {endpoint}: {msg}.",
        "Use the key pair that owns the session, or ask the cluster's administrator.",
    ),
    Rule(
        404,
        "session_read_not-found",
        errors.SessionNotFound,
        "The cluster at {endpoint} doesn't know this session: {msg}.",
        "Run `pulumi up` again: what is gone is made anew.",
    ),
    Rule(
        404,
        "image_read_not-found",
        errors.NotFound,
        "The image isn't registered in the cluster: {msg}.",
        "Set `cluster.image` to one that `backend.ai image list` shows, or have it scanned in by the administrator.",
    ),
    Rule(
        404,
        "resource-group_read_not-found",
        errors.NotFound,
        "The resource group '{msg}' doesn't exist in the cluster.",
        "Set `cluster.resource_group` to one that `backend.ai scaling-group list` shows.",
    ),
    Rule(
        404,
        "project_read_not-found",
        errors.NotFound,
        "The project or domain doesn't exist in the cluster: {msg}.",
        "Set `cluster.project` and `cluster.domain` to ones that you are a member of.",
    ),
    Rule(
        404,
        "vfolder_read_not-found",
        errors.NotFound,
        "A folder named in `mounts` doesn't exist or isn't yours: {msg}.",
        "`backend.ai vfolder list` shows the folders that can be mounted.",
    ),
    Rule(
        404,
        "agent_read_not-found",
        errors.NotFound,
        "The session never had an agent, so there is nothing to read: {msg}.",
        "",
    ),
    Rule(
        404,
        None,
        errors.NotFound,
        "The cluster at {endpoint} doesn't know what was asked for: {msg}.",
        "Check that BACKEND_ENDPOINT is the manager's API address, without a path behind it.",
    ),
    Rule(
        400,
        "session_create_already-exists",
        errors.NameTaken,
        "A living session already has this name: {msg}.",
        "Choose another `session_name`, or terminate that session.",
    ),
    Rule(
        409,
        "database_generic_already-exists",
        errors.NameTaken,
        "A living session already has this name: {msg}.",
        "Choose another `session_name`, or terminate that session.",
    ),
    Rule(
        409,
        None,
        errors.InvalidRequest,
        "The cluster reports a conflict: {msg}.",
        "Run it again when what is under way with the session is over.",
    ),
    Rule(
        400,
        "session_create_unavailable",
        errors.InvalidRequest,
        "The key pair's resource policy refuses the session: {msg}.",
        "Ask for less, end another session, or have the policy raised by the administrator.",
    ),
    Rule(
        400,
        "backendai_parsing_not-found",
        errors.InvalidRequest,
        "The resource group doesn't serve a slot that was asked for: {msg}.",
        "`cluster.gpu_unit` must be the one the resource group counts in: cuda.device (whole cards) or cuda.shares.",
    ),
    Rule(429, None, errors.RateLimited, "The cluster at {endpoint} limits the rate: {msg}.", "Wait and run it again."),
    Rule(400, None, errors.InvalidRequest, "The cluster refuses the request: {msg}.", "Mend the value it names."),
    Rule(
        None,
        None,
        errors.ServerFault,
        "The cluster at {endpoint} failed with status {status}: {msg}.",
        "Run it again; if it stays, the cluster's administrator finds the reason in the manager's log.",
    ),
)


def classify(
    status: int,
    data: Any,
    *,
    endpoint: str,
    secrets: tuple[str, ...] = (),
    retry_after: str | None = None,
    location: str | None = None,
) -> errors.ClusterError:
    """The error for an answer with this status, problem document, Retry-After and Location headers."""
    if status in REDIRECTS:
        return _redirected(endpoint, status, location)
    problem: Mapping[str, Any] = data if isinstance(data, Mapping) else {}
    error_code = str(problem.get("error_code", ""))
    rule = next(r for r in RULES if r.status in (None, status) and r.error_code in (None, error_code))
    fields = {"endpoint": endpoint, "status": status, "msg": redact(_words(problem), secrets)}
    error = rule.error(rule.what.format(**fields).replace("..", "."), rule.cure)
    if error_code:
        error.code = error_code
    error.retry_after = retry_after or ""
    if isinstance(error, errors.RateLimited) and (seconds := asked_to_wait(error.retry_after, datetime.now(UTC))):
        error.what = f"{error.what} It asks to be left alone for {seconds:.0f} s."
    return error


def _redirected(endpoint: str, status: int, location: str | None) -> errors.InvalidConnection:
    """Of a login page or of another scheme: it is never followed, because the request is signed for this address."""
    parts = urlsplit(location or "")
    where = f" to {parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else ""
    return errors.InvalidConnection(
        f"{endpoint} answers with a redirect{where} (status {status}): it isn't the manager's own address.",
        "Set BACKEND_ENDPOINT to the manager's API (http or https as it is), not to a page before it.",
    )


def _words(problem: Mapping[str, Any]) -> str:
    """The cluster's own words in one line of bounded length."""
    text = problem.get("msg") or problem.get("title") or "no reason given"
    if isinstance(data := problem.get("data"), (dict, list)) and data and not problem.get("msg"):
        text = f"{text} {data}"
    return " ".join(str(text).split())[:400].rstrip(".")
