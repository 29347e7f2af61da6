"""install-pulumi.sh takes what is there, else the vendor's archive, else builds; it prints a whole folder.

Whatever happens, nothing is left behind, and the user's own ~/.pulumi isn't touched.
"""

from __future__ import annotations

import http.server
import platform
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .sandbox import ROOT, Sandbox

VERSION = "3.259.0"
PROGRAMS = (
    "pulumi",
    "pulumi-language-python",
    "pulumi-language-python-exec",
    "pulumi-resource-pulumi-python",
)
# As the real one, it writes a log even for `pulumi version`.
PULUMI = 'mkdir -p "${{PULUMI_HOME:-$HOME/.pulumi}}/logs"; echo v{version}'
GO = r"""
    echo "$*" >>"$HOME/go.calls"
    case $1 in
      env) echo go${GO_VERSION:-1.26.8} ;;
      mod)
        sdk=$GOMODCACHE/github.com/pulumi/pulumi/sdk/v3@v3.259.0/python
        mkdir -p "$sdk/cmd" "$sdk/dist"
        echo exec >"$sdk/cmd/pulumi-language-python-exec"
        echo dynamic >"$sdk/dist/pulumi-resource-pulumi-python"
        chmod 0444 "$sdk"/*/* ;;
      build)
        cat go.mod >>"$HOME/go.mods"
        mkdir -p "$GOCACHE"
        if [ -n "${GO_SLOW:-}" ]; then sleep "$GO_SLOW"; fi
        if [ -n "${GO_FAILS:-}" ] && [ "$(grep -c ^build "$HOME/go.calls")" -le "$GO_FAILS" ]; then
          echo "go: downloading something"; echo "dial tcp: connection refused" >&2; exit 1
        fi
        while [ "$1" != -o ]; do shift; done
        printf '#!/bin/bash\necho v3.259.0\n' >"$2"
        chmod 755 "$2" ;;
    esac
"""
NO_VENDOR = {"PULUMI_RELEASES_URL": ""}


def install_into(sandbox: Sandbox, folder: Path, version: str = VERSION, without: str = "") -> Path:
    for program in PROGRAMS:
        if program != without:
            sandbox.program(program, PULUMI.format(version=version) if program == "pulumi" else "exit 0", folder)
    return folder


def cache(sandbox: Sandbox) -> Path:
    return sandbox.home / ".cache" / "backendai-vllm"


def installed(sandbox: Sandbox) -> Path:
    return cache(sandbox) / f"pulumi-{VERSION}" / "bin"


def assert_clean(sandbox: Sandbox) -> None:
    assert not (sandbox.home / ".pulumi").exists(), "the user's own Pulumi home was touched"
    assert list(cache(sandbox).glob("stage.*")) == []


@pytest.fixture
def vendor(tmp_path: Path) -> Iterator[Path]:
    """A server in the vendor's place; the folder that it serves has its address in `url`."""
    folder = tmp_path / "releases"
    folder.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        (folder / "url").write_text(f"http://127.0.0.1:{server.server_address[1]}")
        yield folder
        server.shutdown()
        thread.join()


def url_of(vendor: Path) -> dict[str, str]:
    return {"PULUMI_RELEASES_URL": (vendor / "url").read_text()}


def archive(vendor: Path) -> Path:
    system = {"Linux": "linux", "Darwin": "darwin"}[platform.system()]
    machine = "arm64" if platform.machine() in ("arm64", "aarch64") else "x64"
    return vendor / f"pulumi-v{VERSION}-{system}-{machine}.tar.gz"


def publish(sandbox: Sandbox, vendor: Path, version: str = VERSION, without: str = "") -> None:
    folder = install_into(sandbox, vendor / "made" / "pulumi", version, without)
    with tarfile.open(archive(vendor), "w:gz") as tar:
        tar.add(folder, "pulumi")


