"""The invariant: no verb of `bai-vllm` shows or writes a secret, however much it is told to show; nor an event log."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import pytest

from emulator import Emulator
from tests.cli.by_hand import ByHand
from tests.lifecycle.driver import ADMIN, TINY, PulumiStack

from .test_canaries import API_KEY, CLUSTER_KEY, GIVEN, HUB_TOKEN, REGISTRY, clean, encrypt, files_of

pytestmark = pytest.mark.timeout(300)

GPT2 = ("deploy", "openai-community/gpt2", "-n", "gpt2", "--max-model-len", "512", "-m", "2g", "-c", "1")
WRONG = {"BACKEND_SECRET_KEY": CLUSTER_KEY + "-wrong"}
BAD_TOKEN = {"HF_TOKEN": HUB_TOKEN + "-wrong"}
EVENTS = {"PULUMI_DEBUG_COMMANDS": "true"}  # without it the CLI doesn't know --event-log


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ByHand]:
    """One stack that is up, with every secret that it can have; its own temporary folder is in the stack's."""
    folder = tmp_path_factory.mktemp("canaries") / "project"
    with Emulator(load_seconds=0.2) as emulator:
        emulator.cluster.users[ADMIN[0]] = replace(emulator.cluster.users[ADMIN[0]], secret_key=CLUSTER_KEY)
        env = {
            "BACKEND_ENDPOINT": emulator.endpoint,
            "BACKEND_ACCESS_KEY": ADMIN[0],
            "BACKEND_SECRET_KEY": CLUSTER_KEY,
            "HF_ENDPOINT": emulator.hub_endpoint,
            "TMPDIR": str(folder / "tmp"),
        }
        stack = PulumiStack.new(folder, env)
        (folder / "tmp").mkdir()
        given = {"name": "given", **TINY, "api_key": API_KEY, "hf_token": HUB_TOKEN, "env": {"PLAIN": "1"}}
        stack.configure([given, {"name": "writer", **TINY}])
        encrypt(stack, "models[0].env.REGISTRY_PASSWORD", REGISTRY)
        stack.preview("--event-log", str(folder / "preview.events"), env=EVENTS)
        stack.up("--event-log", str(folder / "up.events"), env=EVENTS)
        (session,) = [s for s in emulator.cluster.living() if s.name.startswith("given")]
        arrived = [session.environ[key] for key in ("VLLM_API_KEY", "HF_TOKEN", "REGISTRY_PASSWORD")]
        assert arrived == [API_KEY, HUB_TOKEN, REGISTRY]
        yield ByHand(stack, emulator)


@contextmanager
def watched(operated: ByHand) -> Iterator[dict[str, str]]:
    """What is said goes into it; afterwards that and all files are looked through."""
    texts: dict[str, str] = {}
    yield texts
    files = {f"file {name}": text for name, text in files_of(operated.stack.folder).items()}
    clean(texts | files, {**GIVEN, "made key": operated.key})


def test_event_logs(operated: ByHand) -> None:
    with watched(operated):
        for name in ("preview.events", "up.events"):
            assert '"resourcePreEvent"' in (operated.stack.folder / name).read_text()


LOOKS: list[tuple[Sequence[str], int]] = [
    (("list",), 0),
    (("list", "--output", "json"), 0),
    (("monitor", "--once"), 0),
    (("logs", "given"), 0),
    (("test", "given"), 0),
    (("test", "given", "--output", "json"), 0),
    (("kill", "given"), 1),  # nobody says yes
    (("orphans",), 0),
    (("orphans", "--output", "json"), 0),
    (("doctor",), 0),
    (("doctor", "--output", "json"), 0),
    (("remove", "given", "--dry-run"), 0),
    ((*GPT2, "--dry-run"), 0),
    ((*GPT2, "--dry-run", "--huggingface-token", HUB_TOKEN), 0),
]


