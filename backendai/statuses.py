"""The one table of session statuses (Backend.AI 26.9): what each means for us."""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """Where a session stands on its way."""

    QUEUED = "queued"
    IMAGE = "image"
    STARTING = "starting"
    RUNNING = "running"
    BROKEN = "broken"  # holds its slots but will never serve: must be destroyed
    ENDING = "ending"
    ENDED = "ended"


STAGES: dict[str, Stage] = {
    "PENDING": Stage.QUEUED,
    "DEPRIORITIZING": Stage.QUEUED,
    "RESERVED": Stage.QUEUED,
    "SCHEDULED": Stage.QUEUED,
    "PREEMPTED": Stage.QUEUED,
    "RESCHEDULING": Stage.QUEUED,
    "PREPARING": Stage.IMAGE,
    "PULLING": Stage.IMAGE,
    "PREPARED": Stage.STARTING,
    "CREATING": Stage.STARTING,
    "RESTARTING": Stage.STARTING,
    "RUNNING": Stage.RUNNING,
    "RUNNING_DEGRADED": Stage.RUNNING,
    "ERROR": Stage.BROKEN,
    "TERMINATING": Stage.ENDING,
    "TERMINATED": Stage.ENDED,
    "CANCELLED": Stage.ENDED,
}

CANCELLED = "CANCELLED"
ENDED = tuple(status for status, stage in STAGES.items() if stage is Stage.ENDED)


def stage_of(status: str) -> Stage:
    """The stage of a status; one that a newer cluster invented counts as STARTING, so nobody calls it gone."""
    return STAGES.get(status.upper(), Stage.STARTING)
