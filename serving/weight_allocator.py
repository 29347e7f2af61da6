"""What PyTorch's caching allocator makes of a model's tensors: the bytes that vLLM logs as "Model loading took".

vLLM takes the figure from `torch.cuda.max_memory_allocated` (platforms/cuda.py, get_current_memory_usage), which
counts blocks, not tensors.  A block is what c10/cuda/CUDACachingAllocator.cpp hands out:

    up to 1 MiB          rounded to 512 bytes
    1 to 10 MiB          cut from a segment of 20 MiB
    from 10 MiB          a segment rounded to 2 MiB
    what is left over    becomes a block of its own when it is larger than 1 MiB, else it stays in the block

Since 0.21 vLLM loads weights with `max_split_size_mb:20` (v1/worker/gpu_worker.py, _scoped_allocator_max_split):
what has 20 MiB or more is never cut, and may take a free block that is up to 20 MiB larger.
"""

from __future__ import annotations

from bisect import bisect_left, insort

MIB = 2**20
_ROUND = 512
_SMALL = MIB
_LARGE_BUFFER = 20 * MIB
_MIN_LARGE = 10 * MIB
_ROUND_LARGE = 2 * MIB
NEVER_SPLIT_SINCE = (0, 21)  # the release with _scoped_allocator_max_split (vllm#41268)


class Allocator:
    """The large pool of one device.  `allocated`: bytes in blocks that are in use."""

    def __init__(self, *, max_split: int | None) -> None:
        self.allocated = 0
        self._max_split = max_split
        self._free: list[int] = []

    def take(self, size: float) -> int:
        """Allocates `size` bytes and returns the block's size, to be given back to `free`."""
        wanted = -(-int(size) // _ROUND) * _ROUND
        block = wanted if wanted <= _SMALL else self._large(wanted)
        self.allocated += block
        return block

    def free(self, block: int) -> None:
        self.allocated -= block
        if block > _SMALL:
            insort(self._free, block)

    def _large(self, wanted: int) -> int:
        block = self._reused(wanted)
        if block is None:
            block = _LARGE_BUFFER if wanted < _MIN_LARGE else -(-wanted // _ROUND_LARGE) * _ROUND_LARGE
        left = block - wanted
        if left <= _SMALL or (self._max_split is not None and wanted >= self._max_split):
            return block
        insort(self._free, left)
        return wanted

    def _reused(self, wanted: int) -> int | None:
        place = bisect_left(self._free, wanted)
        if place == len(self._free):
            return None
        block = self._free[place]
        limit = self._max_split
        if limit is not None and ((wanted < limit <= block) or (wanted >= limit and block >= wanted + _LARGE_BUFFER)):
            return None
        return self._free.pop(place)
