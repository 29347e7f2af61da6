"""Where the cluster is, who we are there and which certificates we trust: environment first, stack config second."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .errors import InvalidConnection, Unreachable

if TYPE_CHECKING:
    import ssl

# Per value: the environment variables in order, and the key of the stack config that comes after them.
SOURCES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "endpoint": (("BACKEND_ENDPOINT", "BACKEND_AI_ENDPOINT"), "cluster.endpoint"),
    "access_key": (("BACKEND_ACCESS_KEY", "BACKEND_AI_ACCESS_KEY"), "access_key"),
    "secret_key": (("BACKEND_SECRET_KEY", "BACKEND_AI_SECRET_KEY"), "secret_key"),
}
CA_FILE = (("BACKEND_CA_FILE",), "cluster.ca_file")
INSECURE = (("BACKEND_INSECURE",), "cluster.insecure")
NOT_WHOLE = "A proxy in between may have answered, or the answer was cut off; run it again."  # a cure
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class Connection:
    """One key pair at one manager.  Timeouts are in seconds.

    `ca_file`: authorities to trust beside the system's; `insecure`: no certificate is verified.
    """

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    domain: str = "default"
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    ca_file: str | None = None
    insecure: bool = False

    def tls(self) -> ssl.SSLContext:
        """How certificates are verified, the cluster's and its app-proxy's.  Raises InvalidConnection."""
        return _tls(self.ca_file, self.insecure)


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
    endpoint = check_endpoint(found["endpoint"])
    ca_file, insecure = _value(CA_FILE, config, env), _flag(_value(INSECURE, config, env))
    if insecure:
        _warn(endpoint)
    keys = (found["access_key"], found["secret_key"])
    connection = Connection(endpoint, *keys, domain, ca_file=ca_file or None, insecure=insecure)
    if ca_file:
        connection.tls()
    return connection


def check_the_way(endpoint: str) -> str:
    """The cure where nobody, or somebody else, answers."""
    return f"Check BACKEND_ENDPOINT and that the manager runs; `curl {endpoint}/` must answer."


def untrusted(endpoint: str, why: object) -> Unreachable:
    """The error for a certificate that isn't trusted."""
    return Unreachable(
        f"The certificate of {endpoint} isn't trusted ({why}).",
        "Set cluster.ca_file (or BACKEND_CA_FILE) to the PEM file of the authority that has issued it. "
        "`cluster.insecure: true` verifies no certificate at all: anybody on the way could take the cluster's place.",
        sent=False,
    )


def _value(source: tuple[tuple[str, ...], str], config: Callable[[str], str | None], env: Mapping[str, str]) -> str:
    variables, key = source
    return (next((env[v] for v in variables if env.get(v)), None) or config(key) or "").strip()


def _flag(text: str) -> bool:
    if text.lower() in _YES | _NO:
        return text.lower() in _YES
    raise InvalidConnection(f"BACKEND_INSECURE (or cluster.insecure) is '{text}'.", "Write true or false.")


@cache
def _warn(endpoint: str) -> None:
    """Once a process."""
    what = f"warning: insecure is set: nobody verifies that it is {endpoint} who answers; set cluster.ca_file instead."
    print(what, file=sys.stderr, flush=True)


@cache
def _tls(ca_file: str | None, insecure: bool) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context()
    if insecure:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif ca_file:
        try:
            context.load_verify_locations(Path(ca_file).expanduser())
        except OSError as error:  # an SSLError is one
            cure = "Set cluster.ca_file (or BACKEND_CA_FILE) to a file of certificates in PEM form."
            why = error.strerror or type(error).__name__
            raise InvalidConnection(f"The CA file {ca_file} can't be used ({why}).", cure) from None
    return context


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
