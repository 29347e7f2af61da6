"""The only door to a Backend.AI cluster.  Importing it costs nothing: the SDK loads with the first conversation.

async with Api(connection_from()) as api:
    state = await sessions.read(api, session_id)
"""

from __future__ import annotations

from . import errors, sessions
from .api import Api
from .app_proxy import Circuit, open_circuit
from .connection import Connection, connection_from
from .errors import ClusterError
from .redaction import redact
from .sessions import SessionSpec, SessionState
from .statuses import Stage
from .tunnel import open_tunnel

__all__ = [
    "Api",
    "Circuit",
    "ClusterError",
    "Connection",
    "SessionSpec",
    "SessionState",
    "Stage",
    "connection_from",
    "errors",
    "open_circuit",
    "open_tunnel",
    "redact",
    "sessions",
]
