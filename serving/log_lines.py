"""A session's log as lines that can be shown: progress bars folded, colours and secrets taken out."""

from __future__ import annotations

import re

from .values import masked

LONGEST_LINE = 400  # characters
_COLOUR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07")
_NOT_PRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_SECRET_VALUE = re.compile(
    r"((?:HF_TOKEN|HUGGING_FACE_HUB_TOKEN|VLLM_API_KEY|api_key|hf_token)['\"]?\s*[=:]\s*\[?\s*['\"]?)"
    r"(?!None)[^\s,'\"}\]]+"
)


def lines_of(log_text: str | None) -> list[str]:
    """The lines that say something, oldest first; of a progress bar drawn over itself, its last state."""
    lines = []
    for raw in _COLOUR.sub("", log_text or "").replace("\r\n", "\n").split("\n"):
        states = [state for state in raw.split("\r") if state.strip()]
        if states:
            lines.append(_NOT_PRINTABLE.sub("", states[-1]).rstrip())
    return [line for line in lines if line]


def last_lines(log_text: str | None, limit: int) -> tuple[str, ...]:
    """The last `limit` lines, without secrets, each of a bearable length."""
    return tuple(_showable(line) for line in lines_of(log_text)[-limit:]) if limit > 0 else ()


def _showable(line: str) -> str:
    line = masked(_SECRET_VALUE.sub(r"\1[secret]", line))
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
