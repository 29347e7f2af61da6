"""`bai-vllm list --output json`: one object a session, the same keys in each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cli.cluster import Row
from cli.stack import Stack


def document(stack: Stack, endpoint: str, rows: Sequence[Row], *, one_line: bool = False) -> str:
    """`sessions` has the stack's models first; `in_stack` tells them from the others."""
    content = {"stack": stack.name, "endpoint": endpoint, "sessions": [entry(row) for row in rows]}
    return json.dumps(content, indent=None if one_line else 2)


def entry(row: Row) -> dict[str, Any]:
    """One session; None where nothing is known.  Ages are in seconds, `kv_cache_use` from 0 to 1."""
    deployed, session, load, age = row.deployed, row.session, row.load, row.age()
    return {
        "model": row.model,
        "replica": deployed.replica if deployed else None,
        "in_stack": deployed is not None or session is None,
        "stack_id": session.stack_id if session else None,
        "session_name": row.session_name or None,
        "session_id": row.session_id,
        "state": row.state,
        "status": session.status if session else None,
        "detail": row.detail or None,
        "cure": row.cure or None,
        "age_seconds": round(age) if age is not None else None,
        "ended_at": session.ended_at.isoformat() if session and session.ended_at else None,
        "gpus": row.gpus,
        "resource_group": session.resource_group if session else deployed.resource_group if deployed else None,
        "hub_model": row.hub_model or None,
        "url": deployed.url if deployed else None,
        "via": deployed.via if deployed else None,
        "requests_running": load.running if load else None,
        "requests_waiting": load.waiting if load else None,
        "kv_cache_use": round(load.kv_use, 4) if load and load.kv_use is not None else None,
    }
