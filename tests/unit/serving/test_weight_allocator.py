"""The invariant: blocks are cut as PyTorch's caching allocator cuts them, with and without a largest size to split."""

import pytest

from serving.weight_allocator import MIB, Allocator

LIMIT = 20 * MIB


@pytest.mark.parametrize(
    ("size", "block"),
    [
        (1, 512),
        (513, 1024),
        (MIB, MIB),
        (2 * MIB, 2 * MIB),
        (9 * MIB + 1, 9 * MIB + 512),
        (10 * MIB, 10 * MIB),
        (11 * MIB, 12 * MIB),  # what is left over is 1 MiB: too little to be a block
        (int(12.5 * MIB), int(12.5 * MIB)),  # 1.5 MiB are cut off
        (int(24.5 * MIB), 26 * MIB),  # but nothing is from a block that may not be split
    ],
)
def test_a_new_block(size: int, block: int) -> None:
    assert Allocator(max_split=LIMIT).take(size) == block


def test_without_a_limit_every_rest_of_more_than_a_mebibyte_is_cut_off() -> None:
    assert Allocator(max_split=None).take(24.5 * MIB) == 24.5 * MIB
    assert Allocator(max_split=None).take(25.5 * MIB) == 26 * MIB


def test_segments_of_20_mebibytes_are_shared() -> None:
    pool = Allocator(max_split=LIMIT)
    assert [pool.take(size * MIB) for size in (9, 9, 2)] == [9 * MIB, 9 * MIB, 2 * MIB]
    assert pool.take(1.5 * MIB) == 1.5 * MIB, "a new segment"


def test_a_little_rest_stays_with_the_last_of_a_segment() -> None:
    pool = Allocator(max_split=LIMIT)
    pool.take(9 * MIB)
    pool.take(9 * MIB)
    assert pool.take(1.5 * MIB) == 2 * MIB


def test_a_free_block_is_taken_whole_when_it_is_little_larger() -> None:
    pool = Allocator(max_split=LIMIT)
    pool.free(pool.take(64 * MIB))
    assert pool.take(48 * MIB) == 64 * MIB
    pool.free(pool.take(64 * MIB))
    assert pool.take(40 * MIB) == 40 * MIB, "24 MiB more are too many"
    assert pool.take(8 * MIB) == 8 * MIB, "nor do small ones take a large block"


def test_without_a_limit_a_free_block_is_cut() -> None:
    pool = Allocator(max_split=None)
    pool.free(pool.take(64 * MIB))
    assert pool.take(48 * MIB) == 48 * MIB
    assert pool.take(16 * MIB) == 16 * MIB
    assert pool.allocated == 64 * MIB


def test_what_is_given_back_no_longer_counts() -> None:
    pool = Allocator(max_split=LIMIT)
    block = pool.take(30 * MIB)
    small = pool.take(1000)
    assert pool.allocated == 30 * MIB + 1024
    pool.free(block)
    pool.free(small)
    assert pool.allocated == 0
