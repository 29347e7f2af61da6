"""What serving learns from the Hub stand-in over the wire.

Invariant: at most four requests for a cold model and none for a warm one, and every byte of its tensors is known.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from emulator import Emulator
from emulator.hub.catalog import Repo, catalog
from emulator.hub.files import files, stored_tensors
from emulator.hub.models import APPROVED, hub
from serving import fetch
from serving.hub import REQUESTS

REPOS = list(catalog().values())


@pytest.fixture
def endpoint(running_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    hub.reset()
    return running_emulator.hub_endpoint


@pytest.mark.parametrize("repo", REPOS, ids=lambda repo: repo.id)
def test_four_requests_tell_every_tensor(endpoint: str, repo: Repo) -> None:
    facts = fetch(repo.id, token=APPROVED, endpoint=endpoint)
    assert hub.requests.total() <= REQUESTS
    tensors = facts.contents.tensors
    stored = sum(tensor.size for tensor in stored_tensors(repo))
    if repo.weights == "safetensors":
        assert (tensors.complete, tensors.source) == (True, "headers")
        assert tensors.total_bytes == stored
    else:
        largest = max(file.size for path, file in files(repo).items() if path.endswith(".bin"))
        assert tensors.largest_file == largest
        assert tensors.total_bytes == pytest.approx(stored, rel=1e-4)
    hub.requests.clear()
    assert fetch(repo.id, token=APPROVED, endpoint=endpoint) == facts
    assert hub.requests.total() == 0


def test_headers_are_asked_for_and_no_weights(endpoint: str, running_emulator: Emulator) -> None:
    fetch("Qwen/Qwen2.5-72B-Instruct", endpoint=endpoint)
    assert [path.rpartition("/")[2].partition("-")[0] for path in hub.requests] == [
        "Qwen2.5",
        "config.json",
        "model.safetensors.index.json",
        "model",
    ]


def test_many_models_are_asked_about_side_by_side(endpoint: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda repo: fetch(repo.id, token=APPROVED, endpoint=endpoint), REPOS))
    assert [facts.repo_id for facts in found] == [repo.id for repo in REPOS]
    assert hub.requests.total() <= REQUESTS * len(REPOS)
