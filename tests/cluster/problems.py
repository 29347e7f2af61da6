"""What can go wrong, each with a cause and a cure."""

from __future__ import annotations


class ClusterProblem(Exception):
    """One line: what is wrong and what to do."""


class CannotRun(ClusterProblem):
    """The cluster can't run on this machine (or not now)."""


class DidNotStart(ClusterProblem):
    """A part of it was started and didn't come up."""
