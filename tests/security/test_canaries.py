"""The invariant: no secret is in anything that is written or shown: state, previews, logs, messages, argument lists."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from emulator import Emulator
from emulator.faults import Fault
from policies.table import FOLDER as POLICIES
from providers.model_endpoint import ModelEndpointProvider
from providers.vllm_model_session import VLLMModelSessionProvider
from scripts import launcher
from tests.lifecycle.driver import ADMIN, TINY, PulumiStack
from tests.provider.driver import CallFailed, ProviderProcess
from tests.provider.test_session_provider import INPUTS

HUB_TOKEN = "hf_standin_approved"  # the emulated Hub knows it
API_KEY = "canary-api-key-5d41402abc4b2a76"
CLUSTER_KEY = "canary-cluster-secret-key-b9719d911017c592"
REGISTRY = "canary-registry-password-7d793037a0760186"
GIVEN = {"Hub token": HUB_TOKEN, "api key": API_KEY, "cluster key": CLUSTER_KEY, "registry password": REGISTRY}
CLUSTER = {"gpu_unit": "cuda.shares"}
SMALL: dict[str, Any] = {**TINY, "gpus": 0.5}
VERBOSE = ("-v=9", "--logtostderr")


@pytest.fixture
def bed() -> Iterator[Emulator]:
    with Emulator(load_seconds=0.2, gpu_slot="cuda.shares") as emulator:
        user = emulator.cluster.users[ADMIN[0]]
        emulator.cluster.users[ADMIN[0]] = replace(user, secret_key=CLUSTER_KEY)
        yield emulator


@pytest.fixture
def env(bed: Emulator) -> dict[str, str]:
    return {
        "BACKEND_ENDPOINT": bed.endpoint,
        "BACKEND_ACCESS_KEY": ADMIN[0],
        "BACKEND_SECRET_KEY": CLUSTER_KEY,
        "HF_ENDPOINT": bed.hub_endpoint,
    }


class Watch(threading.Thread):
    """What `ps` shows of all processes of this machine, and where those of `root` listen, as long as it lasts."""

    def __init__(self) -> None:
        super().__init__(name="ps", daemon=True)
        self.lines: set[str] = set()
        self.listening: set[str] = set()
        self._over = threading.Event()

    def __enter__(self) -> Watch:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._over.set()
        self.join()

    def run(self) -> None:
        own = psutil.Process()
        while not self._over.wait(0.4):
            for process in psutil.process_iter():
                self._look(process)
            for process in own.children(recursive=True):
                self._ports(process)

    def _look(self, process: psutil.Process) -> None:
        try:
            self.lines.add(" ".join(process.cmdline()))
        except psutil.Error:
            return

    def _ports(self, process: psutil.Process) -> None:
        try:
            found = process.net_connections("inet")
        except psutil.Error:
            return
        self.listening |= {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN}


@contextmanager
def emulator_log() -> Iterator[list[str]]:
    """Everything that the emulator logs."""
    lines: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    log, handler = logging.getLogger("emulator"), Handler()
    before, log.level = log.level, logging.DEBUG
    log.addHandler(handler)
    yield lines
    log.removeHandler(handler)
    log.level = before


def found_in(texts: Mapping[str, str], secrets: Mapping[str, str]) -> list[str]:
    """Where which of the secrets is, with what stands before it; never the secret itself."""
    hits = []
    for where, text in texts.items():
        for what, secret in secrets.items():
            at = text.find(secret)
            if at >= 0:
                hits.append(f"{what} in {where}: {text[max(0, at - 120) : at]!r}")
    return hits


# At -v=9 the CLI itself (3.259) logs the values of what it sends to programs and plugins, secrets in clear: its own
# lines, before anything of ours has them.  Later releases log them with a switch only (pulumi/pulumi#24479, #24514).
OF_THE_CLI = re.compile(r'"msg":"(?:Marshaling|Unmarshaling|Unmarshalling) property for RPC\[')


def own_words(text: str) -> str:
    """What was logged without those lines; the cluster's key isn't even in them."""
    assert CLUSTER_KEY not in text
    return "\n".join(line for line in text.splitlines() if not OF_THE_CLI.search(line))


def clean(texts: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    hits = found_in(texts, secrets)
    assert not hits, "\n".join(hits)


def files_of(folder: Path) -> dict[str, str]:
    """All that was written below a folder, links left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes().decode(errors="replace")
        for path in folder.rglob("*")
        if path.is_file() and not any(p.is_symlink() for p in (path, *path.parents) if p.is_relative_to(folder))
    }


