"""What a conversation that broke off means, in the terms of errors.py; of answers, classification.py tells that."""

from __future__ import annotations

import json

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
