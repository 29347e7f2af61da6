"""From a name or an address to the servers that are asked, and where to look when one fails."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from .command import KEY_VARIABLE
from .steps import Trial, attempt

if TYPE_CHECKING:
    from backendai import Api
    from cli.server import Refused
    from cli.stack import Deployed, Stack


async def of_address(address: str, model: str | None, key: str | None, timeout: float) -> Trial:
    """A server anywhere; `timeout` in seconds for one answer."""
    import aiohttp

    from cli.server import Server

    url = address if "://" in address else f"http://{address}"
    url = re.sub(r"(/v1)?/*$", "", url)
    trial = Trial(url)
    cure = f"Put the server's key into {KEY_VARIABLE}, or name its variable: --api-key-env VAR." if not key else ""

    async def why(refused: Refused) -> tuple[str, str]:
        if refused.status:
            return str(refused), "See the server's own log."
        return str(refused), "Check the address and that the server runs; `bai-vllm list` shows the stack's."

    async with aiohttp.ClientSession(trust_env=True) as http:
        await attempt(trial, Server(url, key, http, seconds=timeout), model, why, wrong_key=cure)
    return trial


async def of_stack(stack: Stack, name: str, model: str | None, timeout: float) -> list[Trial]:
    """All replicas that are meant by a name, side by side.  Raises CliError, ClusterError."""
    from cli.reaching import conversation, with_sessions

    rows = with_sessions(stack.find(name))
    key = stack.api_key(rows[0])
    async with conversation(stack) as api:
        return list(await asyncio.gather(*(_of_replica(api, row, key, model, timeout) for row in rows)))


async def _of_replica(api: Api, row: Deployed, key: str, model: str | None, timeout: float) -> Trial:
    import aiohttp

    from cli.reaching import tunnel, why_silent
    from cli.server import Server

    trial = Trial(row.resource, session_id=row.session_id)

    async def why(refused: Refused) -> tuple[str, str]:
        found = await why_silent(api, row)
        what = f"it answers {refused.status} ({refused.words}), and " if refused.status else ""
        return f"{what}{found.what}", found.cure

    async with tunnel(api, row) as url, aiohttp.ClientSession(trust_env=False) as http:
        server = Server(url, key, http, seconds=timeout)
        cure = "Another key was set after the start: `pulumi up` brings session and stack together."
        await attempt(trial, server, model or row.served_model_name, why, wrong_key=cure)
    return trial