def test_the_cache_comes_first(sandbox: Sandbox) -> None:
    install_into(sandbox, installed(sandbox))
    install_into(sandbox, sandbox.bin, "3.300.0")
    done = sandbox.run("install-pulumi.sh")
    assert (done.returncode, done.stdout) == (0, f"{installed(sandbox)}\n")


@pytest.mark.parametrize("version", [VERSION, "3.259.1", "3.1000.0", "3.260.0-alpha.1"])
def test_one_on_path_is_used_where_it_is(sandbox: Sandbox, tmp_path: Path, version: str) -> None:
    folder = install_into(sandbox, tmp_path / "opt" / "pulumi", version)
    (sandbox.bin / "pulumi").symlink_to(folder / "pulumi")
    done = sandbox.run("install-pulumi.sh", env=NO_VENDOR)
    assert (done.returncode, done.stdout) == (0, f"{folder.resolve()}\n")
    assert version in done.stderr
    assert not cache(sandbox).exists()
    assert_clean(sandbox)


@pytest.mark.parametrize(
    ("version", "without", "reason"),
    [
        ("3.258.9", "", "is version 3.258.9"),
        ("3.99.0", "", "is version 3.99.0"),
        ("4.0.0", "", "is version 4.0.0, a new major version"),
        ("dev", "", "doesn't tell its version"),
        (VERSION, "pulumi-language-python", "has no Python language host beside it"),
        (VERSION, "pulumi-resource-pulumi-python", "has no Python language host beside it"),
    ],
)
def test_one_on_path_that_will_not_do_is_named(sandbox: Sandbox, version: str, without: str, reason: str) -> None:
    install_into(sandbox, sandbox.bin, version, without)
    done = sandbox.run("install-pulumi.sh", env=NO_VENDOR)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{sandbox.bin / 'pulumi'} {reason}" in done.stderr
    assert_clean(sandbox)


@pytest.mark.parametrize("client", ["curl", "wget"])
def test_the_vendors_archive(sandbox: Sandbox, vendor: Path, client: str) -> None:
    sandbox.link(client)
    publish(sandbox, vendor)
    done = sandbox.run("install-pulumi.sh", env=url_of(vendor))
    assert (done.returncode, done.stdout) == (0, f"{installed(sandbox)}\n"), done.stderr
    assert sorted(p.name for p in installed(sandbox).iterdir()) == sorted(PROGRAMS)
    assert_clean(sandbox)
    archive(vendor).unlink()
    again = sandbox.run("install-pulumi.sh", env=url_of(vendor))
    assert (again.returncode, again.stdout) == (0, done.stdout)


@pytest.mark.parametrize("fault", ["missing", "cut", "incomplete", "other version"])
def test_an_archive_that_will_not_do_leads_to_the_build(sandbox: Sandbox, vendor: Path, fault: str) -> None:
    sandbox.link("curl")
    sandbox.program("go", GO)
    publish(
        sandbox,
        vendor,
        "3.258.0" if fault == "other version" else VERSION,
        PROGRAMS[1] * (fault == "incomplete"),
    )
    if fault == "missing":
        archive(vendor).unlink()
    if fault == "cut":
        archive(vendor).write_bytes(archive(vendor).read_bytes()[:100])
    done = sandbox.run("install-pulumi.sh", env=url_of(vendor))
    assert (done.returncode, done.stdout) == (0, f"{installed(sandbox)}\n"), done.stderr
    assert "building 3.259.0 from Go modules" in done.stderr
    assert (sandbox.home / "go.calls").read_text().count("\nbuild ") == 2
    assert_clean(sandbox)


