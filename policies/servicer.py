"""What the SDK's server leaves out: it takes any config, and doesn't tell a run from a recorded state."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import json_format
from pulumi_policy import policy as sdk

from .check import mistakes, text_of
from .declared import run


class Servicer(sdk._PolicyAnalyzerServicer):
    """Refuses a config that can't be meant, and notices which command it runs in."""

    def Configure(self, request: Any, context: Any) -> Any:
        """Pulumi checks only what a policy's schema names, and hands the rest over unseen."""
        # Levels come apart, and read: `all` is an empty entry here.
        given: dict[str, Any] = {
            name: json_format.MessageToDict(of.properties) for name, of in request.policyConfig.items()
        }
        given.pop("all", None)
        if found := mistakes(given):
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, text_of(found))
        return super().Configure(request, context)  # type: ignore[no-untyped-call]

    def ConfigureStack(self, request: Any, context: Any) -> Any:
        """Preview and up begin with it; `pulumi policy analyze` has no program, and doesn't call it."""
        run.is_recorded = False
        return super().ConfigureStack(request, context)


def install() -> None:
    """Has PolicyPack serve with it."""
    run.is_recorded = True
    sdk._PolicyAnalyzerServicer = Servicer  # type: ignore[misc]
