"""State and rules of the Hub: who may read what, which revisions exist, what goes wrong on demand.

`hub` is the one the routes answer from; a test changes it and calls `hub.reset()` afterwards.
"""

from collections import Counter
from dataclasses import dataclass, field

from emulator.hub.catalog import RENAMED, Repo, catalog
from emulator.hub.errors import (
    Disabled,
    EntryNotFound,
    GatedRepo,
    InvalidToken,
    RateLimited,
    RepoNotFound,
    RevisionNotFound,
    ServerError,
)
from emulator.hub.files import File, files

APPROVED = "hf_standin_approved"
UNAPPROVED = "hf_standin_unapproved"


@dataclass(frozen=True)
class User:
    """`approved`: reads gated and private repos."""

    name: str
    approved: bool


_USERS = {
    APPROVED: User("standin-approved", approved=True),
    UNAPPROVED: User("standin-unapproved", approved=False),
}


@dataclass
class Hub:
    """The repos, and the faults of a whole Hub: `rate_limited` (seconds left), `failing` (an HTTP status)."""

    repos: dict[str, Repo] = field(default_factory=catalog)
    requests: Counter[str] = field(default_factory=Counter)
    rate_limited: int | None = None
    failing: int | None = None

    def reset(self) -> None:
        """The catalogue as it was, no faults, nothing counted."""
        vars(self).update(vars(Hub()))

    def receive(self, method: str, path: str) -> None:
        """Count a request under "GET /path", then fail if the Hub is to fail."""
        self.requests[f"{method} {path}"] += 1
        if self.rate_limited is not None:
            raise RateLimited(self.rate_limited)
        if self.failing is not None:
            raise ServerError(self.failing)

    def user(self, authorization: str) -> User | None:
        """The bearer of the token, None without one; InvalidToken for any other."""
        if not authorization:
            return None
        user = _USERS.get(authorization.removeprefix("Bearer "))
        if user is None:
            raise InvalidToken
        return user

    def renamed(self, repo_id: str) -> str | None:
        """The new name of a repo that moved."""
        return RENAMED.get(repo_id)

    def repo(self, repo_id: str, revision: str, user: User | None) -> Repo:
        """The repo as its page shows it, gated or not; RepoNotFound, Disabled, RevisionNotFound."""
        repo = self.repos.get(repo_id)
        if repo is None or (repo.private and not (user and user.approved)):
            raise RepoNotFound(signed_in=user is not None)
        if repo.disabled:
            raise Disabled
        if revision not in ("main", repo.sha):
            raise RevisionNotFound(revision)
        return repo

    def admit(self, repo: Repo, user: User | None) -> None:
        """GatedRepo unless the user may read the repo's files."""
        if repo.gated and not (user and user.approved):
            raise GatedRepo(repo.id, signed_in=user is not None)

    def file(self, repo: Repo, path: str) -> File:
        """EntryNotFound when the repo has no such file."""
        try:
            return files(repo)[path]
        except KeyError:
            raise EntryNotFound from None


hub = Hub()
