"""The invariant: a version is only read off an image whose tag is vLLM's own numbering, and never guessed."""

import pytest

from serving import InvalidArgument, vllm_version_of_image
from serving.versions import minor


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("cr.backend.ai/stable/vllm:0.11-cuda12.8-ubuntu22.04", "0.11"),
        ("cr.backend.ai/stable/vllm:0.32.0-cuda12.9-ubuntu24.04", "0.32.0"),
        ("multiarch/vllm:0.9.1-cuda12.8-ubuntu24.04", "0.9.1"),
        ("vllm/vllm-openai:v0.10.2", "0.10.2"),
        ("vllm/vllm-openai:v0.10.2@sha256:" + "a" * 64, "0.10.2"),
        ("vllm/vllm-openai:v0.8.5.post1", "0.8.5"),
        ("vllm/vllm-openai:v0.11.0rc2", "0.11.0"),
        ("localhost:5000/vllm:0.13", "0.13"),
        ("vllm:0.20.2", "0.20.2"),
        ("vllm/vllm-openai:latest", None),
        ("vllm/vllm-openai:nightly-0034007debee2a00", None),
        ("vllm/vllm-openai", None),
        ("vllm/vllm-openai@sha256:" + "a" * 64, None),
        ("localhost:5000/vllm", None),
        ("nvcr.io/nvidia/vllm:25.09-py3", None),
        ("rocm/vllm:rocm6.4.1_vllm_0.10.1", None),
        ("acme/vllm-proxy:1.2.3", None),
        ("cr.backend.ai/stable/python:3.11-ubuntu22.04", None),
        ("", None),
    ],
)
def test_version_of_an_image(image: str, version: str | None) -> None:
    assert vllm_version_of_image(image) == version


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.11", (0, 11)),
        ("v0.11.2", (0, 11)),
        ("0.8.5.post1", (0, 8)),
        ("0.32.0+cpu", (0, 32)),
        (" 1.0 ", (1, 0)),
    ],
)
def test_minor_release(text: str, expected: tuple[int, int]) -> None:
    assert minor(text) == expected


@pytest.mark.parametrize("text", ["", "latest", "11", "0.x", "0.11,", "0..1"])
def test_what_is_no_version_is_refused_under_its_key(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        minor(text)
    assert caught.value.key == "vllm_version"
