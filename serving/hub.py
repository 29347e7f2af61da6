"""The one place that talks to the Hugging Face Hub, by huggingface_hub.

At most four requests for a model that isn't cached: its info, its config.json, up to two for its tensors
(`hub_tensors.py`), and what is left of the four for what these leave open: how it is quantized, the chat
template; or, in a gated repo without a config.json, whether the token may read it.

Each answer is retried here and nowhere else, within a deadline, and comes out as facts or as an error of
ours.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from . import hub_cache
from .errors import (
    GatedModel,
    HubUnreachable,
    InvalidHubToken,
    ModelDisabled,
    ModelNotFound,
    RevisionNotFound,
    ServingError,
)
from .hub_facts import Access, Contents, HubFacts, contents_of, quantization_file
from .hub_retrying import TOO_MANY, passing, reset_seconds, wait
from .hub_tensors import read_tensors, weight_files
from .tensors import Tensors

if TYPE_CHECKING:
    from tenacity import RetryCallState

DEFAULT_ENDPOINT = "https://huggingface.co"
REQUEST_SECONDS = 10.0
DEADLINE_SECONDS = 20.0
TRIES = 4
REQUESTS = 4  # for one model; a try again isn't one
_INFO = ("sha", "gated", "private", "disabled", "config", "siblings", "safetensors")
_NOT_THERE = frozenset({404, 416})
_PARTIAL = 206


def endpoint_from_environment() -> str:
    """Where the Hub is: HF_ENDPOINT, or the public one.  Tokens are sent there."""
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def fetch(
    repo_id: str,
    revision: str | None = None,
    token: str | None = None,
    *,
    endpoint: str | None = None,
    timeout: float = REQUEST_SECONDS,
    deadline: float = DEADLINE_SECONDS,
) -> HubFacts:
    """The facts of a model, from the cache when they are fresh there.

    `token`: the one that the model will be deployed with; None asks as nobody, whatever this machine is
    logged in as.
    `timeout`: seconds for one request; `deadline`: seconds after which no further try begins.
    Raises ModelNotFound, RevisionNotFound, GatedModel, ModelDisabled, InvalidHubToken or HubUnreachable.
    """
    endpoint = (endpoint or endpoint_from_environment()).rstrip("/")
    if not endpoint.startswith(("http://", "https://")):
        cure = f"Set HF_ENDPOINT to an address such as {DEFAULT_ENDPOINT}, or unset it."
        raise HubUnreachable(f"HF_ENDPOINT is {endpoint!r}, which is no http(s) address.", cure)
    if cached := hub_cache.load(endpoint, repo_id, revision, token):
        return cached
    hub = _Hub(endpoint, repo_id, revision, token, timeout=timeout, deadline=deadline)
    access, info = hub.info()
    contents = hub_cache.load_contents(endpoint, access)
    if contents is None:
        contents = hub.contents(access, info)
    elif access.gated:
        # The Hub tells everybody about a gated repo: only reading a file shows that this token may.
        hub.prove_access(access, info)
    facts = HubFacts(access=access, contents=contents)
    if not hub.poorer:
        hub_cache.save(endpoint, repo_id, revision, token, facts)
    return facts


class _Info(NamedTuple):
    """What the Hub says of a repo beside who may read it.

    `tokenizer`: what it repeats of tokenizer_config.json; `parameters`: elements by dtype in its safetensors.
    """

    names: list[str]
    tokenizer: dict[str, Any] | None
    parameters: dict[str, int]


class _Hub:
    """The requests for one model; `left`: how many more there may be."""

    def __init__(
        self,
        endpoint: str,
        repo_id: str,
        revision: str | None,
        token: str | None,
        *,
        timeout: float,
        deadline: float,
    ) -> None:
        self.endpoint, self.repo_id, self.revision = endpoint, repo_id, revision
        self.token: str | None = token or None
        self.timeout = timeout
        self.left = REQUESTS - 1  # the first is for the repo's info
        self.poorer = False
        self._base = ""
        self._sha = ""
        self._ends = time.monotonic() + deadline

    def info(self) -> tuple[Access, _Info]:
        """What the Hub says of the repo."""
        said = self._said("&".join(f"expand={part}" for part in _INFO), self.revision)
        sha = said.get("sha")
        if not sha or not isinstance(sha, str):
            raise HubUnreachable(f"{self.endpoint} says nothing of the commit of {self.repo_id}.", "Is it a Hub?")
        access = Access(
            repo_id=str(said.get("id") or said.get("modelId") or self.repo_id),
            sha=sha,
            gated=said.get("gated") or False,
            private=bool(said.get("private")),
            disabled=bool(said.get("disabled")),
        )
        if access.disabled:
            raise self._disabled()
        self._base, self._sha = f"{quote(access.repo_id)}/resolve/{sha}", sha
        parameters = _part(_part(said, "safetensors"), "parameters")
        return access, _Info(list(_files(said)), _part(said, "config").get("tokenizer_config"), parameters)

    def _said(self, query: str, revision: str | None) -> dict[str, Any]:
        """The Hub's JSON about the repo.

        Read here, not by the client: that one fails at an answer with a key less than huggingface.co's.
        """
        from huggingface_hub.utils import validate_repo_id

        path = f"api/models/{self.repo_id}" + (f"/revision/{quote(revision, safe='')}" if revision else "")

        def ask() -> dict[str, Any]:
            validate_repo_id(self.repo_id)
            return _object(self._asked(f"{path}?{query}")) or {}

        return self._tried(ask)

    def prove_access(self, access: Access, info: _Info) -> None:
        """Reads a file of a gated repo, or asks whether it may be read."""
        if _may_have_config(info.names):
            self._optional(f"{self._base}/config.json")
        else:
            self._optional(f"api/models/{quote(access.repo_id)}/auth-check")

    def contents(self, access: Access, info: _Info) -> Contents:
        names, tokenizer = info.names, info.tokenizer
        config: dict[str, Any] = {}
        if _may_have_config(names):
            config = self.config()
        elif access.gated:
            self.prove_access(access, info)
        tensors = Tensors() if "adapter_config.json" in names else read_tensors(self, names, config, info.parameters)
        said = None
        if self.left and (file := quantization_file(names, config)):
            said = file, self.json_file(file) or {}
        known = tokenizer is not None or not config or contents_of(names, config, None).chat_template
        if not known and self.left and ("tokenizer_config.json" in names or not names):
            tokenizer = self.json_file("tokenizer_config.json") or {}
        elif names and "tokenizer_config.json" not in names:
            tokenizer = tokenizer or {}
        return contents_of(names, config, tokenizer, tensors=tensors, quantization=said)

    def config(self) -> dict[str, Any]:
        """config.json; empty where there is none."""
        content = self._optional(f"{self._base}/config.json")
        value = {} if content is None else _object(content)
        if value is None:
            what = f"config.json of {self.repo_id} from {self.endpoint} is no JSON object."
            raise HubUnreachable(what, "Look at the repo.")
        return value

    def json_file(self, file: str) -> dict[str, Any] | None:
        """The content of a JSON file; None for one that isn't there, or can't be had now."""
        content = self._spared(f"{self._base}/{file}")
        return None if content is None else _object(content)

    def first_bytes(self, file: str, count: int, start: int = 0) -> bytes | None:
        """`count` bytes of a file; None as for `json_file`.  A server without ranges isn't read further."""
        return self._spared(f"{self._base}/{quote(file)}", (start, count))

    def sizes(self) -> dict[str, int] | None:
        """Bytes of each file, by another form of the repo's info; None when the Hub doesn't say."""
        self.left -= 1
        try:
            said = self._said("blobs=true", self._sha)
        except (_NotThere, HubUnreachable):
            return None
        return {name: size for name, file in _files(said).items() if isinstance(size := file.get("size"), int)}

    def _spared(self, path: str, part: tuple[int, int] | None = None) -> bytes | None:
        """A file that can be done without: when it can't be had now, the facts are poorer, and aren't kept."""
        try:
            return self._optional(path, part)
        except HubUnreachable:
            self.poorer = True
            return None

    def _optional(self, path: str, part: tuple[int, int] | None = None) -> bytes | None:
        try:
            return self._get(path, part)
        except _NotThere:
            return None

    def _get(self, path: str, part: tuple[int, int] | None = None) -> bytes:
        """The content of a path, or of a part of it: where to begin, and how many bytes."""
        self.left -= 1
        return self._tried(lambda: self._asked(path, part))

    def _asked(self, path: str, part: tuple[int, int] | None = None) -> bytes:
        """One try.  The client's own calls for a file or for access either retry or have no time limit."""
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        headers = build_hf_headers(token=self.token or False)
        start, count = part or (0, 0)
        if part:
            headers["Range"] = f"bytes={start}-{start + count - 1}"
        options: dict[str, Any] = {"headers": headers, "timeout": self.timeout, "follow_redirects": True}
        with get_session().stream("GET", f"{self.endpoint}/{path}", **options) as response:
            # A renamed repo is a second request; where the files lie is none to the Hub.
            self.left -= len(response.history) if str(response.url).startswith(self.endpoint) else 0
            unexplained = response.status_code in _NOT_THERE and "X-Error-Code" not in response.headers
            if unexplained and not path.startswith("api/"):
                raise _NotThere
            hf_raise_for_status(response)
            if not part:
                return bytes(response.read())
            skipped = 0 if response.status_code == _PARTIAL else start
            return _beginning(response.iter_bytes(), skipped + count)[skipped:]

    def _tried[Answer](self, ask: Callable[[], Answer]) -> Answer:
        """The answer to a request, tried again while that may help.  Raises errors of ours only."""
        import httpx
        from huggingface_hub.errors import RemoteEntryNotFoundError
        from tenacity import Retrying, retry_if_exception

        retrying = Retrying(
            sleep=time.sleep,
            retry=retry_if_exception(passing),
            wait=wait,
            stop=self._enough,
            reraise=True,
        )
        try:
            return retrying(ask)
        except RemoteEntryNotFoundError:
            raise _NotThere from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, KeyError, TypeError) as error:
            raise self._meaning(error) from None

    def _enough(self, state: RetryCallState) -> bool:
        return state.attempt_number >= TRIES or time.monotonic() + state.upcoming_sleep > self._ends

    def _meaning(self, error: Exception) -> ServingError:
        """Our error for one of the client's.  Its text is never taken over: it may quote headers."""
        from huggingface_hub import errors as theirs

        # Most derived first: GatedRepoError is a RepositoryNotFoundError.
        meanings: tuple[tuple[type[Exception], Callable[[], ServingError]], ...] = (
            (theirs.GatedRepoError, self._gated),
            (theirs.DisabledRepoError, self._disabled),
            (theirs.RevisionNotFoundError, self._no_revision),
            (theirs.RepositoryNotFoundError, self._not_found),
            (theirs.HFValidationError, self._not_found),
        )
        for kind, meaning in meanings:
            if isinstance(error, kind):
                return meaning()
        if isinstance(error, theirs.OfflineModeIsEnabled):
            return self._unreachable("HF_HUB_OFFLINE forbids asking it")
        if isinstance(error, theirs.HfHubHTTPError):
            return self._by_status(error)
        return self._unreachable(_KINDS_OF_SILENCE.get(type(error).__name__, type(error).__name__))

    def _by_status(self, error: Any) -> ServingError:
        status = error.response.status_code
        unauthorized, forbidden = 401, 403
        if status == unauthorized:
            return self._invalid_token() if self.token else self._not_found()
        if status == forbidden and self.token:
            what = f"The Hub token may not read {self.repo_id}."
            return InvalidHubToken(what, "Give the token read access to this repo, or set another hf_token.")
        if status == TOO_MANY:
            return self._unreachable(f"its rate limit is used up for {reset_seconds(error) or 'some'} s")
        return self._unreachable(f"it answers {status}")

    def _gated(self) -> ServingError:
        page = f"{self.endpoint}/{self.repo_id}"
        if not self.token:
            what = f"{self.repo_id} is gated, and there is no Hub token."
            cure = f"Ask for access at {page}, then set hf_token (as a secret) to a token of that account."
            return GatedModel(what, cure, reason="no-token")
        what = f"{self.repo_id} is gated, and the account of hf_token has no access to it (yet)."
        return GatedModel(
            what,
            f"Ask for access at {page}, or use the token of an account that has it.",
            reason="not-approved",
        )

    def _not_found(self) -> ServingError:
        who = "with this token" if self.token else "without a token"
        cure = "Check the name" + ("." if self.token else "; if the repo is private, set hf_token.")
        return ModelNotFound(f"{self.endpoint} has no model {self.repo_id}, or none to be seen {who}.", cure)

    def _no_revision(self) -> ServingError:
        cure = f"See {self.endpoint}/{self.repo_id}/commits/main for what there is."
        return RevisionNotFound(f"{self.repo_id} has no branch, tag or commit {self.revision or 'main'!r}.", cure)

    def _disabled(self) -> ServingError:
        return ModelDisabled(f"The Hub has disabled {self.repo_id}: nothing of it can be had.", "Use another model.")

    def _invalid_token(self) -> ServingError:
        cure = "Set hf_token to a valid one, or remove it for a public model."
        return InvalidHubToken("The Hub doesn't know this token.", cure)

    def _unreachable(self, why: str) -> ServingError:
        return HubUnreachable(f"{self.endpoint} couldn't be asked about {self.repo_id}: {why}.", "Try again later.")


