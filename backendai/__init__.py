"""The only door to a Backend.AI cluster.  Importing it costs nothing: the SDK loads with the first conversation.

async with Api(connection_from()) as api:
    state = await sessions.read(api, session_id)
"""

from __future__ import annotations

from . import errors, sessions
from .api import Api
from .app_proxy import Circuit, open_circuit
from .capacity import Capacity, Shortfall, Want
from .capacity_reads import look
from .connection import Connection, connection_from
from .errors import ClusterError
from .reader import Reader
from .redaction import redact
from .sessions import SessionSpec, SessionState
from .statuses import Stage
from .tunnel import open_tunnel

__all__ = [
    "Api",
    "Capacity",
    "Circuit",
    "ClusterError",
    "Connection",
    "Reader",
    "SessionSpec",
    "SessionState",
    "Shortfall",
    "Stage",
    "Want",
    "connection_from",
    "errors",
    "look",
    "open_circuit",
    "open_tunnel",
    "redact",
    "sessions",
]
