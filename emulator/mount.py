"""The stand-in behind `requests`, through the `responses` library: no port, no server.

    @mock_backendai
    def test_something(): requests.get("http://backendai.test/")

    with mock_backendai() as standin: ...

Tunnels and event streams need a socket: they exist on the server only.
"""

import contextlib
import functools
import re
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

import requests
import responses

from emulator.cluster.responses import Events, Tunnel
from emulator.faults import Cut
from emulator.http import Headers, Request
from emulator.standin import Answer, StandIn

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class MockBackendAI(contextlib.ContextDecorator):
    """Decorator and context manager; each entry is a new cluster."""

    def __init__(self, endpoint: str, hub_endpoint: str) -> None:
        self.endpoint, self.hub_endpoint = endpoint, hub_endpoint

    def _recreate_cm(self) -> Self:
        return type(self)(self.endpoint, self.hub_endpoint)

    def __enter__(self) -> StandIn:
        self._standin = StandIn()
        self._mock = responses.RequestsMock(assert_all_requests_are_fired=False)
        for base, answer in (
            (self.endpoint, self._standin.answer_cluster),
            (self.hub_endpoint, self._standin.answer_hub),
        ):
            url = re.compile(re.escape(base) + "(/|$)")
            for method in METHODS:
                self._mock.add_callback(method, url, functools.partial(_called, answer))
        self._mock.start()
        return self._standin

    def __exit__(self, *_error: object) -> None:
        self._mock.stop(allow_assert=False)
        self._standin.close()


def _called(answer: Answer, prepared: Any) -> tuple[int, dict[str, str], bytes]:
    url = urlsplit(prepared.url)
    body = prepared.body or b""
    request = Request(
        prepared.method,
        url.path or "/",
        dict(prepared.params),
        Headers({"Host": url.netloc, **prepared.headers}),
        body.encode() if isinstance(body, str) else body,
        prepared.path_url,
    )
    try:
        response = answer(request)
    except Cut as cut:
        raise _broken(cut, prepared) from None
    if isinstance(response, Tunnel | Events):
        raise NotImplementedError("tunnels and event streams need emulator.Emulator, the server")
    headers = dict(response.headers)
    if request.method != "HEAD":
        return response.status, headers, response.body
    return response.status, {"Content-Length": str(len(response.body)), **headers}, b""


def _broken(cut: Cut, prepared: Any) -> requests.RequestException:
    """What `requests` itself raises then."""
    kinds: dict[str, type[requests.RequestException]] = {
        "reset": requests.ConnectionError,
        "timeout": requests.ReadTimeout,
        "truncate": requests.exceptions.ChunkedEncodingError,
    }
    return kinds[cut.how](f"emulated {cut.how}", request=prepared)


def mock_backendai(
    function: Callable[..., Any] | None = None,
    *,
    endpoint: str = "http://backendai.test",
    hub_endpoint: str = "https://huggingface.co",
) -> Any:
    """`@mock_backendai`, `@mock_backendai(endpoint=…)` or `with mock_backendai() as standin:`."""
    mock = MockBackendAI(endpoint, hub_endpoint)
    return mock if function is None else mock(function)
