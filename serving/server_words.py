"""What a server says: its JSON, and its errors in words that may be shown."""

from __future__ import annotations

import json
from typing import Any

from .values import masked


def json_object(text: str) -> dict[str, Any]:
    """The object that the text is; {} when it is none."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def words_of_error(text: str, api_key: str | None, longest: int) -> str:
    """What a server says in an error, in one line of at most `longest` characters and without the key."""
    value = json_object(text)
    error = value.get("error")
    said = str((error.get("message") if isinstance(error, dict) else error) or value.get("detail") or text)
    if api_key:
        said = said.replace(api_key, "[secret]")
    return masked(" ".join(said.split()))[:longest]
