"""Where the cluster is and who we are there: environment first, stack config second."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .errors import InvalidConnection

# Per value: the environment variables in order, and the key of the stack config that comes after them.
SOURCES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "endpoint": (("BACKEND_ENDPOINT", "BACKEND_AI_ENDPOINT"), "cluster.endpoint"),
    "access_key": (("BACKEND_ACCESS_KEY", "BACKEND_AI_ACCESS_KEY"), "access_key"),
    "secret_key": (("BACKEND_SECRET_KEY", "BACKEND_AI_SECRET_KEY"), "secret_key"),
}


@dataclass(frozen=True)
class Connection:
    """One key pair at one manager.  Timeouts are in seconds."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    domain: str = "default"
    connect_timeout: float = 10.0
    read_timeout: float = 30.0


def connection_from(
    config: Callable[[str], str | None] = lambda _key: None,
    *,
    domain: str = "default",
    environ: Mapping[str, str] | None = None,
) -> Connection:
    """The connection that environment and stack config describe.

    `config` looks up one key of SOURCES in the stack config.  Raises InvalidConnection, naming everything that
    is missing at once.
    """
    env = os.environ if environ is None else environ
    found: dict[str, str] = {}
    missing: list[str] = []
    for name, (variables, key) in SOURCES.items():
        value = next((env[v] for v in variables if env.get(v)), None) or config(key)
        if value:
            found[name] = value.strip()
        else:
            missing.append(f"{variables[0]} (or the stack config key {key})")
    if missing:
        raise InvalidConnection(
            f"Backend.AI credentials are missing: {', '.join(missing)}.",
            "Export the variables, or set the stack config keys (access_key and secret_key with "
            "`pulumi config set --secret`); a refresh still uses the stack config of the last `up`.",
        )
    return Connection(check_endpoint(found["endpoint"]), found["access_key"], found["secret_key"], domain)


def check_endpoint(endpoint: str) -> str:
    """The endpoint without a trailing slash; InvalidConnection when it isn't one absolute http(s) URL."""
    cure = "Set BACKEND_ENDPOINT or cluster.endpoint to one URL such as https://manager.example.com."
    if "," in endpoint:
        # With a list the SDK may send one POST twice: a session could be created twice.
        raise InvalidConnection(f"The Backend.AI endpoint '{endpoint}' names more than one server.", cure)
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise InvalidConnection(f"The Backend.AI endpoint '{endpoint}' is no absolute http(s) URL.", cure)
    return endpoint.rstrip("/")
