"""The programs the cluster is made of: Debian packages of the machine, Python packages in a shared environment."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.cluster.places import REQUIREMENTS, Places, base_python
from tests.cluster.problems import CannotRun

APT_PACKAGES = ("postgresql", "redis-server", "etcd-server", "etcd-client")
_BUILD = ("setuptools", "uv")  # installed first: they install and build the others
_STAMP = ".complete"

type Say = Callable[[str], None]


def postgres_bin() -> Path | None:
    """The newest PostgreSQL's folder; its server programs aren't on PATH."""
    found = [p.parent for p in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda p: int(p.parent.name), default=None)


def missing_programs() -> list[str]:
    missing = [name for name in ("redis-server", "redis-cli", "etcd", "etcdctl", "psql") if not shutil.which(name)]
    return missing if postgres_bin() else ["postgresql", *missing]


def install_debian_packages(say: Say) -> None:
    """Raises CannotRun when apt can't."""
    if not missing_programs():
        return
    say(f"apt installs {', '.join(APT_PACKAGES)} (they won't be started by systemd)")
    if said := _apt_install():
        _apt("update")
        said = _apt_install()
    if missing := missing_programs():
        raise CannotRun(f"apt can't install {', '.join(missing)}: {said or 'the packages came without them'}")


def _apt_install() -> str:
    # Installing would start servers on the standard ports, where systemd or a policy lets it.
    policy = Path("/usr/sbin/policy-rc.d")
    mine = not policy.exists()
    if mine:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        return _apt("install", "-y", "--no-install-recommends", *APT_PACKAGES)
    finally:
        if mine:
            policy.unlink()


def _apt(*arguments: str) -> str:
    """The last line of what apt had to say, empty when it worked."""
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(["apt-get", *arguments], capture_output=True, text=True, env=env, check=False)
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return "" if done.returncode == 0 else (lines or ["apt-get failed"])[-1]


def install_python_packages(places: Places, say: Say) -> None:
    """Make the environment, with exactly the packages of requirements.txt, unless it is there.  Raises CannotRun."""
    make_environment(places.venv, REQUIREMENTS, f"{len(_entries())} packages, 600 MB", say)


def make_environment(venv: Path, requirements: Path, size: str, say: Say, *options: str) -> None:
    """Make `venv` with exactly the packages of a file with hashes, unless it is there.  Raises CannotRun."""
    python, stamp = venv / "bin" / "python", venv / _STAMP
    made_from = hashlib.sha256(requirements.read_bytes() + base_python().encode()).hexdigest()

    def complete() -> bool:
        return stamp.exists() and stamp.read_text() in ("", made_from) and _runs(python)

    if complete():
        return
    venv.parent.mkdir(parents=True, exist_ok=True)
    with (venv.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another clone may be making the same one
        if complete():
            return
        say(f"making {venv} ({size}; shared by all clones)")
        shutil.rmtree(venv, ignore_errors=True)
        _run("can't make a virtual environment", base_python(), "-m", "venv", str(venv))
        first = venv / "build-requirements.txt"
        first.write_text("".join(text for name, text in _entries() if name in _BUILD))
        pip = (str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *_STRICT, *options)
        _run("can't install the build tools", *pip, "-r", str(first))
        by_uv = subprocess.run(
            [str(venv / "bin" / "uv"), "pip", "install", "--python", str(python), *_STRICT, *options,
             "-r", str(requirements)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if by_uv.returncode != 0:
            say(f"uv can't install them ({_last_line(by_uv.stderr)}): trying pip, which takes longer")
            _run("can't install the packages", *pip, "-r", str(requirements))
        stamp.write_text(made_from)


_STRICT = ("--quiet", "--no-build-isolation", "--require-hashes")


def _run(what: str, *command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        cure = "check the network, a proxy (HTTPS_PROXY) and pip's settings (pip config list)"
        raise CannotRun(f"{what}: {_last_line(done.stderr or done.stdout)} ({cure})")


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1]


def _runs(python: Path) -> bool:
    """The interpreter behind it may have been uninstalled."""
    command: Sequence[str] = (str(python), "-I", "-S", "-c", "")
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _entries() -> list[tuple[str, str]]:
    """(package, its lines with all hashes) of requirements.txt."""
    return [
        (match["name"], match.group())
        for match in re.finditer(r"^(?P<name>[a-z0-9-]+)==.*\\\n(?:    --hash=.*\n)+", REQUIREMENTS.read_text(), re.M)
    ]
