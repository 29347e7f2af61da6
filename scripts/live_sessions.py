"""`python -m scripts.live_sessions`: the caller's living sessions; exit code 1 when there are any."""

from __future__ import annotations

import asyncio
import sys

from backendai import Api, ClusterError, connection_from, statuses


async def living() -> list[str]:
    """One line a session.  Raises ClusterError."""
    body = {"filter": {"status": {"not_in": list(statuses.ENDED)}}, "limit": 100}
    async with Api(connection_from()) as api:
        answer = await api.call("POST", "/v2/sessions/my/search", body=body)
    return [f"{s['id']} {s['metadata']['name']} {s['lifecycle']['status']}" for s in answer["items"]]


def main() -> int:
    try:
        found = asyncio.run(living())
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for line in found:
        print(f"error: this session is still there: {line}", file=sys.stderr)
    if found:
        cure = (
            "If it is of another stack of this clone: source .local/env; pulumi stack ls; pulumi destroy --stack NAME"
        )
        print(cure, file=sys.stderr)
    else:
        print("  cluster no session is left")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
