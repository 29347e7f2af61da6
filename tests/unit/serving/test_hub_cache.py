"""The invariant: what one token may see no other sees from the cache, and a broken cache is no cache."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from serving import GatedModel, HubUnreachable, fetch, hub_cache
from serving.hub_cache import ACCESS_SECONDS

from .hub_double import APPROVED, SHA, UNAPPROVED, Hub


def files() -> list[Path]:
    return sorted(path for path in hub_cache.folder().rglob("*") if path.is_file())


def age(kind: str, seconds: float) -> None:
    for path in (hub_cache.folder() / kind).iterdir():
        stamp = path.stat().st_mtime - seconds
        os.utime(path, (stamp, stamp))


def test_the_second_time_nobody_is_asked(hub: Hub) -> None:
    first = fetch("org/open")
    asked = len(hub.requests)
    assert fetch("org/open") == first
    assert len(hub.requests) == asked


def test_access_ends_after_ten_minutes_and_contents_never(hub: Hub) -> None:
    first = fetch("org/open")
    age("access", ACCESS_SECONDS + 1)
    age("contents", 10**8)
    hub.requests.clear()
    assert fetch("org/open") == first
    assert hub.paths == ["/api/models/org/open"]


def test_a_record_from_the_future_is_not_fresh(hub: Hub) -> None:
    fetch("org/open")
    age("access", -3600)
    hub.requests.clear()
    fetch("org/open")
    assert hub.paths == ["/api/models/org/open"]


@pytest.mark.parametrize("revision", [None, SHA])
def test_access_is_proved_by_each_token(hub: Hub, revision: str | None) -> None:
    fetch("org/gated", revision, APPROVED)
    for token in (UNAPPROVED, None):
        with pytest.raises(GatedModel):
            fetch("org/gated", revision, token)
    hub.requests.clear()
    fetch("org/gated", revision, APPROVED)
    assert hub.requests == []


def test_a_gate_is_tried_again_when_access_has_run_out(hub: Hub) -> None:
    fetch("org/gated", token=APPROVED)
    age("access", ACCESS_SECONDS + 1)
    hub.requests.clear()
    fetch("org/gated", token=APPROVED)
    assert f"/org/gated/resolve/{SHA}/config.json" in hub.paths


def test_endpoints_are_kept_apart(hub: Hub) -> None:
    fetch("org/open")
    hub.requests.clear()
    fetch("org/open", endpoint="http://other.example")
    assert {request.url.host for request in hub.requests} == {"other.example"}


def test_no_token_is_stored_and_nobody_else_may_read(hub: Hub) -> None:
    fetch("org/private", token=APPROVED)
    stored = files()
    assert len(stored) == 2
    for path in stored:
        assert APPROVED not in path.read_text() + str(path)
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b'{"sha": 1}', json.dumps({"config": []}).encode()])
def test_a_broken_file_is_a_miss_and_gets_repaired(hub: Hub, content: bytes) -> None:
    first = fetch("org/open")
    for path in files():
        path.write_bytes(content)
    assert fetch("org/open") == first
    asked = len(hub.requests)
    assert fetch("org/open") == first
    assert len(hub.requests) == asked


def test_a_cache_that_cannot_be_written_does_not_matter(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert fetch("org/open").sha == SHA


def test_failures_are_not_kept(hub: Hub) -> None:
    import httpx

    hub.always = httpx.ConnectError("x")
    with pytest.raises(HubUnreachable):
        fetch("org/open")
    hub.always = None
    assert fetch("org/open").sha == SHA


def test_a_warm_fact_needs_neither_network_nor_the_client(hub: Hub) -> None:
    fetch("org/open")
    program = (
        "import sys\n"
        "from serving import fetch\n"
        "print(fetch('org/open').sha)\n"
        "print([m for m in ('httpx', 'huggingface_hub', 'tenacity', 'aiohttp') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [SHA, "[]"]
