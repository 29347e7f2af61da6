"""The selected stack: its name, its files, and what it has deployed, as `pulumi stack export` tells it.

stack = selected()                  one call of the CLI; CliError when there is no stack, no project, no backend
stack.find("chat")                  its rows by model, session name or id, or the beginning of one
stack.api_key(row)                  decrypts when it is asked for, never earlier

Works in any folder below a clone, and everywhere else on the clone that the command belongs to.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .boundary import CliError
from .pulumi_cli import PROJECT, project_folder, pulumi, stack_file

if TYPE_CHECKING:
    from backendai import Connection

_SESSION, _ENDPOINT, _IDENTITY = (f":{kind}" for kind in ("VLLMModelSession", "ModelEndpoint", "StackIdentity"))
_COMPONENT = ":ModelServingStack"
_FOLDER = "Run it in a clone of the project, or by the path of a clone's .venv/bin/bai-vllm."


@dataclass(frozen=True)
class Deployed:
    """One replica of a model as it is in the state.

    `model` is the entry's name in the stack file, `hub_model` the repo; `url` and `via` are None while no completion
    has come back yet.
    """

    model: str
    replica: int
    resource: str
    session_id: str | None
    session_name: str
    served_model_name: str
    port: int
    gpus: float
    gpu_unit: str
    image: str
    resource_group: str
    hub_model: str
    url: str | None
    via: Literal["app-proxy", "tunnel"] | None
    urn: str


@dataclass(frozen=True)
class Stack:
    """`folder`: of the project; `file`: its stack file, which may not exist; `stack_id`: what marks its sessions.

    `components`: the URN of each model's component in the state, by the model's name.
    """

    name: str
    folder: Path
    file: Path
    models: tuple[Deployed, ...]
    stack_id: str | None = None
    components: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str) -> list[Deployed]:
        """The replicas that are meant by a model's name, a session's name or id, or the beginning of one of them.

        Raises CliError when there are none, or when it may be several models.
        """
        for place in range(len(_names_of(self.models[0]))) if self.models else ():
            if found := [row for row in self.models if _names_of(row)[place] == name]:
                return found
        found = [row for row in self.models if name and any(known.startswith(name) for known in _names_of(row))]
        if not found:
            raise self._unknown(name)
        if len({row.model for row in found}) > 1:
            meant = ", ".join(dict.fromkeys(row.model for row in found))
            raise CliError(f"'{name}' may be any of: {meant}.", "Write one of them in full.")
        return found

    def _unknown(self, name: str) -> CliError:
        from serving.values import did_you_mean

        there = list(dict.fromkeys(row.model for row in self.models))
        if not there:
            what = f"There is no model '{name}': nothing is deployed in stack {self.name}."
            return CliError(what, f"`pulumi up --stack {self.name}` deploys what {self.file.name} names.")
        near = did_you_mean(name, there)
        return CliError(
            f"There is no model '{name}' in stack {self.name}.",
            f"{near} `bai-vllm list` shows all sessions.".strip(),
        )

    def api_key(self, deployed: Deployed) -> str:
        """What the replica's server was started with, in clear."""
        return str(self._secrets[deployed.urn].get("api_key") or "")

    def cookie(self, deployed: Deployed) -> str | None:
        """What opens the app-proxy's URL, in clear; None for a tunnel."""
        for urn, outputs in self._secrets.items():
            if f"{_ENDPOINT}::" in urn and outputs.get("session_id") == deployed.session_id:
                return str(outputs["cookie"]) if outputs.get("cookie") else None
        return None

    @cached_property
    def _secrets(self) -> Mapping[str, Mapping[str, Any]]:
        """The outputs of each resource, decrypted."""
        return {str(r["urn"]): _plain(r.get("outputs") or {}) for r in _exported(self.folder, self.name, secrets=True)}

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The stack file's config by key, without the project's name; secrets stay encrypted."""
        return read_file(self.file)

    @property
    def declared(self) -> tuple[str, ...]:
        """The models that the stack file names, deployed or not."""
        models = self.config.get("models")
        entries = models if isinstance(models, list) else []
        return tuple(str(entry["name"]) for entry in entries if isinstance(entry, dict) and entry.get("name"))

    @property
    def cluster_settings(self) -> Mapping[str, Any]:
        """`cluster` of the stack file."""
        settings = self.config.get("cluster")
        return settings if isinstance(settings, dict) else {}

    @property
    def project(self) -> str:
        """Of the cluster."""
        return str(self.cluster_settings.get("project") or "default")

    def secret(self, key: str) -> str | None:
        """One key of the config in clear; None when it isn't set."""
        if self.config.get(key) is None:
            return None
        return pulumi("config", "get", f"{PROJECT}:{key}", "--stack", self.name, folder=self.folder).strip()


def _names_of(row: Deployed) -> tuple[str, ...]:
    """What it may be called by; what comes first wins."""
    return row.model, row.session_name, row.resource, row.session_id or ""


