"""One stack, driven by the real `pulumi` CLI, in a project folder and a state backend of its own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from emulator import Emulator
from tests.cluster.control import Cluster

ROOT = Path(__file__).resolve().parents[2]
SECRETS = ("hf_token", "api_key")
ROOMS = ("backendai", "components", "providers", "serving")
IMAGE = "cr.backend.ai/stable/vllm:0.32.0-cuda12.9-ubuntu24.04"
ADMIN = ("AKIABAIADMINAAAAAAAA", "admin-secret-key-000000000000000000000000")
TINY = {"model": "backendai-vllm/tiny-llama", "max_model_len": 512, "cpu": 1, "memory": "1g", "shmem": "64m"}


@dataclass(frozen=True)
class Result:
    """How one CLI call ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


class PulumiStack:
    """`stack.configure(models=[...]); stack.up(); stack.destroy()`."""

    def __init__(self, folder: Path, env: Mapping[str, str], name: str = "test", backend: Path | None = None) -> None:
        self.folder, self.name = folder, name
        (folder / "stacks").mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / "Pulumi.yaml", folder)
        shutil.copy(ROOT / "__main__.py", folder)
        (folder / ".venv").symlink_to(sys.prefix)  # where Pulumi.yaml says that it is
        for room in ROOMS:  # beside the program, as in a clone, and not on PYTHONPATH
            (folder / room).symlink_to(ROOT / room)
        backend = backend or folder / "state"
        backend.mkdir(exist_ok=True)
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("BACKEND_", "HF_", "HUGGING", "PULUMI_", "PYTHONPATH"))
        }
        self.env = {
            **kept,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), pulumi_folder(), os.environ["PATH"]]),
            "PULUMI_BACKEND_URL": f"file://{backend}?metadata=skip",  # see NO_SIDECARS in scripts/local_env.py
            "PULUMI_HOME": str(backend / "home"),
            "PULUMI_CONFIG_PASSPHRASE": "test",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_PARALLEL": "64",
            "XDG_CACHE_HOME": str(folder / "cache"),
            **env,
        }

    @classmethod
    def new(cls, folder: Path, env: Mapping[str, str], name: str = "test") -> PulumiStack:
        """With its empty state."""
        stack = cls(folder, env, name)
        stack.init()
        return stack

    def configure(
        self, models: Sequence[Mapping[str, Any]], cluster: Mapping[str, Any] | None = None, **more: Any
    ) -> None:
        """Writes the stack file, secrets encrypted by the CLI; what `pulumi stack init` put into it stays."""
        path = self.folder / "stacks" / f"Pulumi.{self.name}.yaml"
        content = yaml.safe_load(path.read_text()) if path.exists() else {}
        plain = [{key: value for key, value in model.items() if key not in SECRETS} for model in models]
        config = {"cluster": {"image": IMAGE, **(cluster or {})}, "models": plain, **more}
        content["config"] = {f"backendai-vllm:{key}": value for key, value in config.items()}
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        secrets = {
            f"backendai-vllm:models[{index}].{key}": str(model[key])
            for index, model in enumerate(models)
            for key in SECRETS
            if key in model
        }
        if secrets:
            pairs = [word for path, value in secrets.items() for word in ("--secret", f"{path}={value}")]
            self.run("config", "set-all", "--path", "--stack", self.name, *pairs)

    def start(self, *args: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """A CLI call in a process group of its own, so that all of it can be killed."""
        return subprocess.Popen(
            ["pulumi", *args, "--non-interactive", "--color=never"],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *args: str, code: int | None = 0, env: Mapping[str, str] | None = None, timeout: float = 180
    ) -> Result:
        """One CLI call; `code` None takes any exit code."""
        process = self.start(*args, env=env)
        try:
            stdout, stderr = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill_group(process)
            raise
        result = Result(process.returncode, stdout, stderr)
        if code is not None and result.code != code:
            raise AssertionError(f"pulumi {' '.join(args)} ended with {result.code}, not {code}:\n{result.text}")
        return result

    def init(self) -> None:
        self.run("stack", "init", self.name)

    def up(self, *args: str, **kwargs: Any) -> Result:
        """Without the preview before it, which costs as much again and is a test of its own."""
        return self.run("up", "--yes", "--skip-preview", "--stack", self.name, *args, **kwargs)

    def preview(self, *args: str, **kwargs: Any) -> Result:
        return self.run("preview", "--stack", self.name, *args, **kwargs)

    def refresh(self, *args: str, **kwargs: Any) -> Result:
        return self.run("refresh", "--yes", "--skip-preview", "--stack", self.name, *args, **kwargs)

    def destroy(self, *args: str, **kwargs: Any) -> Result:
        return self.run("destroy", "--yes", "--skip-preview", "--stack", self.name, *args, **kwargs)

    def export(self) -> dict[str, Any]:
        exported: dict[str, Any] = json.loads(self.run("stack", "export", "--stack", self.name).stdout)
        return exported

    def resources(self, kind: str = "VLLMModelSession") -> list[dict[str, Any]]:
        """The stack's own resources of one kind, as they are in the state; from its file, much cheaper than the CLI."""
        (file,) = Path(urlsplit(self.env["PULUMI_BACKEND_URL"]).path).glob(f".pulumi/stacks/*/{self.name}.json")
        found = (json.loads(file.read_text())["checkpoint"].get("latest") or {}).get("resources") or []
        return [r for r in found if r["type"].endswith(f":{kind}")]

    def session_ids(self) -> set[str]:
        return {r["id"] for r in self.resources()}

    def output(self, name: str) -> Any:
        return json.loads(self.run("stack", "output", name, "--json", "--show-secrets", "--stack", self.name).stdout)


@contextlib.contextmanager
def stack_on(cluster: Cluster, folder: Path) -> Iterator[PulumiStack]:
    """A stack on the real cluster, with the Hub that its sessions ask."""
    with Emulator(hub_port=cluster.hub_port):
        yield PulumiStack.new(folder / "project", cluster.environ())


def kill_group(process: subprocess.Popen[str], sig: signal.Signals = signal.SIGKILL) -> None:
    """Kills the CLI and all that it has started, as the end of a machine would."""
    for pid in [process.pid, *_descendants(process.pid)]:
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            continue
    process.communicate()


def _descendants(pid: int) -> list[int]:
    import psutil

    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def pulumi_folder() -> str:
    """Where the CLI is that the set-up has put in place (PULUMI_BIN), or the one on PATH."""
    if folder := os.environ.get("PULUMI_BIN"):
        return folder
    found = subprocess.run([ROOT / "scripts" / "install-pulumi.sh"], check=True, capture_output=True, text=True)
    return found.stdout.strip()
