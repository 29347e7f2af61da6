"""What vLLM reads of a model before it loads it: config.json, the chat template, the list of weight files.

A local folder, or a Hub at HF_ENDPOINT with the token in HF_TOKEN or --hf-token.
"""

import http.client
import json
import os
import re
import urllib.parse
from pathlib import Path
from typing import Any, NamedTuple

from emulator.vllm.journal import Refusal

HUB = "https://huggingface.co"
_MOVED, _REDIRECTS = (301, 302, 307, 308), 5
_REPO_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")

# X-Error-Code of the Hub -> transformers' words
_TEXTS = {
    "GatedRepo": "You are trying to access a gated repo.\nMake sure to have access to it at {hub}/{model}.",
    "RepoNotFound": (
        "{model} is not a local folder and is not a valid model identifier listed on '{hub}/models'\n"
        "If this is a private repository, make sure to pass a token having permission to this repo either by "
        "logging in with `hf auth login` or by passing `token=<your_token>`"
    ),
    "RevisionNotFound": (
        "{revision} is not a valid git identifier (branch name, tag name or commit id) that exists for this "
        "model name. Check the model page at '{hub}/{model}' for available revisions."
    ),
    "EntryNotFound": (
        "{model} does not appear to have a file named {file}. Checkout '{hub}/{model}/tree/{revision}' "
        "for available files."
    ),
}
_UNREACHABLE = (
    "We couldn't connect to '{endpoint}' to load the files, and couldn't find them in the cached files.\n"
    "Check your internet connection or see how to run the library in offline mode at "
    "'https://huggingface.co/docs/transformers/installation#offline-mode'."
)


class Model(NamedTuple):
    """`weights` are the names of the files to load; `chat_template` is None where the repo has none."""

    config: dict[str, Any]
    chat_template: str | None
    weights: list[str]


class _Hub(NamedTuple):
    endpoint: str
    token: str
    model: str
    revision: str

    def get(self, path: str) -> tuple[int, str, bytes]:
        """Status, X-Error-Code and body, relative redirects (renamed repos) followed."""
        url = urllib.parse.urlsplit(self.endpoint)
        kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        for _ in range(_REDIRECTS):
            connection = kind(url.netloc, timeout=10)
            try:
                connection.request("GET", url.path.rstrip("/") + path, headers=headers)
                answer = connection.getresponse()
                status, where, body = answer.status, answer.getheader("Location", ""), answer.read()
            finally:
                connection.close()
            if status not in _MOVED or not where.startswith("/"):
                return status, answer.getheader("X-Error-Code", ""), body
            path = where
        return status, "", b""

    def file(self, name: str) -> bytes:
        """A file of the repo; Refusal in the words of transformers."""
        revision = urllib.parse.quote(self.revision, safe="")
        try:
            status, code, body = self.get(f"/{self.model}/resolve/{revision}/{name}")
        except OSError as error:
            raise Refusal("OSError", _UNREACHABLE.format(endpoint=self.endpoint)) from error
        if status == http.HTTPStatus.OK:
            return body
        if code in _TEXTS:
            text = _TEXTS[code].format(hub=HUB, model=self.model, revision=self.revision, file=name)
            raise Refusal("OSError", text)
        said = body.decode(errors="replace").strip()
        raise Refusal("huggingface_hub.errors.HfHubHTTPError", f"{status} from {self.endpoint}: {said}")

    def names(self) -> list[str]:
        revision = urllib.parse.quote(self.revision, safe="")
        status, _, body = self.get(f"/api/models/{self.model}/tree/{revision}?recursive=true&expand=false")
        return [entry["path"] for entry in json.loads(body)] if status == http.HTTPStatus.OK else []


class _Folder(NamedTuple):
    path: Path

    def file(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError as error:
            text = _TEXTS["EntryNotFound"].format(hub=HUB, model=self.path, revision="None", file=name)
            raise Refusal("OSError", text) from error

    def names(self) -> list[str]:
        return [path.name for path in self.path.iterdir()]


def read_model(model: str, revision: str | None, token: str | None) -> Model:
    """Read the model's facts; Refusal when it is missing, gated or not reachable."""
    source: _Hub | _Folder
    if Path(model).is_dir():
        source = _Folder(Path(model))
    elif not _REPO_ID.fullmatch(model):
        text = (
            f"Incorrect path_or_model_id: '{model}'. Please provide either the path to a local folder or the "
            "repo_id of a model on the Hub."
        )
        raise Refusal("OSError", text)
    else:
        endpoint = os.environ.get("HF_ENDPOINT") or HUB
        source = _Hub(endpoint, token or os.environ.get("HF_TOKEN", ""), model, revision or "main")
    config = json.loads(source.file("config.json"))
    names = source.names()
    return Model(config, _chat_template(source, names), _weights(names))


def _weights(names: list[str]) -> list[str]:
    for ending in (".safetensors", ".bin"):
        if found := sorted(name for name in names if name.endswith(ending)):
            return found
    return []


def _chat_template(source: _Hub | _Folder, names: list[str]) -> str | None:
    if "chat_template.jinja" in names:
        return source.file("chat_template.jinja").decode()
    if "tokenizer_config.json" not in names:
        return None
    template: str | None = json.loads(source.file("tokenizer_config.json")).get("chat_template")
    return template
