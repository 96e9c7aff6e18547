"""Which limit of the destination is told, from what statvfs answers for each directory."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import Any

import pytest

from sarra_lite.delivery import space
from sarra_lite.errors import DestinationFull

MIB = 1024 * 1024
ROOT, DISK = (500, 400, 1), (1000, 900, 7)


def absolute(path: str) -> str:
    return os.path.normpath(f"/home/ear001/{path}") if path[:1] != "/" else path


@dataclass
class Answers:
    """A client whose server answers statvfs with (MiB in all, MiB left, file system)."""

    numbers: dict[str, tuple[int, int, int]]

    async def statvfs(self, path: str) -> os.statvfs_result | None:
        if (found := self.numbers.get(absolute(path))) is None:
            return None
        total, left, system = found
        return os.statvfs_result((MIB, MIB, total, left, left, 9, 9, 9, 0, 255, system))

    async def realpath(self, path: str) -> str:
        return absolute(path)


def told(numbers: dict[str, tuple[int, int, int]], path: str, needed: int) -> str:
    client: Any = Answers(numbers)
    with pytest.raises(DestinationFull) as error:
        asyncio.run(space.check_fits(client, path, needed))
    return str(error.value).removeprefix("destination: no space left: ")


@pytest.mark.parametrize("path", ["a/b/f", "/home/ear001/a/b/f", "f"])
def test_the_quota_of_a_directory_is_told_with_its_path(path: str) -> None:
    home = (50, 20, 7)
    numbers = {"/": ROOT, "/home": DISK, "/home/ear001": home, "/home/ear001/a": home}
    expected = "30.0 MiB needed, 20.0 MiB of 50.0 MiB left, quota of /home/ear001"
    assert told(numbers, path, 30 * MIB) == expected


def test_a_quota_within_a_quota_is_told_with_the_inner_one() -> None:
    numbers = {"/": ROOT, "/home": DISK, "/home/ear001": (50, 40, 7), "/home/ear001/a": (30, 3, 7)}
    assert told(numbers, "a/f", 20 * MIB).endswith(
        "3.0 MiB of 30.0 MiB left, quota of /home/ear001/a"
    )


@pytest.mark.parametrize("above", [ROOT, None])
def test_a_full_file_system_is_told_with_its_mount_point(above: tuple[int, int, int]) -> None:
    numbers = {"/home": DISK, "/home/ear001": DISK} | ({"/": above} if above else {})
    text = "1.0 GiB needed, 900.0 MiB of 1000.0 MiB left, file system of /home"
    assert told(numbers, "f", 1024 * MIB) == text


@pytest.mark.parametrize(
    ("numbers", "needed"),
    [
        ({}, 10**15),  # a server that does not tell
        ({"/home/ear001": (0, 0, 7)}, 10**15),  # one without numbers
        ({"/home/ear001": (1000, 1, 7)}, 2 * MIB),  # a small file: its write tells
        ({"/home/ear001": (1000, 20, 7)}, 20 * MIB),  # it fits
    ],
)
def test_what_is_not_known_not_to_fit_is_sent(
    numbers: dict[str, tuple[int, int, int]], needed: int
) -> None:
    client: Any = Answers(numbers)
    asyncio.run(space.check_fits(client, "f", needed))


@pytest.mark.parametrize(("left", "told"), [(20, "no more names, "), (0, "0 B of 50.0 MiB left, ")])
def test_a_write_that_failed_tells_whether_bytes_or_names_are_used_up(left: int, told: str) -> None:
    client: Any = Answers({"/home/ear001": (50, left, 7)})
    directory, found = asyncio.run(space.innermost(client, "f"))
    assert found is not None
    error = asyncio.run(space.full(client, directory, found))
    assert str(error).startswith(f"destination: no space left: {told}")
