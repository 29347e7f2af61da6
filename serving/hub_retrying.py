"""Which of the Hub's failures may be over in a moment, and how long to wait for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tenacity import RetryCallState

FIRST_WAIT, LONGEST_WAIT = 0.5, 4.0  # seconds between tries, doubling
TOO_MANY = 429
_BUSY = frozenset({408, TOO_MANY, 500, 502, 503, 504})


def passing(error: BaseException) -> bool:
    """True for what may be over in a moment."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _BUSY
    return isinstance(error, httpx.TransportError)


def wait(state: RetryCallState) -> float:
    """Seconds until the next try: what the Hub's RateLimit header says, else doubling."""
    error = state.outcome.exception() if state.outcome else None
    return reset_seconds(error) or min(FIRST_WAIT * 2.0 ** (state.attempt_number - 1), LONGEST_WAIT)


def reset_seconds(error: Any) -> float | None:
    """When a refused client may ask again, from `RateLimit: "api";r=0;t=55`."""
    from huggingface_hub.utils import parse_ratelimit_headers

    response = getattr(error, "response", None)
    if response is None or response.status_code != TOO_MANY:
        return None
    limits = parse_ratelimit_headers(response.headers)
    return float(limits.reset_in_seconds) if limits else None
