"""Blocks cover a file exactly once, whatever its size."""

import hashlib
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.messages import blocks, v03
from sarra_lite.messages.v03 import Announcement

MIB = 1024**2
SIZES = st.integers(1, 10**9)


def whole(size: int) -> Announcement:
    return Announcement("20260101T000000", "file:/", "d/f", size=size, mtime="20260101T000000")


@given(SIZES, st.integers(10**6, 10**8))
def test_blocks_cover_the_file_once_and_in_order(size: int, step: int) -> None:
    *pieces, finish = blocks.split(whole(size), step)
    end = 0
    for piece in pieces:
        assert piece.blocks is not None
        assert piece.blocks.offset == end
        assert 0 < piece.blocks.length <= step
        end += piece.blocks.length
    assert end == size
    assert finish.is_finish
    assert all(piece.size == piece.blocks.file_size == size for piece in pieces if piece.blocks)


@given(SIZES)
def test_all_messages_of_a_file_belong_together_and_are_told_apart(size: int) -> None:
    pieces = list(blocks.split(whole(size), 50 * MIB))
    assert len({piece.key for piece in pieces}) == len(pieces)
    assert len({(piece.pub_time, piece.version) for piece in pieces}) == 1


def test_block_size_grows_with_the_file_between_its_bounds() -> None:
    assert blocks.block_size(10, 0) == 16 * MIB
    assert blocks.block_size(500 * 1024**3, 0) == 512 * MIB
    assert blocks.block_size(10 * 1024**4, 0) == 1024 * MIB
    assert blocks.block_size(3 * 1024**4, 0) == 1024 * MIB


def test_one_never_cuts_and_a_number_is_taken_as_it_is() -> None:
    assert blocks.block_size(10**12, 1) == 10**12
    assert blocks.block_size(10**12, 12345) == 12345


def test_only_large_whole_files_that_tell_their_time_are_cut() -> None:
    large = whole(200 * MIB)
    assert blocks.should_split(large, 0)
    assert not blocks.should_split(whole(16 * MIB), 0)
    assert not blocks.should_split(next(blocks.split(large, 0)), 0)
    assert not blocks.should_split(msgspec.structs.replace(large, mtime=None), 0)
    assert not blocks.should_split(msgspec.structs.replace(large, file_op={"rename": "/x"}), 0)


def test_a_block_looks_the_same_on_the_other_side() -> None:
    for piece in blocks.split(whole(3_000_000), 10**6):
        assert v03.decode(v03.encode(piece)) == piece


def test_a_file_is_fingerprinted_as_sr3_does(tmp_path: Path) -> None:
    file = tmp_path / "hello.txt"
    file.write_text("hello\n")
    found = blocks.hash_file(str(file), "sha512")
    assert found.value.startswith("58IrmUxZ2c8rSOVJseJGZmNgRZMNPafBrLKZ0cO3")
    assert found == blocks.identity("sha512", hashlib.sha512(b"hello\n").digest())
