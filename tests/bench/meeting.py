"""A provider whose creates end only when so many of them run at once."""

from __future__ import annotations

import threading
from typing import Any

from pulumi.dynamic import ConfigureRequest, CreateResult, ResourceProvider

from providers.workers import widen

AT_ONCE = 12
_meeting = threading.Barrier(AT_ONCE)


class MeetingProvider(ResourceProvider):
    """Serialized by reference, so that the provider process imports this module."""

    serialize_as_secret_always = False

    def configure(self, req: ConfigureRequest) -> None:
        widen(AT_ONCE)

    def create(self, props: dict[str, Any]) -> CreateResult:
        _meeting.wait(timeout=60)
        return CreateResult("met", props)
