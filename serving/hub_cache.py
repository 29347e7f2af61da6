"""Facts from the Hub on disk, so that the next preview asks nothing.

Two kinds, below ${XDG_CACHE_HOME:-~/.cache}/backendai-vllm/hub/:

    contents/   what is in (endpoint, repo, commit): for ever, a commit doesn't change
    access/     what (endpoint, repo, revision) is for one token: for ten minutes

Contents are only given to who has a fresh access record: what one token may read, another may not.  No
token is stored, only a part of its hash.  A file that can't be read is as good as none; one that can't be
written doesn't matter.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

from pydantic import BaseModel, ValidationError

from .hub_facts import Access, Contents, HubFacts

ACCESS_SECONDS = 600.0
_SCHEMA = "v2"  # to be raised when Access or Contents change
_TOKEN_DIGITS = 16  # of the token's sha256; enough to tell tokens apart, too few to be one


def folder() -> Path:
    """Where the cache is."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "backendai-vllm" / "hub" / _SCHEMA


def load(endpoint: str, repo_id: str, revision: str | None, token: str | None) -> HubFacts | None:
    """The facts when both records are there, the access still fresh; else None."""
    access = _read(_access_path(endpoint, repo_id, revision, token), Access, ACCESS_SECONDS)
    contents = access and load_contents(endpoint, access)
    return HubFacts(access=access, contents=contents) if access and contents else None


def load_contents(endpoint: str, access: Access) -> Contents | None:
    """What is in the commit that `access` was given to."""
    return _read(_contents_path(endpoint, access), Contents, None)


def save(endpoint: str, repo_id: str, revision: str | None, token: str | None, facts: HubFacts) -> None:
    """Keeps both records; never fails."""
    _write(_contents_path(endpoint, facts.access), facts.contents)
    _write(_access_path(endpoint, repo_id, revision, token), facts.access)


def _access_path(endpoint: str, repo_id: str, revision: str | None, token: str | None) -> Path:
    who = hashlib.sha256(token.encode()).hexdigest()[:_TOKEN_DIGITS] if token else "anonymous"
    return folder() / "access" / _file_name(endpoint, repo_id, revision or "", who)


def _contents_path(endpoint: str, access: Access) -> Path:
    return folder() / "contents" / _file_name(endpoint, access.repo_id, access.sha)


def _file_name(*key: str) -> str:
    return hashlib.sha256(json.dumps(key).encode()).hexdigest()[:40] + ".json"


def _read[Record: BaseModel](path: Path, kind: type[Record], seconds: float | None) -> Record | None:
    try:
        if seconds is not None and not 0 <= time.time() - path.stat().st_mtime < seconds:
            return None
        return kind.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _write(path: Path, record: BaseModel) -> None:
    """Whole or not at all: another process may be reading."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")  # readable by the owner only
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(record.model_dump_json().encode())
            os.replace(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
