"""What the Hub tells about one model at one commit, as far as serving it is concerned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from .quantization import carried_by
from .tensors import Tensors

Gate = Literal[False, "auto", "manual"]

# Files in which a checkpoint says how it is quantized, when its config.json doesn't: name -> method.
_QUANTIZATION_FILES = {
    "quant_config.json": "awq",
    "quantize_config.json": "gptq",
    "hf_quant_config.json": "modelopt",
}
_TEMPLATE_FILES = frozenset({"chat_template.jinja", "chat_template.json"})


class Quantization(BaseModel):
    """How the weights are quantized; None where the checkpoint doesn't say.  A group of -1 is a column.

    `in_config`: its config.json says so, where vLLM looks unasked; else only a file of the method's own does.
    """

    model_config = ConfigDict(frozen=True)

    method: str
    bits: int | None = None
    group_size: int | None = None
    desc_act: bool = False
    in_config: bool = True


class Files(BaseModel):
    """How many files of each kind the repo has."""

    model_config = ConfigDict(frozen=True)

    safetensors: int = 0
    bin: int = 0
    gguf: int = 0
    other: int = 0

    @property
    def weights(self) -> int:
        """Files that vLLM loads without a plugin."""
        return self.safetensors + self.bin


class Access(BaseModel):
    """What one token is told about a revision, for a while: the commit, and how the repo is closed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repo_id: str
    sha: str
    gated: Gate
    private: bool
    disabled: bool


class Contents(BaseModel):
    """What is in a commit; never changes.  `config` is its config.json, empty where it has none.

    `mistral_format`: it has Mistral's own params.json, which vLLM reads instead of a config.json.
    `tensors`: what its weight files hold.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    config: dict[str, Any]
    quantization: Quantization | None
    files: Files
    is_adapter: bool
    chat_template: bool | None
    mistral_format: bool
    tensors: Tensors = Tensors()


class HubFacts(BaseModel):
    """A model at one commit.  `repo_id` is its present name; `chat_template` None: not known."""

    model_config = ConfigDict(frozen=True)

    access: Access
    contents: Contents

    @property
    def repo_id(self) -> str:
        return self.access.repo_id

    @property
    def sha(self) -> str:
        return self.access.sha

    @property
    def gated(self) -> Gate:
        return self.access.gated

    @property
    def private(self) -> bool:
        return self.access.private

    @property
    def disabled(self) -> bool:
        return self.access.disabled

    @property
    def config(self) -> dict[str, Any]:
        return self.contents.config

    @property
    def architectures(self) -> tuple[str, ...]:
        return tuple(self.config.get("architectures") or ())

    @property
    def model_type(self) -> str | None:
        return self.config.get("model_type")

    @property
    def quantization(self) -> Quantization | None:
        return self.contents.quantization

    @property
    def files(self) -> Files:
        return self.contents.files

    @property
    def has_safetensors(self) -> bool:
        return self.files.safetensors > 0

    @property
    def has_gguf_only(self) -> bool:
        return self.files.gguf > 0 and not self.files.weights

    @property
    def is_adapter(self) -> bool:
        return self.contents.is_adapter

    @property
    def chat_template(self) -> bool | None:
        return self.contents.chat_template


def contents_of(
    names: list[str],
    config: dict[str, Any],
    tokenizer: dict[str, Any] | None,
    *,
    tensors: Tensors | None = None,
    quantization: tuple[str, dict[str, Any]] | None = None,
) -> Contents:
    """The contents of a commit with these files.

    `tokenizer`: tokenizer_config.json, None when not known; `quantization`: name and content of the file in which
    the checkpoint says how it is quantized, where its config.json doesn't.
    """
    template: bool | None = None
    if _TEMPLATE_FILES & set(names) or (tokenizer or {}).get("chat_template"):
        template = True
    elif tokenizer is not None:
        template = False
    return Contents(
        config=config,
        quantization=_quantization(config, names, quantization),
        files=_files(names),
        is_adapter="adapter_config.json" in names and "config.json" not in names,
        chat_template=template,
        mistral_format="params.json" in names,
        tensors=tensors or Tensors(),
    )


def quantization_file(names: list[str], config: dict[str, Any]) -> str | None:
    """The file that says how the checkpoint is quantized, when its config.json doesn't."""
    return None if carried_by(config) else next((file for file in _QUANTIZATION_FILES if file in names), None)


def _quantization(
    config: dict[str, Any], names: list[str], said: tuple[str, dict[str, Any]] | None
) -> Quantization | None:
    carried = carried_by(config)
    if carried is not None:
        return _settings(carried, "unknown", in_config=True)
    file = quantization_file(names, config)
    if file is None:
        return None
    content = said[1] if said and said[0] == file else {}
    inner = content.get("quantization")  # ModelOpt's file has them one level down
    return _settings(inner if isinstance(inner, dict) else content, _QUANTIZATION_FILES[file], in_config=False)


def _settings(said: Mapping[str, Any], method: str, *, in_config: bool) -> Quantization:
    named = str(said.get("quant_method") or said.get("quant_algo") or method).lower()
    return Quantization(
        method=named if in_config else method,
        bits=_integer(said.get("bits", said.get("w_bit"))),
        group_size=_integer(said.get("group_size", said.get("q_group_size"))),
        desc_act=said.get("desc_act") is True,
        in_config=in_config,
    )


def _integer(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _files(names: list[str]) -> Files:
    weights = [name for name in names if "/" not in name]  # vLLM looks into no folder of the repo
    counts = {ending: sum(name.endswith(f".{ending}") for name in weights) for ending in ("safetensors", "bin", "gguf")}
    counts["bin"] += sum(name.endswith(".pt") for name in weights)
    counts["bin"] -= sum(name in ("training_args.bin", "optimizer.bin", "scheduler.bin") for name in weights)
    counts["safetensors"] -= "adapter_model.safetensors" in weights
    return Files(**counts, other=len(names) - sum(counts.values()))
