"""The types of the values that a user can set: one definition for stack settings and for resource inputs.

Each refuses what can't be meant, with the expectation and the cure in the message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

# Ports that every Backend.AI session has in use for itself.
RESERVED_PORTS = frozenset({2000, 2001, 2200, 7681})

# Variables that have a setting of their own, or that would break vLLM.
OWNED_VARIABLES = {
    "HF_TOKEN": "use `hf_token` (a Pulumi secret)",
    "HUGGING_FACE_HUB_TOKEN": "use `hf_token` (a Pulumi secret)",
    "VLLM_API_KEY": "use `api_key` (a Pulumi secret)",
    "VLLM_PORT": "vLLM uses it internally; use `port`",
}

_SIZE = re.compile(r"^(\d+(?:\.\d+)?)\s*([kmgt])(?:i?b)?$", re.IGNORECASE)
_FACTOR = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)\s*(s|m|h)?$", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_VARIABLE = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")


def refuse(what: str) -> PydanticCustomError:
    """The error for a validator to raise; `what` says what is expected and how to put it right."""
    return PydanticCustomError("refused", "{what}", {"what": what})


def owned_variable(key: str) -> PydanticCustomError:
    """For a variable that has a setting of its own: the value doesn't matter, and isn't mentioned."""
    what = f"{key} is set here; {OWNED_VARIABLES[key]} instead"
    return PydanticCustomError("owned_variable", "{what}", {"what": what})


def size_in_bytes(size: str) -> int:
    """Bytes of a size such as "16g" (binary units).  ValueError when it is none."""
    match = _SIZE.match(size.strip())
    if match is None:
        raise ValueError(size)
    return int(float(match[1]) * _FACTOR[match[2].lower()])


def _size(value: Any) -> str:
    if not isinstance(value, str) or not _SIZE.match(value.strip()):
        raise refuse("is no size; write a number with its unit, such as 16g or 512m")
    if size_in_bytes(value) <= 0:
        raise refuse("is too little; write a size such as 16g or 512m")
    number, unit = _SIZE.match(value.strip()).groups()  # type: ignore[union-attr]
    return f"{_trimmed(number)}{unit.lower()}"


def _trimmed(number: str) -> str:
    """The same number as it was written, without zeros that say nothing: 016.50 is 16.5."""
    whole, _, part = number.partition(".")
    part = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{part}" if part else "")


def _seconds(value: Any) -> float:
    match = _DURATION.match(str(value).strip()) if not isinstance(value, bool) else None
    if match is None:
        raise refuse("is no duration; write seconds, or a number with its unit such as 90s, 30m or 2h")
    if not float(match[1]) > 0:
        raise refuse("is too short; write a duration such as 90s, 30m or 2h")
    return float(match[1]) * _SECONDS[(match[2] or "s").lower()]


def _whole(value: Any) -> Any:
    """Numbers come from Pulumi as floats: 2.0 is 2, and true isn't 1."""
    if isinstance(value, bool):
        raise refuse("is no number")
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _gpus(value: Any) -> Any:
    number = _whole(value)
    if not isinstance(number, int | float):
        try:
            return _whole(float(number))
        except (TypeError, ValueError):
            raise refuse("is no number; write one such as 1 or 2 (or 0.5, where the cluster has shares)") from None
    return number


def _capability(value: Any) -> Any:
    """YAML makes a number of 8.0."""
    text = f"{value:.1f}" if isinstance(value, float | int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch(r"\d{1,2}\.\d", text):
        raise refuse("is no compute capability; write one such as 8.0 or 9.0")
    return text


def _port(value: int) -> int:
    if value in RESERVED_PORTS:
        taken = ", ".join(map(str, sorted(RESERVED_PORTS)))
        raise refuse(f"is a port that Backend.AI uses itself ({taken}); choose another one, such as 8000")
    return value


def _variables(value: Any) -> Any:
    if not isinstance(value, dict):
        raise refuse("is no mapping of variable names to values")
    return {key: _variable(str(key), item) for key, item in value.items()}


def _variable(key: str, value: Any) -> str:
    if not _VARIABLE.match(key):
        raise refuse(f"names a variable '{key}'; names have letters, digits and underscores only")
    if key in OWNED_VARIABLES:
        raise owned_variable(key)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise refuse(f"gives {key} a value that is no text; put it in quotes")
    text = f"{value:g}" if isinstance(value, float) and value.is_integer() else str(value)
    if any(c in text for c in "\n\r\0"):
        raise refuse(f"gives {key} a value of several lines, which a session can't hold; keep it to one line")
    return text


def _mounts(value: dict[str, str]) -> dict[str, str]:
    for folder, path in value.items():
        if not folder or not path or any(c in folder + path for c in "\n\r\0"):
            raise refuse(f"has '{folder}: {path}'; write a folder's name and the path it gets in the session")
    return value


def _like(pattern: str, what: str) -> Callable[[str], str]:
    def checked(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise refuse(what)
        return value

    return checked


def _one_line(value: str) -> str:
    if not value.strip() or any(c in value for c in "\n\r\0"):
        raise refuse("must be one line of text")
    return value


Text = Annotated[str, AfterValidator(_one_line)]
Size = Annotated[str, BeforeValidator(_size)]
Seconds = Annotated[float, BeforeValidator(_seconds)]
Lifetime = Annotated[Seconds, Field(ge=60)]  # shorter than any model takes to load is a mistake
Whole = Annotated[int, BeforeValidator(_whole)]
Count = Annotated[Whole, Field(ge=1)]
Gpus = Annotated[float, BeforeValidator(_gpus), Field(gt=0, le=1024)]
Port = Annotated[Whole, Field(ge=1, le=65535), AfterValidator(_port)]
Gib = Annotated[float, Field(gt=0, le=4096)]
Capability = Annotated[str, BeforeValidator(_capability)]
Share = Annotated[float, Field(gt=0, le=1)]
MaxModelLen = Annotated[int | str, BeforeValidator(_whole)]
GpuUnit = Literal["cuda.device", "cuda.shares"]
Environment = Annotated[dict[str, str], BeforeValidator(_variables)]
Mounts = Annotated[dict[str, str], AfterValidator(_mounts)]
SessionName = Annotated[
    str,
    AfterValidator(
        _like(
            r"[A-Za-z0-9][A-Za-z0-9_.-]{2,62}[A-Za-z0-9]",
            "is no session name; use 4 to 64 letters, digits, dots, dashes and underscores, with a letter or digit at "
            "both ends",
        )
    ),
]
ModelName = Annotated[
    str,
    AfterValidator(
        _like(
            r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?",
            "is no name; use up to 40 lower-case letters, digits and dashes, with a letter first",
        )
    ),
]
ApiKey = Annotated[str, Field(min_length=8, pattern=r"^[\x21-\x7e]+$")]
