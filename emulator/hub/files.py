"""The files of a repo and their bytes.

A safetensors file is its 8-byte length and JSON header, true to the byte, and zeros for the
tensors, made when they are asked for. A .bin file is a size.
"""

import hashlib
import io
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from emulator.hub.catalog import Repo
from emulator.hub.tensors import Tensor, tensors

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_PIECE = 2**20  # up to here a body is plain bytes
_BIN_OVERHEAD = 512  # bytes a tensor costs in a torch zip file: directory entries, alignment
_ALIGN = 8


class File(NamedTuple):
    """`head` is what the file starts with; zeros fill it up to `size`."""

    path: str
    size: int
    head: bytes
    lfs: bool

    @property
    def oid(self) -> str:
        """The git blob id of a small file, the sha256 of an LFS one (made up: its bytes never existed)."""
        if self.lfs:
            return hashlib.sha256(f"{self.path} {self.size}".encode() + self.head).hexdigest()
        content = f"blob {self.size}\0".encode() + self.head
        return hashlib.sha1(content, usedforsecurity=False).hexdigest()

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` up to `stop`.

        A long range comes as a reader that makes them as they are sent: aiohttp and `responses` take
        a BufferedReader wherever they take bytes.
        """
        if stop - start > _PIECE:
            return cast("bytes", io.BufferedReader(_Stored(self.head, start, stop), _PIECE))
        return self.head[start:stop].ljust(stop - start, b"\0")


class _Stored(io.RawIOBase):
    """A range of a file whose bytes are its head and zeros."""

    def __init__(self, head: bytes, start: int, stop: int) -> None:
        self._head, self._start, self._at, self._stop = head, start, start, stop

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._at, io.SEEK_END: self._stop}[whence]
        self._at = base + offset
        return self._at - self._start

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        count = max(0, min(len(view), self._stop - self._at))
        view[:count] = self._head[self._at : self._at + count].ljust(count, b"\0")
        self._at += count
        return count


@lru_cache(maxsize=64)
def stored_tensors(repo: Repo) -> tuple[Tensor, ...]:
    """The tensors in the repo's weight files, buffers included."""
    return tuple(tensors(repo.config, repo.dtype))


@lru_cache(maxsize=64)
def files(repo: Repo) -> dict[str, File]:
    """Every file of the repo by its path."""
    positions = repo.config.get("max_position_embeddings") or repo.config["n_positions"]
    tokenizer: dict[str, Any] = {"model_max_length": positions}
    if repo.chat_template:
        tokenizer["chat_template"] = repo.chat_template
    small = {
        "config.json": repo.config,
        "generation_config.json": {"do_sample": True, "transformers_version": "4.43.1"},
        "tokenizer_config.json": tokenizer,
    }
    texts = [_text(path, value) for path, value in small.items()]
    return {file.path: file for file in sorted([*texts, *_weights(repo)])}


def _text(path: str, value: Any) -> File:
    content = json.dumps(value, indent=2).encode() + b"\n"
    return File(path, len(content), content, lfs=False)


def _weights(repo: Repo) -> list[File]:
    stem, make = ("model", _safetensors) if repo.weights == "safetensors" else ("pytorch_model", _bin)
    shards = _split(stored_tensors(repo), repo.shard_bytes)
    if len(shards) == 1:
        return [make(f"{stem}.{repo.weights}", shards[0])]
    names = [f"{stem}-{n:05d}-of-{len(shards):05d}.{repo.weights}" for n in range(1, len(shards) + 1)]
    index = {
        "metadata": {"total_size": sum(tensor.size for shard in shards for tensor in shard)},
        "weight_map": {tensor.name: name for name, shard in zip(names, shards, strict=True) for tensor in shard},
    }
    written = [make(name, shard) for name, shard in zip(names, shards, strict=True)]
    return [*written, _text(f"{stem}.{repo.weights}.index.json", index)]


def _split(all_tensors: Iterable[Tensor], limit: int) -> list[list[Tensor]]:
    """Fill shards in order, each up to `limit` bytes."""
    shards: list[list[Tensor]] = [[]]
    filled = 0
    for tensor in all_tensors:
        if shards[-1] and filled + tensor.size > limit:
            shards.append([])
            filled = 0
        shards[-1].append(tensor)
        filled += tensor.size
    return shards


def _safetensors(path: str, shard: list[Tensor]) -> File:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in shard:
        header[tensor.name] = {
            "dtype": tensor.dtype,
            "shape": tensor.shape,
            "data_offsets": [end, end + tensor.size],
        }
        end += tensor.size
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // _ALIGN) * _ALIGN)
    head = len(text).to_bytes(8, "little") + text
    return File(path, len(head) + end, head, lfs=True)


def _bin(path: str, shard: list[Tensor]) -> File:
    size = sum(tensor.size + _BIN_OVERHEAD for tensor in shard)
    return File(path, size, b"PK\x03\x04", lfs=True)