def selected(stack: str | None = None) -> Stack:
    """The stack of that name, of PULUMI_STACK, or the one that `pulumi stack select` has chosen.  Raises CliError."""
    folder = project_folder()
    if folder is None:
        raise CliError("There is no project here.", _FOLDER)
    stack = stack or os.environ.get("PULUMI_STACK") or None  # said: a wrong one is "not found", not "none selected"
    resources = _exported(folder, stack)
    name = _name_of(resources) or stack or pulumi("stack", "--show-name", folder=folder).strip()
    name = name.rpartition("/")[2]
    file = stack_file(folder, name)
    made = Stack(name, folder, file, tuple(_rows(resources)), _stack_id(resources), _components(resources))
    _ = made.config  # a file that can't be read is said at once: nothing that the stack does next would work
    return made


def connection(stack: Stack | None) -> Connection:
    """Where the cluster is and who we are: environment first, then the stack's config.

    Raises backendai.errors.InvalidConnection.
    """
    from backendai import connection_from

    if stack is None:
        return connection_from()
    settings = stack.cluster_settings

    def lookup(key: str) -> str | None:
        if key.startswith("cluster."):
            value = settings.get(key.removeprefix("cluster."))
            return str(value) if value else None
        return stack.secret(key)

    return connection_from(lookup, domain=str(settings.get("domain") or "default"))


def read_file(file: Path) -> dict[str, Any]:
    """A stack file's config by key, without the project's name; {} without a file.  Raises CliError."""
    import yaml

    try:
        text = file.read_text()
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError:
        raise CliError(f"{file} is no text file.", _mend(file)) from None
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise CliError(f"{file} isn't sound YAML{where}.", _mend(file)) from None
    config = content.get("config") if isinstance(content, dict) else content
    if config is not None and not isinstance(config, dict):
        raise CliError(f"{file} has no config that can be read: it isn't a mapping.", _mend(file))
    prefix = f"{PROJECT}:"
    return {str(key).removeprefix(prefix): value for key, value in (config or {}).items()}


def _mend(file: Path) -> str:
    return f"Correct it, or take the last sound version: git checkout -- {file.parent.name}/{file.name}"


def _exported(folder: Path, stack: str | None, *, secrets: bool = False) -> list[dict[str, Any]]:
    """The resources in the state, without those that only wait for their deletion."""
    words = ["stack", "export", *(["--stack", stack] if stack else []), *(["--show-secrets"] if secrets else [])]
    text = pulumi(*words, folder=folder)
    try:
        deployment = json.loads(text).get("deployment") or {}
    except (ValueError, AttributeError):
        raise CliError(
            "The state of the stack can't be read: `pulumi stack export` gave no JSON.",
            "`pulumi stack history` shows the last operations; `pulumi stack import` brings a saved state back.",
        ) from None
    return [r for r in deployment.get("resources") or [] if not r.get("delete")]


def _name_of(resources: list[dict[str, Any]]) -> str | None:
    """urn:pulumi:STACK::project::type::name"""
    return str(resources[0]["urn"]).split(":")[2] if resources else None


def _stack_id(resources: list[dict[str, Any]]) -> str | None:
    found = next((r for r in resources if r["type"].endswith(_IDENTITY)), None)
    return str(found["id"]) if found and found.get("id") else None


def _components(resources: list[dict[str, Any]]) -> dict[str, str]:
    return {_last(r["urn"]): str(r["urn"]) for r in resources if r["type"].endswith(_COMPONENT)}


def _rows(resources: list[dict[str, Any]]) -> list[Deployed]:
    endpoints = {_last(r["urn"]): r.get("outputs") or {} for r in resources if r["type"].endswith(_ENDPOINT)}
    sessions = [r for r in resources if r["type"].endswith(_SESSION)]
    return sorted(
        (_row(session, endpoints.get(_last(session["urn"]), {})) for session in sessions),
        key=lambda row: (row.model, row.replica),
    )


def _row(session: Mapping[str, Any], endpoint: Mapping[str, Any]) -> Deployed:
    outputs, name = session.get("outputs") or {}, _last(session["urn"])
    parent = session.get("parent") or ""
    model = _last(parent) if ":ModelServingStack::" in parent else name
    number = name.removeprefix(f"{model}-")
    proved = endpoint if endpoint.get("session_id") == session.get("id") else {}
    return Deployed(
        model=model,
        replica=int(number) if number.isdigit() else 0,
        resource=name,
        session_id=session.get("id") or None,
        session_name=str(outputs.get("session_name") or name),
        served_model_name=str(outputs.get("served_model_name") or outputs.get("model") or ""),
        port=int(outputs.get("port") or 8000),
        gpus=float(outputs.get("gpus") or 0),
        gpu_unit=str(outputs.get("gpu_unit") or "cuda.device"),
        image=str(outputs.get("image") or ""),
        resource_group=str(outputs.get("resource_group") or "default"),
        hub_model=str(outputs.get("model") or ""),
        url=proved.get("url"),
        via=proved.get("via"),
        urn=str(session["urn"]),
    )


def _last(urn: str) -> str:
    return urn.rpartition("::")[2]


def _plain(value: Any) -> Any:
    """Without the envelopes that Pulumi puts around secrets."""
    if isinstance(value, dict):
        if "plaintext" in value and _ENVELOPE in value:
            return _plain(json.loads(value["plaintext"]))
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


_ENVELOPE = "4dabf18193072939515e22adb298388d"  # Pulumi's signature of a special value
