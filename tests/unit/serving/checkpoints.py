"""Checkpoints made from a config: names, shapes, shards and headers, without a byte of weights."""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from serving.hub_tensors import read_tensors
from serving.tensors import DTYPE_BYTES, Stored, Tensors
from serving.weight_families import family_tensors

from .hub_double import safetensors

Named = dict[str, tuple[str, list[int]]]


def named(config: dict[str, Any]) -> Named:
    """Every tensor of the model by its full name, in the order of layers."""
    made = family_tensors(config)
    assert made is not None
    found = [(layer, name, one) for one in made for layer, name in _names(one)]
    return {name: (one.dtype, list(one.shape)) for _, name, one in sorted(found, key=lambda entry: entry[0])}


def _names(one: Stored) -> list[tuple[int, str]]:
    if not one.layers:
        return [(10**6 if "embed" not in one.name else -1, one.name)]
    experts = one.number // one.layers
    return [(layer, _numbered(one.name, layer, expert)) for layer in range(one.layers) for expert in range(experts)]


def _numbered(name: str, layer: int, expert: int) -> str:
    head, _, rest = name.partition(".*.")
    return f"{head}.{layer}." + rest.replace(".*.", f".{expert}.")


def size(tensors: Named) -> int:
    total = 0.0
    for dtype, shape in tensors.values():
        count = 1
        for length in shape:
            count *= length
        total += count * DTYPE_BYTES[dtype]
    return round(total)


@lru_cache(maxsize=64)
def _told(config: str) -> Tensors:
    known = json.loads(config)
    contents = files(named(known), 5)
    return read_tensors(FakeRepo(contents), list(contents), known, {})


def told(config: dict[str, Any]) -> Tensors:
    """What a Hub tells of the tensors of such a model, in five shards."""
    return _told(json.dumps(config))


def files(tensors: Named, shards: int = 1, *, total: bool = True) -> dict[str, bytes]:
    """The files of a repo with these tensors, in as many shards: headers and the index."""
    if shards == 1:
        return {"model.safetensors": safetensors(tensors)}
    names = list(tensors)
    step = -(-len(names) // shards)
    parts = [names[start : start + step] for start in range(0, len(names), step)]
    labels = [f"model-{n + 1:05d}-of-{len(parts):05d}.safetensors" for n in range(len(parts))]
    index: dict[str, Any] = {
        "weight_map": {name: label for label, part in zip(labels, parts, strict=True) for name in part}
    }
    if total:
        index["metadata"] = {"total_size": size(tensors)}
    made = {
        label: safetensors({name: tensors[name] for name in part}) for label, part in zip(labels, parts, strict=True)
    }
    return made | {"model.safetensors.index.json": json.dumps(index).encode()}


@dataclass
class FakeRepo:
    """Answers what `read_tensors` asks; `asked` says what that was."""

    contents: dict[str, bytes]
    left: int = 2
    asked: list[str] = field(default_factory=list)
    file_sizes: dict[str, int] | None = None

    def json_file(self, file: str) -> dict[str, Any] | None:
        content = self._one(file)
        return json.loads(content) if content is not None else None

    def first_bytes(self, file: str, count: int, start: int = 0) -> bytes | None:
        content = self._one(file)
        return content[start : start + count] if content is not None else None

    def sizes(self) -> dict[str, int] | None:
        self._one("sizes")
        return self.file_sizes

    def _one(self, what: str) -> bytes | None:
        assert self.left > 0, "one request too many"
        self.left -= 1
        self.asked.append(what)
        return self.contents.get(what)