def poison(folder: Path) -> None:
    """A `.env` that would lead everybody who reads it astray."""
    (folder / ".env").write_text(
        "BACKEND_ENDPOINT=http://127.0.0.1:9\nBACKEND_ACCESS_KEY=x\nBACKEND_SECRET_KEY=x\n"
        "HF_ENDPOINT=http://127.0.0.1:9\nBACKEND_SKIP_SSLCERT_VALIDATION=yes\n"
    )


@pytest.mark.timeout(600)
def test_a_life_of_a_stack(tmp_path: Path, bed: Emulator, env: dict[str, str]) -> None:
    stack = PulumiStack.new(tmp_path / "project", env)
    poison(tmp_path)
    poison(stack.folder)
    good = [
        {"name": "given", **SMALL, "api_key": API_KEY, "hf_token": HUB_TOKEN, "env": {"PLAIN": "1"}},
        {"name": "made", **SMALL},
    ]
    broken = {"name": "broken", **SMALL, "env": {"VLLM_STANDIN_EXIT": "1@loading"}, "api_key": API_KEY + "-2"}
    stack.configure([*good, broken], CLUSTER)
    encrypt(stack, "models[0].env.REGISTRY_PASSWORD", REGISTRY)
    texts: dict[str, str] = {}
    events: list[str] = []
    stop = bed.cluster.listen(lambda session, event, data: events.append(json.dumps([session.name, event, data])))
    with Watch() as ps, emulator_log() as logged:
        texts["preview"] = stack.preview().text
        texts["preview --json"] = stack.preview("--json").text
        texts["preview --diff with policies"] = stack.preview(*pack(), "--diff", code=None).text
        texts["up that fails"] = own_words(stack.up(*VERBOSE, code=None).text)
        logs = "\n".join(session.log.decode(errors="replace") for session in bed.cluster.sessions.values())
        commands = "\n".join(str(session.command) for session in bed.cluster.sessions.values())
    stack.configure(good, CLUSTER)
    encrypt(stack, "models[0].env.REGISTRY_PASSWORD", REGISTRY)
    with Watch() as later, emulator_log() as logged_later:
        texts["up -v=9"] = own_words(stack.up(*VERBOSE, "--diff").text)
        made = stack.output("api_keys")["made"]
        texts["export"] = stack.run("stack", "export", "--stack", stack.name).text
        texts["outputs"] = stack.run("stack", "output", "--json", "--stack", stack.name).text
        texts["refresh -v=9"] = own_words(stack.refresh(*VERBOSE).text)
        wrong = {"BACKEND_SECRET_KEY": CLUSTER_KEY + "-wrong"}
        texts["refused"] = own_words(stack.refresh(*VERBOSE, env=wrong, code=None).text)
        assert "doesn't accept the credentials" in texts["refused"]
        (session,) = [s for s in bed.cluster.living() if s.name.startswith("given")]
        assert session.environ["REGISTRY_PASSWORD"] == REGISTRY, "the secrets do arrive"
        assert session.environ["VLLM_API_KEY"] == API_KEY
        assert session.environ["HF_TOKEN"] == HUB_TOKEN
        written = files_of(stack.folder)
        texts["destroy -v=9"] = own_words(stack.destroy(*VERBOSE).text)
    stop()
    lines = ps.lines | later.lines
    assert any("vllm" in line and "serve" in line for line in lines)
    assert made.startswith("sk-")
    secrets = {**GIVEN, "made key": made}
    texts |= {"ps": "\n".join(lines), "events of the cluster": "\n".join(events)}
    texts |= {"emulator": "\n".join([*logged, *logged_later])}
    texts |= {"logs of the sessions": logs, "commands": commands}
    texts |= {f"file {name}": text for name, text in {**written, **files_of(stack.folder)}.items()}
    clean(texts, secrets)
    assert ps.listening | later.listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, (
        "everything listens on loopback only"
    )


