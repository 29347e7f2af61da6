"""The tag of a session of this program: `bai-vllm:<stack id>.<resource>:<digest of what it was made from>`.

`<stack id>.<resource>` is its owner: what `StackIdentity.owner` gives.
"""

from __future__ import annotations

from typing import NamedTuple

PREFIX = "bai-vllm"
_PARTS = 3


class Tag(NamedTuple):
    """The parts of a tag; all "" when it isn't one of ours."""

    owner: str = ""
    digest: str = ""

    @property
    def stack_id(self) -> str:
        return self.owner.partition(".")[0]


def tag_of(owner: str, digest: str) -> str:
    """The tag as it is written to the cluster."""
    return f"{PREFIX}:{owner}:{digest}"


def read_tag(text: str) -> Tag:
    """The parts of what stands on the cluster."""
    parts = text.split(":")
    return Tag(*parts[1:]) if len(parts) == _PARTS and parts[0] == PREFIX else Tag()


def same_owner(one: str, other: str) -> bool:
    """Whether two tags are of the same resource of the same stack."""
    owner, digest = read_tag(one)
    return bool(owner and digest) and owner == read_tag(other).owner
