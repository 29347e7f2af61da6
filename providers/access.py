"""From stack config and environment to a connection, in the provider process and in the program."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backendai import Connection


def connection_of(get: Callable[[str], Any], *, domain: str = "default") -> Connection:
    """The cluster connection, where `get` looks up a key of the stack config (objects come as JSON text).

    Raises backendai.errors.InvalidConnection.
    """
    from backendai import connection_from

    def lookup(path: str) -> str | None:
        key, _, inner = path.partition(".")
        value = get(key)
        if inner and isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                return None
        if inner:
            value = value.get(inner) if isinstance(value, dict) else None
        return str(value) if value else None

    return connection_from(lookup, domain=domain)
