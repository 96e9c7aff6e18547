"""Blocks cover a file exactly once, and identities are those of sr3."""

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
def test_announcements_of_a_file_have_one_version_and_different_keys(size: int) -> None:
    pieces = list(blocks.split(whole(size), 50 * MIB))
    assert len({piece.key for piece in pieces}) == len(pieces)
    assert len({(piece.pub_time, piece.version) for piece in pieces}) == 1


def test_block_size_grows_with_the_file_between_two_limits() -> None:
    assert blocks.block_size(10, 0) == 16 * MIB
    assert blocks.block_size(500 * 1024**3, 0) == 512 * MIB
    assert blocks.block_size(10 * 1024**4, 0) == 1024 * MIB
    assert blocks.block_size(3 * 1024**4, 0) == 1024 * MIB


def test_block_size_1_never_divides_a_file_and_larger_values_are_used_unchanged() -> None:
    assert blocks.block_size(10**12, 1) == 10**12
    assert blocks.block_size(10**12, 12345) == 12345


def test_only_large_files_announced_in_one_piece_with_an_mtime_are_divided() -> None:
    large = whole(200 * MIB)
    assert blocks.should_split(large, 0)
    assert not blocks.should_split(whole(16 * MIB), 0)
    assert not blocks.should_split(next(blocks.split(large, 0)), 0)
    assert not blocks.should_split(msgspec.structs.replace(large, mtime=None), 0)
    assert not blocks.should_split(msgspec.structs.replace(large, file_op={"rename": "/x"}), 0)


def test_a_block_is_decoded_as_it_was_encoded() -> None:
    for piece in blocks.split(whole(3_000_000), 10**6):
        assert v03.decode(v03.encode(piece)) == piece


def test_the_fingerprint_of_a_file_is_that_of_sr3(tmp_path: Path) -> None:
    file = tmp_path / "hello.txt"
    file.write_text("hello\n")
    identity = blocks.hash_file(str(file), "sha512")
    assert identity.value.startswith("58IrmUxZ2c8rSOVJseJGZmNgRZMNPafBrLKZ0cO3")
    assert identity == blocks.identity("sha512", hashlib.sha512(b"hello\n").digest())
