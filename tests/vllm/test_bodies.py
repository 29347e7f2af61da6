"""The invariant: the stand-in answers as the real server does: status, headers, keys, types, error texts, SSE."""

from __future__ import annotations

from collections.abc import Iterator

import psutil
import pytest

from tests.emulator.vllm_process import Vllm

from .bodies import HI, MANY, REQUESTS, TURNS, comparable
from .server import RealVllm
from .tiny import make_tiny

KEY = "right-key"


@pytest.fixture(scope="module")
def all_three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Vllm, Vllm, Vllm]]:
    """The real one, the stand-in, and a stand-in whose engine will die; with the same model and arguments."""
    folder = tmp_path_factory.mktemp("bodies")
    argv = ("serve", str(make_tiny(folder / "tiny-llama")), "--served-model-name=tiny", "--max-model-len=256")
    real = RealVllm(folder, *argv, VLLM_API_KEY=KEY)
    standin = Vllm(folder, *argv, VLLM_API_KEY=KEY)
    broken = Vllm(folder, *argv, VLLM_API_KEY=KEY, VLLM_STANDIN_BROKEN_ENGINE="1")
    try:
        yield real.wait_for(), standin.wait_for(), broken.wait_for()
    finally:
        for server in (real, standin, broken):
            server.stop()


@pytest.fixture
def both(all_three: tuple[Vllm, Vllm, Vllm]) -> tuple[Vllm, Vllm]:
    return all_three[:2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", REQUESTS)
def test_both_answer_the_same(name: str, both: tuple[Vllm, Vllm]) -> None:
    method, path, body, headers = REQUESTS[name]
    real, standin = (
        comparable(server.call(method, path, body, **{"Authorization": f"Bearer {KEY}", **headers})) for server in both
    )
    assert standin == real


def test_a_dead_engine_answers_the_same_and_both_end_with_exit_code_0(all_three: tuple[Vllm, Vllm, Vllm]) -> None:
    """The last of the module: the real server doesn't outlive it."""
    real, _, broken = all_three
    engines = [process for process in descendants(real) if process.cmdline()[0].startswith("VLLM::EngineCore")]
    assert engines, [process.cmdline() for process in descendants(real)]
    for process in engines:
        process.kill()
    answers = [
        comparable(server.call("POST", TURNS, HI | MANY, Authorization=f"Bearer {KEY}")) for server in (real, broken)
    ]
    assert answers[0]["status"] == 500
    assert answers[0] == answers[1]
    assert [server.ended() for server in (real, broken)] == [0, 0]


def descendants(server: Vllm) -> list[psutil.Process]:
    return psutil.Process(server.process.pid).children(recursive=True)
