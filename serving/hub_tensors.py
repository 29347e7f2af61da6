"""Which of a repo's files are asked for its tensors: few requests, each worth its answer.

one safetensors file      the start of the file, which is its header; the rest of the header if it is longer
several, with an index    the index, which has every name; the header of the one file with most kinds of tensors
.bin or .gguf only        the index if there is one; the sizes of the files
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from .model_config import text_config
from .tensors import FLOATS, UNKNOWN, Source, Stored, Tensors, bytes_of, pattern, read_head, summary
from .weight_families import family_tensors

FIRST_BYTES = 100_000  # most headers are shorter
_BYTES_A_TENSOR = 110  # of a header, beside the tensor's name
_LONGEST = 24 * 2**20
_AGREES = 0.001  # of the total: what a tensor list may be off by and still be taken as whole
_INDEX = "model.safetensors.index.json"
_BIN_INDEX = "pytorch_model.bin.index.json"
_NO_WEIGHTS = frozenset({"adapter_model.safetensors", "training_args.bin", "optimizer.bin", "scheduler.bin"})


class Repo(Protocol):
    """What is asked of a repo; `left` requests may still be made, an answer of None is a file that isn't there."""

    @property
    def left(self) -> int: ...

    def json_file(self, file: str) -> dict[str, Any] | None: ...

    def first_bytes(self, file: str, count: int, start: int = 0) -> bytes | None: ...

    def sizes(self) -> dict[str, int] | None: ...


def read_tensors(repo: Repo, names: list[str], config: dict[str, Any], parameters: Mapping[str, int]) -> Tensors:
    """The tensors of a repo with these files; `names` empty: which it has isn't known.

    `parameters`: elements by dtype, as the Hub counts them of safetensors; empty where it doesn't.
    """
    told = bytes_of(parameters)
    files = weight_files(names, "safetensors")
    if _INDEX in names or not names:
        index = repo.json_file(_INDEX) if repo.left else None
        if index and isinstance(index.get("weight_map"), dict):
            return _sharded(repo, index, config, told)
    if files or not names:
        first = next((file for file in ("model.safetensors", *files) if file in files or not names), "")
        return _of_files(repo, first, files, config, told)
    return _others(repo, names, config, told)


def weight_files(names: Iterable[str], ending: str) -> list[str]:
    """Weight files of a kind; vLLM looks into no folder of a repo."""
    return sorted(n for n in names if n.endswith(f".{ending}") and "/" not in n and n not in _NO_WEIGHTS)


def _sharded(repo: Repo, index: dict[str, Any], config: dict[str, Any], told: int) -> Tensors:
    where: dict[str, str] = {name: str(file) for name, file in index["weight_map"].items()}
    shard = best_shard(where, _layers(config))
    mine = [name for name, file in where.items() if file == shard]
    enough = sum(len(name) + _BYTES_A_TENSOR for name in mine) + FIRST_BYTES // 20
    content = repo.first_bytes(shard, min(enough, _LONGEST)) if repo.left else None
    head = read_head(content) if content else None
    total = (index.get("metadata") or {}).get("total_size")
    total = int(total) if isinstance(total, int | float) else 0
    return _checked(
        summary(where, head.tensors if head else {}, _layers(config)), config, (told, total), head is not None
    )


def best_shard(where: Mapping[str, str], layers: int | None) -> str:
    """The file whose header tells most: with tensors of the most patterns, of these the one with the fewest."""
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    counts: defaultdict[str, int] = defaultdict(int)
    for name, file in where.items():
        kinds[file].add(pattern(name, layers)[0])
        counts[file] += 1
    return max(kinds, key=lambda file: (len(kinds[file]), -counts[file], file))


def _of_files(repo: Repo, first: str, files: list[str], config: dict[str, Any], told: int) -> Tensors:
    """A repo without an index: one file, or several of which one is looked into."""
    content = (repo.first_bytes(first, FIRST_BYTES) if repo.left else None) or b""
    head = read_head(content)
    if head and len(content) < head.needs <= _LONGEST and repo.left:
        content += repo.first_bytes(first, head.needs - len(content), len(content)) or b""
        head = read_head(content)
    if not head or not head.tensors:
        return Tensors(total_bytes=told, source="parameters" if told else "config")
    stored = summary(head.tensors, head.tensors, _layers(config))
    whole = len(files) <= 1 and len(content) >= head.needs
    checked = _checked(stored, config, (told,), seen_all=True)
    return checked if whole else _beside_the_config(checked, config, told)


