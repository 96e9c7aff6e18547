"""A directory that another sender is just making is waited for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from sarra_lite.delivery import directories
from sarra_lite.sftp.client import Attributes


def made(state: str) -> Attributes:
    """Return what the server tells of a directory that is or was made now."""
    now = int(time.time())
    match state:
        case "new":  # with the umask 022
            return Attributes(mode=0o40755, mtime=now, atime=now)
        case "finished":
            return Attributes(mode=0o40775, mtime=now, atime=1)
        case _:
            return Attributes(mode=0o40755, mtime=now - 3600, atime=1)


class Client:
    """Has a directory that changes after each look at it."""

    def __init__(self, *states: str) -> None:
        """Begin with the first state."""
        self.states = list(states)

    async def stat(self, _: str) -> Attributes:
        return made(self.states.pop(0))


@pytest.mark.parametrize(
    ("states", "ours"),
    [
        (["new", "finished"], True),
        (["new", "new"], False),
        (["old"], False),
        (["finished"], True),
    ],
)
def test_what_another_sender_is_just_making_in_passing_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, states: list[str], *, ours: bool
) -> None:
    monkeypatch.setattr(directories, "_SET_BY", 0.0)
    client: Any = Client(*states)
    found = asyncio.run(directories.existing(client, "d", 0o700, 0o775))
    assert client.states == []
    assert directories.made_in_passing(found, 0o775) == ours
