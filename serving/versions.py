"""vLLM's version numbers, and which one an image holds as far as its name tells."""

from __future__ import annotations

import re

from .errors import InvalidArgument

Minor = tuple[int, int]

_VERSION = re.compile(r"v?(\d{1,3})\.(\d{1,3})(?:\.(\d{1,3}))?(?:[.\-_]?(?:post|rc|dev|a|b)\d*)*(?:[-+_].*)?")
# Names (the last part of an image's path) whose tag is vLLM's version.
_IMAGE_NAMES = frozenset({"vllm", "vllm-cpu", "vllm-openai", "vllm-openai-cpu"})
_LARGEST_MAJOR = 9  # 25.09 is a month, not a release of vLLM


def minor(version: str) -> Minor:
    """`(0, 11)` of "0.11", "v0.11.2" or "0.11.2.post1".  Raises InvalidArgument for what is no version.

    Flags come and go with minor releases, so that is what two versions are compared by.
    """
    match = _VERSION.fullmatch(version.strip())
    if match is None:
        what = f"{version!r} is no version of vLLM."
        raise InvalidArgument(
            what, "Write the release that the image holds, such as 0.11 or 0.32.0.", key="vllm_version"
        )
    return int(match[1]), int(match[2])


def vllm_version_of_image(image: str) -> str | None:
    """`0.11` of "cr.backend.ai/stable/vllm:0.11-cuda12.8-ubuntu22.04"; None when the name doesn't tell.

    Only images that carry vLLM's own version as their tag tell: a digest, `latest`, or a tag of somebody
    else's numbering doesn't.
    """
    path, _, tag = image.partition("@")[0].rpartition("/")[2].partition(":")
    match = _VERSION.fullmatch(tag) if path in _IMAGE_NAMES else None
    if match is None or int(match[1]) > _LARGEST_MAJOR:
        return None
    return ".".join(part for part in match.groups() if part is not None)
