"""Where the cluster can't run, one line says why and what to do, and nothing has been started."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cluster import check as checking
from tests.cluster import places as placing
from tests.cluster.check import check
from tests.cluster.fixtures import demanded
from tests.cluster.places import CLONE, LONGEST_ROOT, Places, find_places
from tests.cluster.ports import CIRCUITS, HOST_PORTS, LOOPBACK, SESSION_PORTS, Port, listeners
from tests.cluster.problems import CannotRun

TOO_LONG = "/tmp/" + "x" * LONGEST_ROOT


def reason(places: Places) -> str:
    with pytest.raises(CannotRun) as caught:
        check(places)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has what it takes, wherever this test runs."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(checking, "missing_programs", list)
    for name in ("_check_namespaces", "_check_room", "_check_ports"):
        monkeypatch.setattr(checking, name, lambda *_places: None)


@pytest.mark.usefixtures("able")
def test_nothing_is_wrong(tmp_path: Path) -> None:
    assert check(Places(tmp_path)) == Places(tmp_path)


@pytest.mark.usefixtures("able")
def test_a_user_who_is_not_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "run it as root" in reason(Places(tmp_path))


@pytest.mark.usefixtures("able")
def test_another_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))
    assert "Python 3.13" in reason(Places(tmp_path))


@pytest.mark.usefixtures("able")
def test_programs_are_missing_and_nobody_can_install_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "missing_programs", lambda: ["etcd", "psql"])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "etcd, psql are missing and there is no apt-get" in reason(Places(tmp_path))


def test_a_port_that_somebody_else_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        taken = other.getsockname()[1]
        monkeypatch.setattr(checking, "listeners", lambda _ports: {int(Port.REDIS): os.getpid()})
        with pytest.raises(CannotRun, match=rf"port {Port.REDIS} \(REDIS\) is used by pid {os.getpid()} \(.*python"):
            checking._check_ports(Places(tmp_path))
        monkeypatch.undo()
        assert listeners(frozenset({taken})) == {taken: os.getpid()}


def test_the_ports_do_not_collide() -> None:
    ranges = [range(first, last + 1) for first, last in (CIRCUITS, SESSION_PORTS)]
    single = [int(port) for port in Port] + list(HOST_PORTS)
    assert len(set(single)) == len(single)
    assert not any(port in taken for port in single for taken in ranges)
    assert max(single) < 32768


def test_a_clone_whose_path_is_too_long_for_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BAI_ROOT", raising=False)
    monkeypatch.setattr(placing, "CLONE", Path(TOO_LONG))
    places = find_places()
    assert places.root.parent == Path("/var/tmp")
    assert "too long" in places.moved
    monkeypatch.setenv("BAI_ROOT", TOO_LONG)
    with pytest.raises(CannotRun, match="BAI_ROOT"):
        find_places()


@pytest.mark.parametrize(
    ("env", "answer"), [({}, False), ({"CI": "true"}, True), ({"CLUSTER": "required"}, True), ({"CLUSTER": "x"}, False)]
)
def test_where_it_is_demanded(env: dict[str, str], answer: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "CLUSTER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert demanded() is answer


@pytest.mark.parametrize(("demand", "code"), [({}, 0), ({"CLUSTER": "required"}, 1)])
def test_tests_of_the_cluster_are_left_out_loudly_or_fail_where_it_is_demanded(
    demand: dict[str, str], code: int
) -> None:
    env = {name: value for name, value in os.environ.items() if name not in ("CI", "CLUSTER")}
    name = "tests/cluster/test_bring_up.py::test_the_command_says_the_same"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", name], cwd=CLONE,
        env={**env, "BAI_ROOT": TOO_LONG, **demand}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout
    assert ("1 skipped" if code == 0 else "1 error") in done.stdout
    assert "THE REAL CONTROL PLANE DOESN'T RUN HERE, ITS TESTS ARE LEFT OUT: the path of BAI_ROOT" in done.stdout
