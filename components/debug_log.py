"""Keeps the values of resources, secrets in clear, out of the debug log (`--debug`, `-v=9`).

Pulumi's SDK writes them there when outputs are registered (3.259; later ones only with a switch, pulumi/pulumi#24479).
"""

from __future__ import annotations

from typing import Any

import pulumi

_VALUES = ", props="


def without_values() -> None:
    """From now on, in this process."""
    write = pulumi.log.debug
    if getattr(write, "without_values", False):
        return

    def debug(msg: str, *args: Any, **kwargs: Any) -> None:
        write(msg.partition(_VALUES)[0], *args, **kwargs)

    debug.without_values = True  # type: ignore[attr-defined]
    pulumi.log.debug = debug
