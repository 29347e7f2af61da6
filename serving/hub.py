"""The one place that talks to the Hugging Face Hub, by huggingface_hub.

At most three requests for a model that isn't cached: its info, its config.json, and one more for what
these leave open (the chat template; or, in a gated repo without a config.json, whether the token may read
it).

Each answer is retried here and nowhere else, within a deadline, and comes out as facts or as an error of
ours.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
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
from .hub_facts import Access, Contents, HubFacts, contents_of

if TYPE_CHECKING:
    from tenacity import RetryCallState

DEFAULT_ENDPOINT = "https://huggingface.co"
REQUEST_SECONDS = 10.0
DEADLINE_SECONDS = 20.0
TRIES = 4
FIRST_WAIT, LONGEST_WAIT = 0.5, 4.0  # seconds between tries, doubling
_INFO: list[Any] = ["sha", "gated", "private", "disabled", "config", "siblings"]
_TOO_MANY = 429
_BUSY = frozenset({408, _TOO_MANY, 500, 502, 503, 504})


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
    if cached := hub_cache.load(endpoint, repo_id, revision, token):
        return cached
    hub = _Hub(endpoint, repo_id, revision, token, timeout=timeout, deadline=deadline)
    access, names, tokenizer = hub.info()
    contents = hub_cache.load_contents(endpoint, access)
    if contents is None or access.gated:
        # The Hub tells everybody about a gated repo: only reading a file shows that this token may.
        contents = hub.contents(access, names, tokenizer)
    facts = HubFacts(access=access, contents=contents)
    hub_cache.save(endpoint, repo_id, revision, token, facts)
    return facts


class _Hub:
    """The requests for one model."""

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
        from huggingface_hub import HfApi

        self.endpoint, self.repo_id, self.revision = endpoint, repo_id, revision
        self.token: str | None = token or None
        self.timeout = timeout
        self._ends = time.monotonic() + deadline
        self._api = HfApi(endpoint=endpoint, token=self.token or False)

    def info(self) -> tuple[Access, list[str], dict[str, Any] | None]:
        """What the Hub says of the repo: access, file names, and what it repeats of tokenizer_config.json."""
        info = self._tried(
            lambda: self._api.model_info(
                self.repo_id,
                revision=self.revision,
                timeout=self.timeout,
                expand=_INFO,
            )
        )
        if not info.sha:
            raise HubUnreachable(f"{self.endpoint} says nothing of the commit of {self.repo_id}.", "Is it a Hub?")
        access = Access(
            repo_id=info.id,
            sha=info.sha,
            gated=info.gated or False,
            private=bool(info.private),
            disabled=bool(info.disabled),
        )
        if access.disabled:
            raise self._disabled()
        names = [sibling.rfilename for sibling in info.siblings or []]
        return access, names, (info.config or {}).get("tokenizer_config")

    def contents(self, access: Access, names: list[str], tokenizer: dict[str, Any] | None) -> Contents:
        if "config.json" not in names:
            if access.gated:
                self._get(f"api/models/{quote(access.repo_id)}/auth-check")
            return contents_of(names, {}, tokenizer)
        config = self._json(access, "config.json")
        known = tokenizer is not None or contents_of(names, config, None).chat_template
        if not known and "tokenizer_config.json" in names:
            tokenizer = self._json(access, "tokenizer_config.json")
        elif "tokenizer_config.json" not in names:
            tokenizer = tokenizer or {}
        return contents_of(names, config, tokenizer)

    def _json(self, access: Access, file: str) -> dict[str, Any]:
        content = self._get(f"{quote(access.repo_id)}/resolve/{access.sha}/{file}")
        try:
            value = json.loads(content)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            what = f"{file} of {self.repo_id} from {self.endpoint} is no JSON object."
            raise HubUnreachable(what, "Look at the repo.")
        return value

    def _get(self, path: str) -> bytes:
        """The client's own calls for a file or for access either retry by themselves or have no time limit."""
        from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

        url, headers = f"{self.endpoint}/{path}", build_hf_headers(token=self.token or False)

        def get() -> bytes:
            response = get_session().get(url, headers=headers, timeout=self.timeout, follow_redirects=True)
            hf_raise_for_status(response)
            return response.content

        return self._tried(get)

    def _tried[Answer](self, ask: Callable[[], Answer]) -> Answer:
        """The answer to a request, tried again while that may help.  Raises errors of ours only."""
        import httpx
        from tenacity import Retrying, retry_if_exception

        retrying = Retrying(
            sleep=time.sleep,
            retry=retry_if_exception(_passing),
            wait=_wait,
            stop=self._enough,
            reraise=True,
        )
        try:
            return retrying(ask)
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
        if status == _TOO_MANY:
            return self._unreachable(f"its rate limit is used up for {_reset_seconds(error) or 'some'} s")
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


_KINDS_OF_SILENCE = {
    "ConnectError": "no connection",
    "ConnectTimeout": "no connection in time",
    "ReadTimeout": "no answer in time",
    "ReadError": "the connection broke",
    "RemoteProtocolError": "the connection broke",
}


def _passing(error: BaseException) -> bool:
    """True for what may be over in a moment."""
    import httpx
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in _BUSY
    return isinstance(error, httpx.TransportError)


def _wait(state: RetryCallState) -> float:
    """Seconds until the next try: what the Hub's RateLimit header says, else doubling."""
    error = state.outcome.exception() if state.outcome else None
    return _reset_seconds(error) or min(FIRST_WAIT * 2.0 ** (state.attempt_number - 1), LONGEST_WAIT)


def _reset_seconds(error: Any) -> float | None:
    """When a refused client may ask again, from `RateLimit: "api";r=0;t=55`."""
    from huggingface_hub.utils import parse_ratelimit_headers

    response = getattr(error, "response", None)
    if response is None or response.status_code != _TOO_MANY:
        return None
    limits = parse_ratelimit_headers(response.headers)
    return float(limits.reset_in_seconds) if limits else None