def encrypt(stack: PulumiStack, path: str, value: str) -> None:
    stack.run("config", "set", "--secret", "--path", f"backendai-vllm:{path}", value, "--stack", stack.name)


def pack() -> tuple[str, ...]:
    return ("--policy-pack", str(POLICIES / "analyzer"), "--policy-pack-config", str(POLICIES / "prod.json"))


ECHO = '{"title": "no", "error_code": "x_y_z", "msg": "refused: Authorization: BackendAI credential=%s:%s HF_TOKEN=%s"}'


def test_what_the_provider_says_when_it_fails(bed: Emulator, env: dict[str, str], tmp_path: Path) -> None:
    """Also when a server or a proxy gives back what it was sent."""
    inputs = {**INPUTS, "api_key": API_KEY, "hf_token": HUB_TOKEN, "gpus": 0.5, "gpu_unit": "cuda.shares"}
    inputs["env"] = {"REGISTRY_PASSWORD": REGISTRY, "VLLM_STANDIN_EXIT": "1@loading"}
    body = ECHO % (ADMIN[0], CLUSTER_KEY, HUB_TOKEN)
    orders: list[dict[str, Any]] = [
        {"action": "status", "status": 400, "body": body},
        {"action": "status", "status": 500, "body": body},
        {"action": "html", "body": f"<html>{body}</html>"},
        {"action": "truncate"},
        {"action": "reset"},
    ]
    said: list[str] = []
    with (
        ProviderProcess(VLLMModelSessionProvider(), env, stderr_path=tmp_path / "sessions") as sessions,
        ProviderProcess(ModelEndpointProvider(), env, stderr_path=tmp_path / "endpoints") as endpoints,
    ):
        for order in orders:
            fault: Fault = bed.faults.add(**order, method="POST", path="^/session$")
            with pytest.raises(CallFailed) as caught:
                sessions.create(inputs)
            said.append(str(caught.value))
            assert fault.taken
        id_, outs = sessions.create(inputs)
        endpoint = {"session_id": id_, "session_name": "chat-1", "served_model_name": INPUTS["model"], "port": 8000}
        with pytest.raises(CallFailed) as caught:
            endpoints.create({**endpoint, "api_key": API_KEY, "wait": True})
        said.append(str(caught.value))
        while not bed.cluster.sessions[id_].terminal:
            pass
        sessions.read(id_, outs)
    texts = {"errors": "\n".join(said)} | {n: (tmp_path / n).read_text() for n in ("sessions", "endpoints")}
    assert "has ended" in texts["sessions"]
    clean(texts, GIVEN)


def test_what_the_command_says(bed: Emulator, env: dict[str, str], tmp_path: Path) -> None:
    """`bai-vllm plan`, of what starts, of what doesn't, and of a Hub that refuses."""
    command = launcher.write()
    told = {**env, "HF_TOKEN": HUB_TOKEN, "XDG_CACHE_HOME": str(tmp_path / "cache"), "VLLM_API_KEY": API_KEY}
    texts = {}
    for words in (
        ("plan", "backendai-vllm/tiny-llama", "--gpu", "A100-80GB"),
        ("plan", "meta-llama/Llama-2-7b-chat-hf", "--gpu", "A100-80GB", "--json"),
        ("plan", "acme/no-such-model", "--gpu", "A100-80GB"),
        ("plan", f"acme/{HUB_TOKEN}", "--gpu", "A100-80GB"),
    ):
        done = subprocess.run(
            [str(command), *words], env={"PATH": "/usr/bin:/bin", **told}, cwd=tmp_path, capture_output=True,
            text=True, check=False, timeout=60,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        texts[" ".join(words)[:40]] = done.stdout + done.stderr
    texts |= {f"file {name}": text for name, text in files_of(tmp_path).items()}
    clean(texts, GIVEN)
