"""The folder `.local/` of a clone: where all of the local stack is, and the shell file that leads there.

    .local/env                what a user sources; also the memory of the two ports
    .local/path               only PATH of it: what a user of a real cluster sources
    .local/pulumi/bin         link to the folder of the Pulumi CLI
    .local/pulumi/state       Pulumi's file backend
    .local/pulumi/home        PULUMI_HOME, so that nothing of the user's own login is read or written
    .local/pulumi/passphrase  of the secrets in the local stack's state
    .local/huggingface        HF_HOME, so that the stand-in's files never get into the user's own cache
    .local/emulator.*         pid and logs of the emulator

Run as `python -m scripts.local_env PULUMI_FOLDER` it makes all of that.  It needs no package.
"""

from __future__ import annotations

import re
import shlex
import socket
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CLUSTER_PORT, HUB_PORT = 8090, 8091  # wanted; others are taken when these are in use
ACCESS_KEY = "AKIABAIADMINAAAAAAAA"  # the emulator's administrator, the same as on the real test cluster
SECRET_KEY = "admin-secret-key-000000000000000000000000"
HUB_TOKEN = "hf_standin_approved"  # member of every gated repository of the Hub stand-in
# Not a secret: it guards a stack whose only keys are the emulator's.  It must be the same in every clone,
# because stacks/Pulumi.local.yaml is in git and holds the salt that belongs to it.
PASSPHRASE = "backendai-vllm-local"

# Pulumi's file backend writes the state in one step, but a file of attributes beside it in two.  A CLI that is killed
# between them leaves that one empty, and from then on every command ends with "failed to load checkpoint: EOF".
# Without those files, which nothing needs, there is no such moment.
NO_SIDECARS = "?metadata=skip"


@dataclass(frozen=True)
class LocalStack:
    """Where the parts of one clone's local stack are."""

    root: Path
    cluster_port: int
    hub_port: int

    @property
    def folder(self) -> Path:
        return self.root / ".local"

    @property
    def cluster_url(self) -> str:
        return f"http://127.0.0.1:{self.cluster_port}"

    @property
    def hub_url(self) -> str:
        return f"http://127.0.0.1:{self.hub_port}"

    def variables(self) -> Mapping[str, str]:
        """What Pulumi and the program read from the environment."""
        pulumi = self.folder / "pulumi"
        return {
            "PULUMI_HOME": str(pulumi / "home"),
            "PULUMI_BACKEND_URL": f"file://{pulumi / 'state'}{NO_SIDECARS}",
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(pulumi / "passphrase"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_PARALLEL": "64",
            "BACKEND_ENDPOINT": self.cluster_url,
            "BACKEND_ENDPOINT_TYPE": "api",
            "BACKEND_ACCESS_KEY": ACCESS_KEY,
            "BACKEND_SECRET_KEY": SECRET_KEY,
            "HF_ENDPOINT": self.hub_url,
            "HF_HOME": str(self.folder / "huggingface"),
            "HF_TOKEN": HUB_TOKEN,
        }


# These would win over the variables above, or send the local stack's calls elsewhere.
UNSET = (
    "PULUMI_CONFIG_PASSPHRASE",
    "PULUMI_STACK",
    "HF_HUB_CACHE",
    "HF_HUB_OFFLINE",
    "HUGGING_FACE_HUB_TOKEN",
)

PATH_FILE = """\
# Made by `make setup`; changes are lost.  `source .local/path` in sh, bash or zsh, from any folder:
# the shell then finds the clone's Python and Pulumi.  For your own cluster: it sets nothing else.
export VIRTUAL_ENV={venv}
# First on PATH: the Python language host takes the first `python3` that it finds.
case ":$PATH:" in
  :{folders}*) ;;
  *) PATH={folders}"$PATH" ;;
esac
export PATH
"""

ENV_FILE = """\
# Made by `make setup`; changes are lost.  `source .local/env` in sh, bash or zsh, from any folder:
# the shell then works on the local stack (its Pulumi state, its cluster, its Hub).  A new shell undoes it.
. {path_file}
{variables}
unset {unset}
# A proxy must not get the calls to the local stack.
NO_PROXY=${{NO_PROXY:-${{no_proxy:-}}}}
case ",$NO_PROXY," in
  *,127.0.0.1,*) ;;
  *) NO_PROXY="127.0.0.1,localhost${{NO_PROXY:+,$NO_PROXY}}" ;;
esac
no_proxy=$NO_PROXY
export NO_PROXY no_proxy
"""


def shell_files(stack: LocalStack, pulumi: Path) -> Mapping[Path, str]:
    """The texts of `.local/path` and `.local/env`."""
    venv, path_file = stack.root / ".venv", stack.folder / "path"
    folders = shlex.quote(f"{venv / 'bin'}:{pulumi}:")
    variables = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in stack.variables().items())
    return {
        path_file: PATH_FILE.format(venv=shlex.quote(str(venv)), folders=folders),
        stack.folder / "env": ENV_FILE.format(
            path_file=shlex.quote(str(path_file)), variables=variables, unset=" ".join(UNSET)
        ),
    }


def remembered(root: Path = ROOT) -> LocalStack | None:
    """The local stack as `.local/env` has it, or None before the first set-up."""
    file = root / ".local" / "env"
    text = file.read_text() if file.exists() else ""
    port = {
        name: int(digits)
        for name, digits in re.findall(r"^export (\w+)=http://127\.0\.0\.1:(\d+)$", text, re.MULTILINE)
    }
    if port.keys() >= {"BACKEND_ENDPOINT", "HF_ENDPOINT"}:
        return LocalStack(root, port["BACKEND_ENDPOINT"], port["HF_ENDPOINT"])
    return None


def is_taken(port: int) -> bool:
    """Whether something listens on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return True
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that have ended don't count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def free_port(wanted: int, others: Collection[int] = ()) -> int:
    """The first port from `wanted` on that nobody listens on and that isn't in `others`."""
    return next(port for port in range(wanted, 65536) if port not in others and not is_taken(port))


def prepare(pulumi: Path, root: Path = ROOT) -> LocalStack:
    """Make `.local/` and its parts; ports that were chosen once stay."""
    stack = remembered(root)
    if stack is None:
        cluster_port = free_port(CLUSTER_PORT, {HUB_PORT})
        stack = LocalStack(root, cluster_port, free_port(HUB_PORT, {cluster_port}))
    stack.folder.mkdir(mode=0o700, exist_ok=True)
    folder = stack.folder / "pulumi"
    for part in ("state", "home"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    (folder / "passphrase").write_text(PASSPHRASE)
    link = folder / "bin"
    if link.resolve() != pulumi.resolve():
        link.unlink(missing_ok=True)
        link.symlink_to(pulumi)
    for file, text in shell_files(stack, pulumi).items():
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
    return stack


def main(arguments: list[str]) -> None:
    """`PULUMI_FOLDER`: prepare `.local/` and say where the local stack will be."""
    stack = prepare(Path(arguments[0]))
    print(f"  local   .local/env (Backend.AI at {stack.cluster_url}, Hugging Face Hub at {stack.hub_url})")


if __name__ == "__main__":
    main(sys.argv[1:])
