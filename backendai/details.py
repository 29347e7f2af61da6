"""What only the cluster's GraphQL tells of a session: its image, its shared memory, its domain."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .capacity_reads import Asks
from .retrying import reading

_QUERY = "query($id: UUID!) { compute_session(id: $id) { image resource_opts domain_name } }"


@dataclass(frozen=True)
class Details:
    """None where the cluster doesn't say it.  `shmem`: bytes."""

    image: str | None = None
    domain: str | None = None
    shmem: int | None = None


async def details(api: Asks, session_id: str) -> Details:
    """Of a session that the caller may see.  Raises ClusterError."""
    body = {"query": _QUERY, "variables": {"id": session_id}}
    answer = await reading(lambda: api.call("POST", "/admin/gql", body=body))
    row = (answer.get("data") or {}).get("compute_session") or {}
    return Details(
        image=row.get("image") or None,
        domain=row.get("domain_name") or None,
        shmem=next(_shmem(row.get("resource_opts")), None),
    )


def _shmem(options: Any) -> Iterator[int]:
    """Of one kernel, or by the kernel's name; the value may be text."""
    if isinstance(options, str):
        try:
            options = json.loads(options)
        except ValueError:
            return
    if not isinstance(options, dict):
        return
    if str(options.get("shmem") or "").isdecimal():
        yield int(options["shmem"])
    for value in options.values():
        if isinstance(value, dict):
            yield from _shmem(value)