def _may_have_config(names: list[str]) -> bool:
    """False where asking for config.json is in vain: some Hubs list nothing, or the weights only."""
    instead = {"params.json", "adapter_config.json"} & set(names)
    weights = weight_files(names, "safetensors") or weight_files(names, "bin")
    return "config.json" in names or not names or bool(weights and not instead)


def _part(said: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = said.get(key)
    return value if isinstance(value, dict) else {}


def _files(said: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The files of a repo by name, as its info has them."""
    listed = said.get("siblings")
    files = listed if isinstance(listed, list) else []
    return {str(file["rfilename"]): file for file in files if isinstance(file, dict) and "rfilename" in file}


def _object(content: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(content)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


class _NotThere(Exception):
    """The repo has no such file, or the file no such part."""


def _beginning(pieces: Iterator[bytes], count: int) -> bytes:
    """The first bytes of a body; what comes after them isn't waited for."""
    content = bytearray()
    for piece in pieces:
        content += piece
        if len(content) >= count:
            break
    return bytes(content[:count])


_KINDS_OF_SILENCE = {
    "ConnectError": "no connection",
    "ConnectTimeout": "no connection in time",
    "ReadTimeout": "no answer in time",
    "ReadError": "the connection broke",
    "RemoteProtocolError": "the connection broke",
}
