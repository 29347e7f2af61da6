"""What tensors a checkpoint stores: names as patterns, dtypes, shapes and counts; small enough to be cached.

A name's first number is its layer and its second its expert: both become `*`, and tensors that differ only
there are one entry.  Names and totals come from the index of a sharded checkpoint, dtypes and shapes from the
headers of its files.

Source of the format: https://huggingface.co/docs/safetensors (8 bytes of length, a JSON header, the tensors).
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

# Bytes of one element, by the name that safetensors gives a dtype.  Packed int4 is stored as I32 or U8.
DTYPE_BYTES: dict[str, float] = (
    dict.fromkeys(("F64", "I64", "U64"), 8.0)
    | dict.fromkeys(("F32", "I32", "U32"), 4.0)
    | dict.fromkeys(("F16", "BF16", "I16", "U16"), 2.0)
    | dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I8", "U8", "BOOL"), 1.0)
    | {"F6_E2M3": 0.75, "F6_E3M2": 0.75, "F4": 0.5}
)
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})  # what a model's dtype replaces while loading
UNKNOWN = ""  # the dtype of a tensor whose header wasn't read

_PREDICTION = "nextn."  # put before what belongs to layers after the last: multi-token prediction, not loaded
_DECODER = re.compile(r"(model\.|language_model\.|backbone\.)*layers\.\*\.")  # not a vision tower's
_LENGTH_BYTES = 8
# One entry of a header, whatever comes first in it; for headers that were read in part.
_ENTRY = re.compile(r'"([^"\\]+)"\s*:\s*(\{[^{}]*"data_offsets"[^{}]*\})')

Source = Literal["headers", "index", "parameters", "files", "config"]


class Stored(NamedTuple):
    """Tensors of one pattern, dtype and shape, and how many.

    `layers`: in how many layers they are; 0 for what is outside of layers.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    number: int = 1
    layers: int = 0

    @property
    def elements(self) -> int:
        """Of one tensor."""
        return prod(self.shape)

    @property
    def size(self) -> float:
        """Bytes of all of them in the file."""
        return self.elements * self.number * DTYPE_BYTES.get(self.dtype, 0.0)


class Tensors(BaseModel):
    """The tensors of a checkpoint.

    `total_bytes`: of all tensors as stored, by the best total there is; 0 where none is known.
    `complete`: every tensor's shape was read or follows from one that was.
    `largest_file`: bytes of the largest weight file, 0 where sizes weren't asked for.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    stored: tuple[Stored, ...] = ()
    total_bytes: int = 0
    complete: bool = False
    source: Source = "config"
    largest_file: int = 0


class Head(NamedTuple):
    """The start of a safetensors file: `length` of its header in bytes, and the tensors that were in reach."""

    length: int
    tensors: dict[str, tuple[str, tuple[int, ...]]]

    @property
    def needs(self) -> int:
        """Bytes from the start of the file up to the end of the header."""
        return _LENGTH_BYTES + self.length


_LONGEST_HEADER = 100_000_000  # what safetensors itself takes


def read_head(content: bytes) -> Head | None:
    """The header in the first bytes of a file, as far as they go; None when it is none."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    text = content[_LENGTH_BYTES : _LENGTH_BYTES + length]
    if not 0 < length <= _LONGEST_HEADER or not text.startswith(b"{"):
        return None
    try:
        if len(text) == length:
            entries = json.loads(text)
        else:
            entries = {found[1]: json.loads(found[2]) for found in _ENTRY.finditer(text.decode(errors="replace"))}
        tensors = dict(_tensor(name, entry) for name, entry in entries.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError):
        return None
    return Head(length, tensors)


def _tensor(name: str, entry: Mapping[str, Any]) -> tuple[str, tuple[str, tuple[int, ...]]]:
    return name, (str(entry["dtype"]), tuple(int(size) for size in entry["shape"]))


def pattern(name: str, layers: int | None = None) -> tuple[str, int | None]:
    """The name with `*` for its numbers, and its layer.  `layers`: how many the model has, when known."""
    pieces = name.split(".")
    places = [place for place, piece in enumerate(pieces[:-1]) if piece.isdigit()]
    layer = int(pieces[places[0]]) if places else None
    for place in places:
        pieces[place] = "*"
    text = ".".join(pieces)
    if layer is not None and layers is not None and layer >= layers and _DECODER.match(text):
        text = _PREDICTION + text
    return text, layer


def is_prediction(name: str) -> bool:
    """True for a tensor of a multi-token prediction head, which is loaded only for speculation."""
    return name.startswith((_PREDICTION, "mtp.", "model.mtp."))


def summary(
    names: Iterable[str], seen: Mapping[str, tuple[str, tuple[int, ...]]], layers: int | None = None
) -> tuple[Stored, ...]:
    """All of `names` by pattern, with the dtypes and shapes of those of them that were seen.

    Of a pattern that was seen with several shapes each gets its share of the tensors that weren't.
    """
    counts: Counter[str] = Counter()
    where: defaultdict[str, set[int]] = defaultdict(set)
    shapes: defaultdict[str, Counter[tuple[str, tuple[int, ...]]]] = defaultdict(Counter)
    for name in names:
        text, layer = pattern(name, layers)
        counts[text] += 1
        if layer is not None:
            where[text].add(layer)
        if known := seen.get(name):
            shapes[text][known] += 1
    stored: list[Stored] = []
    for text, count in counts.items():
        kinds = shapes[text].most_common() or [((UNKNOWN, ()), 1)]
        of_layers, sample = len(where[text]), sum(number for _, number in kinds)
        left = count
        for place, ((dtype, shape), number) in enumerate(kinds):
            share = left if place == len(kinds) - 1 else min(left, round(count * number / sample))
            left -= share
            if share:
                stored.append(Stored(text, dtype, shape, share, round(of_layers * share / count)))
    return tuple(stored)


def bytes_of(parameters: Mapping[str, int]) -> int:
    """Bytes of elements counted by dtype, as the Hub tells them of a repo with safetensors."""
    return round(sum(DTYPE_BYTES.get(dtype, 0.0) * count for dtype, count in parameters.items()))
