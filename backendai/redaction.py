"""Secrets out of texts, before a text leaves the room."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MASK = "[secret]"
SHORTEST = 4  # characters; shorter ones would blank out half of a text

_PATTERNS = (
    re.compile(r"(credential=)[^\s,'\"]+"),  # the HMAC header of Backend.AI
    re.compile(r"(Bearer\s+)[^\s'\"]+", re.IGNORECASE),
    re.compile(r"()\bhf_[A-Za-z0-9_]{12,}"),  # Hub tokens
    re.compile(r"()\bsk-[A-Za-z0-9_-]{16,}"),  # the api keys that this program makes
    re.compile(r"((?:HF_TOKEN|HUGGING_FACE_HUB_TOKEN|VLLM_API_KEY|SECRET_KEY)['\"]?\s*[=:]\s*['\"]?)[^\s,'\"}]+"),
)


def redact(text: str, secrets: Iterable[str | None] = ()) -> str:
    """`text` without the given secrets and without anything that looks like one of the kinds we handle."""
    for secret in secrets:
        if secret and len(secret) >= SHORTEST:
            text = text.replace(secret, _MASK)
    for pattern in _PATTERNS:
        text = pattern.sub(rf"\g<1>{_MASK}", text)
    return text
