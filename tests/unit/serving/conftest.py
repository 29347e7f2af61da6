"""A Hub double in place of the network, and a disk cache of its own for each test."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import huggingface_hub
import pytest
from huggingface_hub.utils._http import default_client_factory

from .hub_double import AWQ, GPTQ, LLAMA, Hub, Repo


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that the Hub adapter would have slept."""
    slept: list[float] = []
    monkeypatch.setattr("serving.hub.time.sleep", slept.append)
    return slept


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, naps: list[float]) -> Iterator[Hub]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setenv("HF_TOKEN", "hf_of_this_machine")
    double = Hub(
        {
            "org/open": Repo(),
            "org/awq": Repo(config=LLAMA | {"quantization_config": AWQ}),
            "org/gptq": Repo(config=LLAMA | {"quantization_config": GPTQ}),
            "org/gated": Repo(gated="manual"),
            "org/private": Repo(private=True),
            "org/disabled": Repo(disabled=True),
        },
        renamed={"old-name": "org/open"},
    )
    huggingface_hub.set_client_factory(
        lambda: httpx.Client(transport=httpx.MockTransport(double), follow_redirects=True)
    )
    yield double
    huggingface_hub.set_client_factory(default_client_factory)
    huggingface_hub.utils.close_session()
