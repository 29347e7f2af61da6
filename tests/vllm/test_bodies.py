"""The invariant: the stand-in answers as the real server does: status, headers, keys, types, error texts, SSE."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.emulator.vllm_process import Vllm

from .bodies import REQUESTS, comparable
from .server import RealVllm
from .tiny import make_tiny

KEY = "right-key"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Vllm, Vllm]]:
    """The real one and the stand-in, with the same model and arguments."""
    folder = tmp_path_factory.mktemp("bodies")
    argv = ("serve", str(make_tiny(folder / "tiny-llama")), "--served-model-name=tiny", "--max-model-len=256")
    real = RealVllm(folder, *argv, VLLM_API_KEY=KEY)
    standin = Vllm(folder, *argv, VLLM_API_KEY=KEY)
    try:
        yield real.wait_for(), standin.wait_for()
    finally:
        real.stop()
        standin.stop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", REQUESTS)
def test_both_answer_the_same(name: str, both: tuple[Vllm, Vllm]) -> None:
    method, path, body, headers = REQUESTS[name]
    real, standin = (
        comparable(server.call(method, path, body, **{"Authorization": f"Bearer {KEY}", **headers})) for server in both
    )
    assert standin == real
