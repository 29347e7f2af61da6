"""Reads parameters, calls the state, shapes the answer. The rules are in models."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any
from urllib.parse import parse_qs, urlsplit

from emulator.http import Handler, Request, Response, json_response
from emulator.hub.catalog import Repo
from emulator.hub.errors import BadRequest, HubError
from emulator.hub.files import File, files, stored_tensors
from emulator.hub.models import User, hub

_CREATED = "2024-09-16T11:55:40.000Z"
_EXPANDABLE = {
    *(
        "author",
        "baseModels",
        "cardData",
        "config",
        "createdAt",
        "disabled",
        "downloads",
        "gated",
        "lastModified",
    ),
    *(
        "library_name",
        "likes",
        "pipeline_tag",
        "private",
        "safetensors",
        "sha",
        "siblings",
        "tags",
        "usedStorage",
    ),
}
_BARE = ("_id", "id")  # what every expanded answer has

_Call = Callable[[Request, User | None], Response]


def _answers(call: _Call) -> Handler:
    """Count the request, find the user, turn an error into its headers."""

    @wraps(call)
    def handle(request: Request) -> Response:
        try:
            hub.receive(request.method, request.path)
            user = hub.user(request.headers.get("Authorization", ""))
            moved = hub.renamed(request.params.get("id", ""))
            return _redirect(request, moved) if moved else call(request, user)
        except HubError as error:
            codes = {"X-Error-Code": error.code} if error.code else {}
            headers = {**codes, "X-Error-Message": error.message, **error.headers}
            return json_response({"error": error.message}, error.status, headers)

    return handle


def _redirect(request: Request, moved: str) -> Response:
    target = request.target or request.path
    return Response(307, {"Location": target.replace(f"/{request.params['id']}", f"/{moved}", 1)})


def _repo(request: Request, user: User | None) -> Repo:
    return hub.repo(request.params["id"], request.params.get("revision", "main"), user)


@_answers
def whoami(request: Request, user: User | None) -> Response:
    """GET /api/whoami-v2"""
    if user is None:
        raise HubError(401, "", "Invalid username or password.")
    token = {"displayName": "stand-in", "role": "read"}
    who = {"type": "user", "name": user.name, "fullname": user.name, "orgs": []}
    return json_response({**who, "auth": {"type": "access_token", "accessToken": token}})


@_answers
def auth_check(request: Request, user: User | None) -> Response:
    """GET /api/models/{id}/auth-check"""
    hub.admit(_repo(request, user), user)
    return json_response({})


@_answers
def model_info(request: Request, user: User | None) -> Response:
    """GET /api/models/{id}[/revision/{revision}]: gated repos answer too."""
    repo = _repo(request, user)
    query = parse_qs(urlsplit(request.target).query)
    expand = query.get("expand", [])
    if unknown := set(expand) - _EXPANDABLE:
        raise BadRequest(f"Invalid option: expected one of {sorted(_EXPANDABLE)}, got {sorted(unknown)}")
    info = _info(repo, blobs="blobs" in query)
    return json_response({key: info[key] for key in (*_BARE, *expand) if key in info} if expand else info)


@_answers
def tree(request: Request, user: User | None) -> Response:
    """GET /api/models/{id}/tree/{revision}"""
    entries = [
        {"type": "file", "oid": file.oid, "size": file.size, "path": path} | _lfs(file)
        for path, file in files(_repo(request, user)).items()
    ]
    return json_response(entries)


@_answers
def resolve(request: Request, user: User | None) -> Response:
    """GET and HEAD /{id}/resolve/{revision}/{file}, whole or a range."""
    repo = _repo(request, user)
    hub.admit(repo, user)
    file = hub.file(repo, request.params["file"])
    headers = {
        "X-Repo-Commit": repo.sha,
        "ETag": f'"{file.oid}"',
        "Accept-Ranges": "bytes",
        "Content-Type": "application/octet-stream" if file.lfs else "text/plain; charset=utf-8",
    }
    if file.lfs:
        headers |= {"X-Linked-Size": str(file.size), "X-Linked-ETag": f'"{file.oid}"'}
    wanted = _range(request.headers.get("Range", ""), file.size)
    if wanted is None:
        return _content(request, file, range(file.size), headers)
    start, stop = wanted
    if start >= stop:
        return Response(416, {**headers, "Content-Range": f"bytes */{file.size}"})
    part = {"Content-Range": f"bytes {start}-{stop - 1}/{file.size}"}
    return _content(request, file, range(start, stop), headers | part)


def _content(request: Request, file: File, part: range, headers: dict[str, str]) -> Response:
    body = b"" if request.method == "HEAD" else file.read(part.start, part.stop)
    status = 206 if "Content-Range" in headers else 200
    return Response(status, headers | {"Content-Length": str(len(part))}, body)


def _range(header: str, size: int) -> tuple[int, int] | None:
    """`bytes=a-b`, `bytes=a-`, `bytes=-n` as start and stop; None for no range."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def _info(repo: Repo, *, blobs: bool) -> dict[str, Any]:
    config = {
        key: repo.config[key] for key in ("architectures", "model_type", "quantization_config") if key in repo.config
    }
    listed = files(repo).values()
    info = {
        "_id": hashlib.sha1(repo.sha.encode(), usedforsecurity=False).hexdigest()[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.id.partition("/")[0],
        "sha": repo.sha,
        "lastModified": _CREATED,
        "createdAt": _CREATED,
        "private": repo.private,
        "disabled": repo.disabled,
        "gated": repo.gated,
        "downloads": 1000,
        "likes": 100,
        "tags": ["transformers", repo.config["model_type"], repo.weights, "text-generation"],
        "pipeline_tag": "text-generation",
        "library_name": "transformers",
        "config": config,
        "siblings": [_sibling(file, blobs=blobs) for file in listed],
        "usedStorage": sum(file.size for file in listed),
    }
    if repo.weights == "safetensors":
        info["safetensors"] = _safetensors(stored_tensors(repo))
    return info


def _safetensors(stored: Iterable[Any]) -> dict[str, Any]:
    """Elements by dtype as stored: packed int4 counts as int32 words, buffers count too."""
    counts: Counter[str] = Counter()
    for tensor in stored:
        counts[tensor.dtype] += tensor.elements
    return {"parameters": dict(counts), "total": counts.total()}


def _sibling(file: File, *, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": file.path}
    lfs = {"lfs": {"sha256": file.oid, "size": file.size, "pointerSize": 135}} if file.lfs else {}
    return {"rfilename": file.path, "size": file.size, "blobId": file.oid[:40]} | lfs


def _lfs(file: File) -> dict[str, Any]:
    return {"lfs": {"oid": file.oid, "size": file.size, "pointerSize": 135}} if file.lfs else {}
