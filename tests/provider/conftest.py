"""One provider process for the tests of a module, as one serves a whole run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.vllm_model_session import VLLMModelSessionProvider

from .driver import ProviderProcess


@pytest.fixture(scope="module")
def stderr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("provider") / "stderr"


@pytest.fixture(scope="module")
def process(cluster_env: dict[str, str], stderr: Path) -> Iterator[ProviderProcess]:
    with ProviderProcess(VLLMModelSessionProvider(), cluster_env, stderr_path=stderr) as process:
        yield process
