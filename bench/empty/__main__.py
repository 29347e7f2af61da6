"""The empty program."""

import pulumi  # noqa: F401