def test_the_build(sandbox: Sandbox) -> None:
    sandbox.program("go", GO)
    start = time.monotonic()
    done = sandbox.run("install-pulumi.sh", env=NO_VENDOR)
    assert (done.returncode, done.stdout) == (0, f"{installed(sandbox)}\n"), done.stderr
    assert time.monotonic() - start < 15, "the progress clock held the caller's pipe"
    assert all((installed(sandbox) / program).stat().st_mode & 0o777 == 0o755 for program in PROGRAMS)
    mods = (sandbox.home / "go.mods").read_text()
    assert f"require github.com/pulumi/pulumi/pkg/v3 v{VERSION}" in mods
    assert "replace github.com/atotto/clipboard => github.com/tgummerer/clipboard v" in mods
    assert f"common/version.Version=v{VERSION}" in (sandbox.home / "go.calls").read_text()
    assert_clean(sandbox)


def test_the_build_is_tried_twice(sandbox: Sandbox) -> None:
    sandbox.program("go", GO)
    assert sandbox.run("install-pulumi.sh", env={**NO_VENDOR, "GO_FAILS": "1"}).returncode == 0
    assert_clean(sandbox)


def test_a_build_that_fails_says_why(sandbox: Sandbox) -> None:
    sandbox.program("go", GO)
    done = sandbox.run("install-pulumi.sh", env={**NO_VENDOR, "GO_FAILS": "9"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "dial tcp: connection refused" in done.stderr
    assert "Is the Go module proxy reachable" in done.stderr
    assert "go: downloading" not in done.stderr
    assert_clean(sandbox)


def test_an_old_go_is_named(sandbox: Sandbox) -> None:
    sandbox.program("go", GO)
    done = sandbox.run("install-pulumi.sh", env={**NO_VENDOR, "GO_VERSION": "1.19.8"})
    assert done.returncode == 1
    assert "Go 1.19.8 is too old" in done.stderr


def test_neither_network_nor_go(sandbox: Sandbox) -> None:
    done = sandbox.run("install-pulumi.sh", env={"PULUMI_RELEASES_URL": "http://127.0.0.1:9"})
    assert (done.returncode, done.stdout) == (1, "")
    for words in (
        "no pulumi on PATH",
        "neither curl nor wget",
        "Go isn't installed",
        "Install Pulumi 3.259.0 or newer",
    ):
        assert words in done.stderr
    assert_clean(sandbox)


def test_an_unreachable_vendor_is_a_cause(sandbox: Sandbox) -> None:
    sandbox.link("curl")
    done = sandbox.run("install-pulumi.sh", env={"PULUMI_RELEASES_URL": "http://127.0.0.1:9"})
    assert done.returncode == 1
    assert "the vendor's release archive can't be had: curl: (7)" in done.stderr


def test_a_cache_that_cannot_be_written(sandbox: Sandbox) -> None:
    done = sandbox.run("install-pulumi.sh", env={**NO_VENDOR, "XDG_CACHE_HOME": "/proc"})
    assert done.returncode == 1
    assert "Set XDG_CACHE_HOME to a folder of yours" in done.stderr


def test_half_of_a_folder_is_replaced_and_old_stages_go(sandbox: Sandbox) -> None:
    sandbox.program("go", GO)
    sandbox.link("flock")
    install_into(sandbox, installed(sandbox), without="pulumi-language-python")
    (cache(sandbox) / "stage.killed" / "mod").mkdir(parents=True)
    assert sandbox.run("install-pulumi.sh", env=NO_VENDOR).returncode == 0
    assert sorted(p.name for p in installed(sandbox).iterdir()) == sorted(PROGRAMS)
    assert_clean(sandbox)


def test_two_clones_at_once_build_once(sandbox: Sandbox) -> None:
    sandbox.program("go", GO)
    command = ["bash", str(ROOT / "scripts" / "install-pulumi.sh")]
    env = {**sandbox.env, **NO_VENDOR, "GO_SLOW": "1"}
    both = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert said == [f"{installed(sandbox)}\n"] * 2
    assert (sandbox.home / "go.calls").read_text().count("build ") == 2, "the CLI and the language host, once"
    assert_clean(sandbox)
