"""What a server says: its JSON, the models that it lists, and its errors in words that may be shown."""

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


def models_listed(text: str) -> dict[str, int | None]:
    """The names in an answer of GET /v1/models, each with its max_model_len (tokens), None when it isn't said."""
    cards = json_object(text).get("data")
    found: dict[str, int | None] = {}
    for card in cards if isinstance(cards, list) else []:
        if isinstance(card, dict) and isinstance(card.get("id"), str):
            length = card.get("max_model_len")
            found[card["id"]] = length if isinstance(length, int) else None
    return found


def words_of_error(text: str, api_key: str | None, longest: int) -> str:
    """What a server says in an error, in one line of at most `longest` characters and without the key."""
    value = json_object(text)
    error = value.get("error")
    said = str((error.get("message") if isinstance(error, dict) else error) or value.get("detail") or text)
    if api_key:
        said = said.replace(api_key, "[secret]")
    return masked(" ".join(said.split()))[:longest]
