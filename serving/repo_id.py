"""What people write for a model (a repo id or an address on the Hub), as the repo and revision it means."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from .errors import InvalidArgument
from .values import shown

HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})

_PART = r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?"
_REPO = re.compile(rf"{_PART}(?:/{_PART})?")
_LONGEST = 96  # characters; the Hub's limit
_WITH_REVISION = ("tree", "blob", "resolve", "raw", "commit")
_OTHER_KINDS = {
    "datasets": "a dataset",
    "spaces": "a Space",
    "collections": "a collection",
    "papers": "a paper",
}
_EXAMPLE = "Write it as on the Hub, such as Qwen/Qwen2.5-7B-Instruct."


class RepoRef(NamedTuple):
    """A repo on the Hub, `org/name` or an old name without an org; `revision` None: its default branch."""

    repo_id: str
    revision: str | None = None


def is_folder(model: str) -> bool:
    """True for a path inside the session rather than a repo on the Hub."""
    return model.startswith(("/", "./", "../"))


def parse_repo_id(text: str) -> RepoRef:
    """Repo id and revision of `org/name`, `name`, or an address: https://huggingface.co/org/name/tree/rev.

    Raises InvalidArgument (key `model`) for what can't be a model on the Hub.
    """
    text = text.strip()
    if "://" in text or text.lower().startswith(tuple(f"{host}/" for host in HOSTS)):
        return _of_address(text)
    if text.lower().endswith(".gguf") or ".gguf" in text.lower().rpartition("/")[2]:
        raise _gguf(text)
    kind = text.partition("/")[0].lower()
    if kind in _OTHER_KINDS and "/" in text:
        raise _refused(f"{shown(text)} is {_OTHER_KINDS[kind]}, not a model.", _EXAMPLE)
    return RepoRef(_checked(text.removesuffix("/"), text))


def _of_address(text: str) -> RepoRef:
    address = urlsplit(text if "://" in text else f"https://{text}")
    if address.scheme not in ("http", "https") or (address.hostname or "").lower() not in HOSTS:
        raise _refused(f"{shown(text)} isn't on the Hugging Face Hub.", _EXAMPLE)
    parts = [unquote(part) for part in address.path.split("/") if part]
    if parts and parts[0] in _OTHER_KINDS:
        raise _refused(f"{shown(text)} is {_OTHER_KINDS[parts[0]]}, not a model.", _EXAMPLE)
    if parts and parts[-1].lower().endswith(".gguf"):
        raise _gguf(text)
    at = next((n for n in (1, 2) if len(parts) > n and parts[n] in _WITH_REVISION), None)
    repo_id = _checked("/".join(parts[: at if at is not None else 2]), text)
    if at is None:
        return RepoRef(repo_id)
    return RepoRef(repo_id, _revision(parts[at + 1 :]))


def _revision(rest: list[str]) -> str | None:
    """The part before the file's path.  A branch's own slashes come as %2F; `refs/pr/N` is the exception."""
    if not rest:
        return None
    if rest[0] == "refs":
        return "/".join(rest[:3])
    return rest[0]


def _checked(repo_id: str, text: str) -> str:
    """The rules of the Hub's own client: huggingface_hub.utils.validate_repo_id."""
    bad = not _REPO.fullmatch(repo_id) or len(repo_id) > _LONGEST or "--" in repo_id or ".." in repo_id
    if bad or repo_id.endswith(".git"):
        raise _refused(f"{shown(text)} is no model on the Hub.", _EXAMPLE)
    return repo_id


def _gguf(text: str) -> InvalidArgument:
    cure = "Use the model's own repo; for a smaller one, a repo with AWQ or GPTQ weights, or quantization: fp8."
    return _refused(f"{shown(text)} is a GGUF file, which vLLM doesn't load without a plugin.", cure)


def _refused(what: str, cure: str) -> InvalidArgument:
    return InvalidArgument(what, cure, key="model")
