"""Framework-free requests and responses: what every handler of the emulator takes and gives back.

The same route tables are mounted by `emulator.server` (aiohttp, loopback) and `emulator.mount` (`responses`).
A handler sees its path parameters in `request.params`, and its service's state through its own module.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote


class Headers(Mapping[str, str]):
    """Case-insensitive, immutable header mapping; remembers the spelling it was given."""

    def __init__(self, items: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        pairs = items.items() if isinstance(items, Mapping) else items
        self._items = {name.lower(): (name, value) for name, value in pairs}

    def __getitem__(self, name: str) -> str:
        return self._items[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._items


@dataclass(frozen=True)
class Request:
    """One request. `path` and `target` (path with query) are as sent, still encoded; `params` are decoded."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=Headers)
    body: bytes = b""
    target: str = ""
    params: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """The body as JSON; None when it is empty. Raises ValueError when it isn't JSON."""
        return json.loads(self.body) if self.body else None


@dataclass(frozen=True)
class Response:
    """One answer. To HEAD only the body's length is sent (or the Content-Length in the headers)."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Handler = Callable[[Request], Response]


@dataclass(frozen=True)
class Route:
    """One line of a url table. `{name}` takes one segment, `{path:name}` several. HEAD is GET."""

    method: str
    pattern: str
    handler: Handler

    def match(self, path: str) -> Mapping[str, str] | None:
        """The path parameters (decoded), or None."""
        found = _compiled(self.pattern).fullmatch(path)
        return None if found is None else {name: unquote(value) for name, value in found.groupdict().items()}


_PATTERNS: dict[str, re.Pattern[str]] = {}


def _compiled(pattern: str) -> re.Pattern[str]:
    if pattern not in _PATTERNS:
        parts = re.split(r"(\{[^}]+\})", pattern)
        _PATTERNS[pattern] = re.compile("".join(map(_part, parts)))
    return _PATTERNS[pattern]


def _part(text: str) -> str:
    if not text.startswith("{"):
        return re.escape(text)
    kind, _, name = text[1:-1].rpartition(":")
    return f"(?P<{name}>{'.+' if kind == 'path' else '[^/]+'})"


def json_response(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer; `headers` may replace the content type."""
    content_type = {"Content-Type": "application/json; charset=utf-8"}
    return Response(status, {**content_type, **(headers or {})}, json.dumps(value).encode())


def not_found(request: Request, allowed: list[str]) -> Response:
    """What `dispatch` answers when no route fits: 404, or 405 when the path is known for other methods."""
    if allowed:
        return json_response({"error": "Method Not Allowed"}, 405, {"Allow": ", ".join(allowed)})
    return json_response({"error": "Not Found"}, 404)


def dispatch(
    routes: Iterable[Route],
    request: Request,
    missing: Callable[[Request, list[str]], Response] = not_found,
) -> Response:
    """The answer of the first route whose method and path match, else that of `missing`."""
    allowed = []
    for route in routes:
        params = route.match(request.path)
        if params is None:
            continue
        if request.method == route.method or (request.method == "HEAD" and route.method == "GET"):
            return route.handler(replace(request, params=params))
        allowed.append(route.method)
    return missing(request, sorted(set(allowed)))
