"""`python -m tests.cluster VERB`: the real control plane of the tests.  See the package's docstring.

Variables: BAI_ROOT (another folder for the state), VLLM=real with VLLM_BIN (real vLLM in the sessions), CLUSTER_TICK
(seconds between two looks of the scheduler).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping

from tests.cluster.bring_up import down, status, up
from tests.cluster.check import check
from tests.cluster.control import Cluster
from tests.cluster.places import find_places
from tests.cluster.problems import ClusterProblem


def say(line: str) -> None:
    print(f"  cluster {line}", flush=True)


def actions() -> Mapping[str, Mapping[str, Callable[[Cluster], None]]]:
    """Part -> what can be done to it while the rest runs."""
    return {
        "agent": {
            "start": lambda c: c.agent.start(),
            "stop": lambda c: c.agent.stop(),
            "kill": lambda c: c.agent.kill(),
        },
        "manager": {"restart": lambda c: c.manager.restart(), "kill": lambda c: c.manager.kill()},
        "redis": {"restart": lambda c: c.redis.restart()},
        "app-proxy": {"start": lambda c: c.app_proxy.start(), "stop": lambda c: c.app_proxy.stop()},
    }


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("up", help="make and start what isn't there")
    ending = verbs.add_parser("down", help="end every process of it")
    ending.add_argument("--wipe", action="store_true", help="remove the state, too (the packages stay)")
    verbs.add_parser("status", help="which parts run; exit code 1 unless all do")
    verbs.add_parser("check", help="can it run here? exit code 1 and one line why not")
    for part, does in actions().items():
        verbs.add_parser(part, help="one part alone").add_argument("action", choices=sorted(does))
    return parser.parse_args()


def main() -> int:
    asked = arguments()
    match asked.verb:
        case "check":
            check()
            say("can run here")
        case "up":
            up(say).begun_by_tests.unlink(missing_ok=True)
        case "down":
            down(find_places(), wipe=asked.wipe, say=say)
        case "status":
            found = status(find_places())
            for name, what in found.items():
                say(f"{name:12} {what}")
            return 0 if not any("doesn't" in what for what in found.values()) else 1
        case part:
            actions()[part][asked.action](Cluster(find_places()))
            say(f"{part} {asked.action}: done")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ClusterProblem as problem:
        print(f"error: the cluster: {problem}", file=sys.stderr)
        sys.exit(1)
