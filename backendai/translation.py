"""What a conversation that broke off means, in the terms of errors.py; of answers, classification.py tells that."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from . import errors
from .classification import classify
from .connection import NOT_WHOLE, check_the_way, untrusted


def translated(error: BaseException, endpoint: str) -> errors.ClusterError:
    """The error for an exception of aiohttp, of a socket or of JSON."""
    import aiohttp

    cure = check_the_way(endpoint)
    match error:
        case aiohttp.ClientConnectorCertificateError():
            return untrusted(endpoint, getattr(error.certificate_error, "verify_message", "certificate"))
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return errors.Unreachable(f"Nothing answers at {endpoint} ({type(error).__name__}).", cure, sent=False)
        case aiohttp.WSServerHandshakeError():
            return classify(error.status, {}, endpoint=endpoint)
        case aiohttp.ContentTypeError() | json.JSONDecodeError() | aiohttp.ClientPayloadError():
            status = getattr(error, "status", None)
            return errors.ServerFault(
                f"{endpoint} gave an answer that is no JSON" + (f" (status {status})." if status else "."),
                NOT_WHOLE,
            )
        case TimeoutError() | aiohttp.ClientError() | OSError():
            return errors.Unreachable(f"{endpoint} didn't answer in time or broke off ({type(error).__name__}).", cure)
    return errors.ServerFault(f"The conversation with {endpoint} failed ({type(error).__name__}).", "Run it again.")


FORM = "Check that BACKEND_ENDPOINT is the manager's own address, and that this is Backend.AI 26.9 or later."


class _Object(dict[str, Any]):
    """A JSON object of an answer: to miss a key in it is the answer's fault, and not this program's."""

    endpoint = ""

    def __missing__(self, key: str) -> NoReturn:
        raise errors.ServerFault(f"{self.endpoint} gave an answer of an unexpected form: it has no {key!r}.", FORM)


class _Array(list[Any]):
    """The same of a JSON array."""

    endpoint = ""

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, str):
            what = f"{self.endpoint} gave an answer of an unexpected form: a list where {index!r} was to be."
            raise errors.ServerFault(what, FORM)
        return super().__getitem__(index)


def answer_of(value: Any, endpoint: str) -> Any:
    """The JSON of an answer, in which what is missing raises ServerFault."""
    made: Any
    match value:
        case dict():
            made = _Object({key: answer_of(each, endpoint) for key, each in value.items()})
        case list():
            made = _Array(answer_of(each, endpoint) for each in value)
        case _:
            return value
    made.endpoint = endpoint
    return made
