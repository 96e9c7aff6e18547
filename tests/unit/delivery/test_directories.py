"""A directory that another sender is just making is waited for."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from sarra_lite.delivery import directories
from sarra_lite.sftp.client import Attributes

NOW = int(time.time())
NEW = Attributes(mode=0o40755, mtime=NOW, atime=NOW)  # made with the umask 022
MADE = Attributes(mode=0o40775, mtime=NOW, atime=1)
OLD = Attributes(mode=0o40755, mtime=NOW - 3600, atime=1)


class Client:
    """Has a directory that changes after each look at it."""

    def __init__(self, *states: Attributes) -> None:
        """Begin with the first state."""
        self.states = list(states)

    async def stat(self, _: str) -> Attributes:
        return self.states.pop(0)


@pytest.mark.parametrize(
    ("states", "ours"), [([NEW, MADE], True), ([NEW, NEW], False), ([OLD], False), ([MADE], True)]
)
def test_what_another_sender_is_just_making_in_passing_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, states: list[Attributes], *, ours: bool
) -> None:
    monkeypatch.setattr(directories, "_SET_BY", 0.0)
    client: Any = Client(*states)
    found = asyncio.run(directories.existing(client, "d", 0o700, 0o775))
    assert client.states == []
    assert directories.made_in_passing(found, 0o775) == ours
