"""A Hub as large as a test needs: answers as the real wire has them, every request written down."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import httpx

SHA = "0123456789abcdef0123456789abcdef01234567"
APPROVED, UNAPPROVED = "hf_double_approved", "hf_double_unapproved"

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "num_hidden_layers": 32,
    "max_position_embeddings": 4096,
    "vocab_size": 32000,
    "torch_dtype": "float16",
}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True}


@dataclass
class Repo:
    """One repo; `files` maps names to contents, bytes as they are, None for weights that nobody reads.

    `parameters`: elements by dtype; `listed` False: the Hub says nothing of the files; `ranges` False: it sends
    whole files whatever part is asked for.
    """

    config: dict[str, Any] | None = field(default_factory=lambda: dict(LLAMA))
    files: dict[str, Any] = field(default_factory=lambda: {"model.safetensors": None})
    template: bool = True
    gated: Any = False
    private: bool = False
    disabled: bool = False
    parameters: dict[str, int] | None = None
    listed: bool = True
    ranges: bool = True

    def contents(self) -> dict[str, Any]:
        tokenizer = {"chat_template": "{{ messages }}"} if self.template else {"model_max_length": 1}
        config = {} if self.config is None else {"config.json": self.config}
        return {"tokenizer_config.json": tokenizer, **config, **self.files}


@dataclass
class Hub:
    """The handler of a MockTransport.  `faults` are answers (or exceptions) given before the true ones."""

    repos: dict[str, Repo]
    faults: list[httpx.Response | Exception] = field(default_factory=list)
    always: httpx.Response | Exception | None = None
    requests: list[httpx.Request] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    unlisted: set[str] = field(default_factory=set)  # files that are there all the same
    failing: str | None = None  # a file that the Hub answers 503 for

    @property
    def paths(self) -> list[str]:
        return [request.url.path for request in self.requests]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        fault = self.faults.pop(0) if self.faults else self.always
        if self.failing and request.url.path.endswith(f"/{self.failing}"):
            fault = httpx.Response(503)
        if isinstance(fault, Exception):
            raise fault
        if fault is not None:
            return httpx.Response(fault.status_code, headers=fault.headers, content=fault.content)
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = unquote(request.url.path)
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in (APPROVED, UNAPPROVED):
            return error(401, None, "Invalid credentials in Authorization header")
        name, _, rest = path.removeprefix("/api/models").lstrip("/").partition("/resolve/")
        name, _, revision = name.partition("/revision/")
        auth_check = name.endswith("/auth-check")
        name = name.removesuffix("/auth-check")
        if name in self.renamed:
            return httpx.Response(307, headers={"location": path.replace(name, self.renamed[name])})
        repo = self.repos.get(name)
        if repo is None or (repo.private and token != APPROVED):
            return error(404 if token else 401, "RepoNotFound", "Repository not found")
        if repo.disabled:
            return error(403, None, "Access to this resource is disabled.")
        if rest or auth_check:
            return self._file(name, repo, rest.partition("/")[2], token, request.headers.get("range", ""))
        if revision not in ("", "main", SHA):
            return error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return httpx.Response(200, json=_info(name, repo, self.unlisted))

    def _file(self, name: str, repo: Repo, file: str, token: str, wanted: str) -> httpx.Response:
        if repo.gated and token != APPROVED:
            return error(403 if token else 401, "GatedRepo", f"Access to model {name} is restricted.")
        if file and file not in repo.contents():
            return error(404, "EntryNotFound", "Entry not found")
        content = repo.contents().get(file)
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        headers = {"X-Repo-Commit": SHA, "ETag": '"x"'}
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
        if part and repo.ranges:
            return httpx.Response(206, headers=headers, content=body[int(part[1]) : int(part[2]) + 1])
        return httpx.Response(200, headers=headers, content=body)


def _info(name: str, repo: Repo, unlisted: set[str]) -> dict[str, Any]:
    config = repo.config or {}
    short = {key: config[key] for key in ("architectures", "model_type", "quantization_config") if key in config}
    return {
        "_id": "1",
        "id": name,
        "modelId": name,
        "sha": SHA,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": repo.disabled,
        "config": short,
        **(
            {"siblings": [_sibling(*file) for file in repo.contents().items() if file[0] not in unlisted]}
            if repo.listed
            else {}
        ),
        **({"safetensors": {"parameters": repo.parameters}} if repo.parameters else {}),
    }


def _sibling(file: str, content: Any) -> dict[str, Any]:
    return {"rfilename": file} | ({"size": len(content)} if isinstance(content, bytes) else {})


def safetensors(tensors: Mapping[str, tuple[str, list[int]]], padding: int = 0) -> bytes:
    """The start of a file with these tensors: its header, `padding` bytes longer than it must be."""
    header = {
        name: {"dtype": dtype, "shape": shape, "data_offsets": [0, 0]} for name, (dtype, shape) in tensors.items()
    }
    text = json.dumps(header).encode() + b" " * padding
    return len(text).to_bytes(8, "little") + text


def error(status: int, code: str | None, message: str) -> httpx.Response:
    headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
    return httpx.Response(status, headers=headers, json={"error": message})


def rate_limited(seconds: int) -> httpx.Response:
    headers = {"RateLimit": f'"api";r=0;t={seconds}', "RateLimit-Policy": '"fixed window";"api";q=500;w=300'}
    return httpx.Response(429, headers=headers)