def test_what_only_looks(operated: ByHand) -> None:
    with watched(operated) as texts:
        for words, code in LOOKS:
            done = operated.run(*words, env={"HF_TOKEN": HUB_TOKEN, "VLLM_API_KEY": API_KEY}, code=None)
            texts[" ".join(words)] = done.stdout + done.stderr
            assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)


def test_what_is_refused(operated: ByHand) -> None:
    with watched(operated) as texts:
        for verb in ("list", "monitor --once", "logs given", "test given", "kill given --yes", "orphans", "doctor"):
            done = operated.run(*verb.split(), env=WRONG, code=None)
            texts[f"{verb}, wrong key"] = done.stdout + done.stderr
            assert "credentials" in done.stdout + done.stderr, (verb, done)
        done = operated.run(*GPT2, "--dry-run", env=BAD_TOKEN, code=None)
        texts["deploy, wrong token"] = done.stdout + done.stderr
        done = operated.run("test", f"{operated.emulator.endpoint}/{API_KEY}", env={"VLLM_API_KEY": API_KEY}, code=1)
        texts["test of a URL"] = done.stdout.replace(f"/{API_KEY}", "") + done.stderr


def test_a_conversation(operated: ByHand) -> None:
    with watched(operated) as texts:
        done = operated.typed("Hello\n/help\n/exit\n", "chat", "given")
        assert "You said: Hello" in done.stdout
        texts["chat"] = done.stdout + done.stderr
        with operated.connected("given") as url:  # itself asserts that nothing is on stderr
            texts["connect"] = url


LASTING = (
    "list --watch --interval 0.2",
    "list --watch --interval 0.2 --output json",
    "monitor --interval 0.2",
    "logs given --follow --interval 0.2",
)


def test_what_lasts(operated: ByHand) -> None:
    """Until Ctrl-C."""
    with watched(operated) as texts:
        for verb in LASTING:
            begun = operated.begin(*verb.split())
            assert begun.stdout
            first = begun.stdout.readline()
            begun.send_signal(signal.SIGINT)
            out, err = begun.communicate(timeout=60)
            texts[verb] = first + out + err
            assert first and begun.returncode in (0, 130), (verb, begun.returncode, first + out, err)


def test_the_menu(operated: ByHand) -> None:
    with watched(operated) as texts:
        done = operated.typed("test\ngiven\nlist\nlogs\ngiven\ntest\nnobody\n0\n", "menu", "--stack", "test")
        texts["menu"] = done.stdout + done.stderr
        assert "$ bai-vllm test given --stack test" in done.stdout


def test_a_session_that_is_adopted(operated: ByHand) -> None:
    """In the place of the stack's own, which somebody took out of the state."""
    stack = operated.stack
    for kind in ("ModelEndpoint", "VLLMModelSession"):
        (urn,) = (str(found["urn"]) for found in stack.resources(kind) if str(found["urn"]).endswith("::given-0"))
        stack.run("state", "delete", urn, "--yes", "--stack", stack.name)
    (old,) = (s.id for s in operated.emulator.cluster.living() if s.name.startswith("given"))
    operated.end_session(old)
    made = operated.start("by-hand", key=API_KEY)
    operated.wait_until_it_answers(made)
    with watched(operated) as texts:
        for words in (("--dry-run",), ("--yes",)):
            done = operated.run("adopt", "by-hand", "given", *words)
            texts[f"adopt {words}"] = done.stdout + done.stderr
    assert made in stack.session_ids()


def test_what_changes_the_stack(operated: ByHand) -> None:
    with watched(operated) as texts:
        done = operated.typed(f"{HUB_TOKEN}\n", *GPT2, "--huggingface-token", "-", "--debug")
        texts["deploy"] = done.stdout + done.stderr
        refused = operated.run("deploy", "openai-community/gpt2", "-n", "other", "--debug", env=WRONG, code=1)
        texts["deploy, refused"] = refused.stdout + refused.stderr
        done = operated.run("remove", "gpt2", "--yes", "--verbose")
        texts["remove"] = done.stdout + done.stderr
        done = operated.run("kill", "given", "--yes")
        texts["kill"] = done.stdout + done.stderr
