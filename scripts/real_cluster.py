"""The cluster of `make demo CLUSTER=real`: `python -m scripts.real_cluster up|down`.

The real control plane of the tests (tests/cluster/), and the emulator's Hub on the port where its sessions look for
one.  With VLLM=real its sessions run real vLLM, and a tiny model is made for them.  `.local/env-real` leads there.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence

from scripts.local_env import ROOT, LocalStack
from scripts.local_stack import Emulator, LocalStackError, down, up
from tests.cluster import bring_up, ports
from tests.cluster.control import Cluster
from tests.cluster.places import Places, find_places
from tests.cluster.problems import CannotRun, ClusterProblem
from tests.turns import turn

ADDRESSES = LocalStack(ROOT, int(ports.Port.MANAGER), ports.HUB)
HUB = Emulator(LocalStack(ROOT, ports.HOST_PORTS[1], ports.HUB), name="hub")  # its manager is asked for nothing


def say(line: str) -> None:
    print(f"  cluster {line}", flush=True)


def start() -> None:
    """Raises ClusterProblem or LocalStackError."""
    real_vllm = os.environ.get("VLLM") == "real"
    if real_vllm:
        from tests.vllm.install import install

        install()
    places = bring_up.up(say)
    places.begun_by_tests.unlink(missing_ok=True)  # or the next test run would end it
    if real_vllm:
        from tests.vllm.tiny import make_tiny

        folder = Cluster(places).folder("llm-model") / "tiny-llama"
        make_tiny(folder)
        say(f"tiny model in {folder}")
    print(f"  hub     {up(HUB)}")
    variables = ADDRESSES.variables()
    lines = [f"export {name}={shlex.quote(variables[name])}" for name in ("BACKEND_ENDPOINT", "HF_ENDPOINT")]
    text = "# Made by `make demo CLUSTER=real`: .local/env, but on the real control plane.\n"
    text += "\n".join([f". {shlex.quote(str(ADDRESSES.folder / 'env'))}", *lines]) + "\n"
    (ADDRESSES.folder / "env-real").write_text(text)


def stop() -> None:
    """Raises ClusterProblem or LocalStackError, also when something is left."""
    print(f"  hub     {down(HUB)}")
    places = find_places()
    if not places.root.exists():
        say("not there: nothing to stop")
        return
    with places.lease.open("w") as lease:
        try:
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            places.begun_by_tests.touch()
            say("a test run uses it: that one will stop it when it is done")
            return
        bring_up.down(places, say=say)
    _prove_it_is_down(places)


def _prove_it_is_down(places: Places) -> None:
    living = [f"{name} ({what})" for name, what in bring_up.status(places).items() if "doesn't" not in what]
    taken = ports.listeners(frozenset(int(port) for port in ports.Port))
    if living or taken:
        found = ", ".join([*living, *(f"port {port} (pid {pid})" for port, pid in taken.items())])
        raise CannotRun(f"it was stopped, but this is left: {found}. Run it again: make down CLUSTER=real")
    say(f"stopped: no process is left, {len(ports.Port)} ports are free")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.real_cluster", description=__doc__)
    parser.add_argument("verb", choices=("up", "down"))
    try:
        if parser.parse_args(arguments).verb == "up":
            with turn("cluster"):  # a test that breaks it on purpose may be at it
                start()
        else:
            stop()
    except (ClusterProblem, LocalStackError, subprocess.CalledProcessError) as problem:
        print(f"error: the real cluster: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