def _beside_the_config(seen: Tensors, config: dict[str, Any], told: int) -> Tensors:
    """Of tensors that were seen in part: the config's own list, with the dtypes and shapes that were seen."""
    known = {one.name: one for one in seen.stored}
    made = family_tensors(config) or ()
    stored = tuple(
        one._replace(dtype=known[one.name].dtype, shape=known[one.name].shape) if one.name in known else one
        for one in made
    )
    size = round(sum(one.size for one in stored))
    return Tensors(stored=stored, total_bytes=told or size, complete=False, source="headers")


def _others(repo: Repo, names: list[str], config: dict[str, Any], told: int) -> Tensors:
    """No safetensors: what the index says, and how large the files are."""
    index = repo.json_file(_BIN_INDEX) if _BIN_INDEX in names and repo.left else None
    where = (index or {}).get("weight_map")
    total = ((index or {}).get("metadata") or {}).get("total_size")
    files = [file for ending in ("bin", "pt", "gguf") for file in weight_files(names, ending)]
    sizes = (repo.sizes() or {}) if files and repo.left else {}
    weights = [sizes.get(file, 0) for file in files]
    known = int(total) if isinstance(total, int | float) else sum(weights)
    stored = summary(where, {}, _layers(config)) if isinstance(where, dict) else ()
    stored = _completed(stored, config) if stored else ()
    stored = tuple(one for one in stored if one.dtype != UNKNOWN)
    source: Source = "index" if where else "files" if known else "config"
    return Tensors(stored=stored, total_bytes=known or told, source=source, largest_file=max(weights, default=0))


def _checked(stored: tuple[Stored, ...], config: dict[str, Any], totals: tuple[int, ...], seen_all: bool) -> Tensors:
    """The list with what follows from the config, held against the totals that there are."""
    whole = _completed(stored, config)
    size = sum(one.size for one in whole)
    unknown = any(one.dtype == UNKNOWN for one in whole)
    given = [total for total in totals if total]
    agrees = not given or any(abs(size - total) <= _AGREES * total for total in given)
    total = round(size) if not unknown and agrees else (given[0] if given else 0)
    source: Source = "headers" if seen_all else "index"
    return Tensors(stored=whole, total_bytes=total, complete=not unknown and agrees, source=source)


def _completed(stored: tuple[Stored, ...], config: dict[str, Any]) -> tuple[Stored, ...]:
    """Shapes that no header told, from the config: the same tensor, or one that has the same shape by nature."""
    if all(one.dtype != UNKNOWN for one in stored):
        return stored
    made = {_tail(one.name): one for one in family_tensors(config) or ()}
    seen = [one for one in stored if one.dtype != UNKNOWN]
    floats = [one.dtype for one in seen if one.dtype in FLOATS and one.name.endswith((".weight", ".bias"))]
    dtype = max(set(floats), key=floats.count) if floats else UNKNOWN
    text = text_config(config)
    vocab, hidden = text.get("vocab_size"), text.get("hidden_size") or text.get("n_embd")
    table = next((one.shape for one in seen if len(one.shape) > 1 and one.shape[0] == vocab), None)
    if table is None and vocab and hidden:
        table = vocab, hidden

    def filled(one: Stored) -> Stored:
        tail = _tail(one.name)
        if one.dtype != UNKNOWN:
            return one
        if like := made.get(tail):
            converted = like.dtype in FLOATS and one.name.endswith((".weight", ".bias"))
            return one._replace(dtype=(dtype or like.dtype) if converted else like.dtype, shape=like.shape)
        if tail in _TABLES and table:
            return one._replace(dtype=dtype, shape=table)
        if tail.endswith("norm.weight") and not one.layers and hidden:
            return one._replace(dtype=dtype, shape=(hidden,))
        return one

    return tuple(filled(one) for one in stored)


_TABLES = frozenset({"lm_head.weight", "embed_tokens.weight", "output.weight", "tok_embeddings.weight", "wte.weight"})


def _tail(name: str) -> str:
    """A name without what comes before its layer: repos differ there."""
    return name.rpartition("layers.*.")[2].rpartition("h.*.")[2].removeprefix("language_model.").removeprefix("model.")


def _layers(config: Mapping[str, Any]) -> int | None:
    text = text_config(config)
    found = text.get("num_hidden_layers") or text.get("n_layer")
    return found if isinstance(found, int) else None
