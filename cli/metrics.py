"""How busy a server is: the figures of its /metrics.

    vllm:num_requests_running   and vllm:num_requests_waiting, of each engine
    vllm:kv_cache_usage_perc    0 to 1, of each engine; before 0.10 vllm:gpu_cache_usage_perc

Engines (data parallel ones) are added up; of their KV caches the fullest counts.
"""

from __future__ import annotations

import contextlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiohttp

    from backendai import Api

TIMEOUT = 2.0  # seconds for one server
_OK = 200
_SAMPLE = re.compile(r"^(vllm:\w+)(?:\{[^}]*\})?\s+(\S+)", re.MULTILINE)
_RUNNING, _WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
_KV_USE = ("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc")


@dataclass(frozen=True)
class Load:
    """Requests under way and in the queue; `kv_use`: the share of the KV cache that is taken, None when not said."""

    running: int
    waiting: int
    kv_use: float | None = None


class NoMetrics(Exception):
    """Why there are none, in a few words."""


def load_of(text: str) -> Load | None:
    """The figures in the text of /metrics; None when it isn't vLLM's."""
    found: dict[str, list[float]] = {}
    for name, value in _SAMPLE.findall(text):
        if name in (_RUNNING, _WAITING, *_KV_USE):
            with contextlib.suppress(ValueError):
                if math.isfinite(number := float(value)):
                    found.setdefault(name, []).append(number)
    if _RUNNING not in found:
        return None
    uses = next((found[name] for name in _KV_USE if name in found), None)
    return Load(round(sum(found[_RUNNING])), round(sum(found.get(_WAITING, []))), max(uses) if uses else None)


async def fetch(base_url: str, *, cookie: str | None = None, http: aiohttp.ClientSession | None = None) -> Load:
    """The figures of the server there; `cookie` opens an app-proxy's URL.  Raises NoMetrics."""
    import aiohttp

    if http is None:
        async with aiohttp.ClientSession(trust_env=False) as own:
            return await fetch(base_url, cookie=cookie, http=own)
    headers = {"Cookie": f"appproxy_permit={cookie}"} if cookie else {}
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    try:
        async with http.get(f"{base_url.rstrip('/')}/metrics", headers=headers, timeout=timeout) as answer:
            status, text = answer.status, (await answer.read()).decode(errors="replace")
    except TimeoutError:
        raise NoMetrics(f"no answer within {TIMEOUT:g} s") from None
    except (aiohttp.ClientError, OSError):
        raise NoMetrics("nothing listens on its port") from None
    if status != _OK:
        raise NoMetrics(f"/metrics answers {status}")
    load = load_of(text)
    if load is None:
        raise NoMetrics("what answers is no vLLM")
    return load


async def through_tunnel(api: Api, session_id: str, port: int) -> Load:
    """The same through the manager, which needs no secret but the key pair.  Raises NoMetrics."""
    from backendai import open_tunnel

    async with open_tunnel(api, session_id, str(port)) as url:
        return await fetch(url)
