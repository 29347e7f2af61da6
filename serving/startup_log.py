"""What a starting vLLM is doing, read from its log: the furthest phase it has shown, and how far it got."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from .log_lines import lines_of


class Stage(enum.IntEnum):
    """The phases of a start, in order."""

    STARTING = 0
    DOWNLOADING = 1
    LOADING = 2
    WARMING_UP = 3
    READY = 4


_WORDS = {
    Stage.STARTING: "starting vLLM",
    Stage.DOWNLOADING: "downloading weights",
    Stage.LOADING: "loading weights",
    Stage.WARMING_UP: "warming up",
    Stage.READY: "server is up",
}


@dataclass(frozen=True)
class Phase:
    """Where a start is.  `detail` is how far: "3/8", "capturing graphs 20/51"; empty when not said."""

    stage: Stage
    detail: str = ""

    def __str__(self) -> str:
        return f"{_WORDS[self.stage]} ({self.detail})" if self.detail else _WORDS[self.stage]


# What a line of the log shows: the stage, and its detail ({1} is the first group).  vLLM 0.8 to 0.32.
_MARKS: tuple[tuple[Stage, re.Pattern[str], str], ...] = tuple(
    (stage, re.compile(pattern), detail)
    for stage, pattern, detail in (
        (Stage.STARTING, r"Using max model len (\d+)", "max_model_len {1}"),
        (Stage.STARTING, r"Initializing a V\d LLM engine", "engine"),
        (Stage.DOWNLOADING, r"Starting to load model", ""),
        (Stage.DOWNLOADING, r"([\w.-]+\.(?:safetensors|bin)): +(\d+)%", "{1} {2} %"),
        (Stage.LOADING, r"Time spent downloading weights", ""),
        (Stage.LOADING, r"Loading \w+ checkpoint shards: +\d+% Completed \| (\d+/\d+)", "{1}"),
        (Stage.LOADING, r"Loading weights took", "done"),
        (Stage.WARMING_UP, r"(?:Model loading|Loading model weights) took ([\d.]+ Gi?B)", "weights take {1}"),
        (Stage.WARMING_UP, r"Dynamo bytecode transform|Compiling a graph", "compiling"),
        (Stage.WARMING_UP, r"torch\.compile (?:takes|took) ([\d.]+ s)", "compiled in {1}"),
        (Stage.WARMING_UP, r"Available KV cache memory: ([\d.]+ GiB)", "{1} for the KV cache"),
        (Stage.WARMING_UP, r"KV cache size: ([\d,]+) tokens", "KV cache of {1} tokens"),
        (Stage.WARMING_UP, r"Capturing CUDA graphs?\b.*?\| *(\d+/\d+)", "capturing graphs {1}"),
        (Stage.WARMING_UP, r"Graph capturing finished", "graphs captured"),
        (Stage.WARMING_UP, r"init engine .*took", "engine is ready"),
        (Stage.WARMING_UP, r"Starting vLLM (?:API )?server", "starting the server"),
        (Stage.READY, r"Application startup complete", ""),
    )
)


def phase_of(log_text: str | None) -> Phase:
    """The furthest phase in the log, with the latest detail of it; STARTING for an empty one."""
    phase = Phase(Stage.STARTING)
    for line in lines_of(log_text):
        found = _phase_in(line)
        if found is not None and found.stage >= phase.stage:
            phase = found
    return phase


def _phase_in(line: str) -> Phase | None:
    for stage, pattern, detail in reversed(_MARKS):
        if match := pattern.search(line):
            return Phase(stage, detail.format(match[0], *match.groups()))
    return None
