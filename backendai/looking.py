"""What a provider's reads ask with: without the second that the SDK takes to load, and as patient as Api.

A refresh goes before each `up`, and most of them change nothing: they would load the SDK for reads alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import errors
from .api import _DOWN
from .light import LightApi


class LookingApi(LightApi):
    """`async with LookingApi(connection) as api:` as Api, for what creates and ends nothing."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        params: Mapping[str, str] | None = None,
        timeout: float = 0.0,
    ) -> Any:
        """One request; the answer's JSON.  `timeout`: seconds for each step of it.  Raises ClusterError."""
        seconds = timeout or self.connection.read_timeout
        try:
            return await super().call(method, path, body=body, params=params, timeout=seconds)
        except errors.Unreachable as error:
            cure = error.cure or _DOWN.format(endpoint=self.connection.endpoint)
            raise errors.Unreachable(error.what, cure, sent=error.sent) from None
        except errors.ServerFault as error:
            raise errors.ServerFault(error.what, error.cure or "Run it again.") from None
