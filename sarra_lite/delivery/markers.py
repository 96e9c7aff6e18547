"""Names in the marker directory of a file that is sent in blocks, without input or output.

``<number>`` marks a block that is written, ``<number>.failed`` one that was given up.
``<number>.<bytes>.<token>.claim`` belongs to a connection that is writing a block, and
``<number>.<bytes>.<token>.part`` is left by one that was told to stop: so many bytes at the
beginning of the block are written.  The claim of a connection that was lost stays.
``<token>.probe`` is there for a moment, to read the server's clock.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

FAILED: Final = ".failed"
_PARTIAL: Final = re.compile(r"(\d+)\.(\d+)\.\w+\.(claim|part)", re.ASCII)
_OTHER: Final = re.compile(r"\d+(\.failed)?|[0-9a-f]+\.probe", re.ASCII)


class Markers:
    """Blocks that are written, given up, and written in part.

    ``names``: all names in the directory.  ``claimed``: there are claims.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Sort the names of a marker directory."""
        self.names = names
        self.written = {int(name) for name in names if name.isdecimal()}
        failed = {name.removesuffix(FAILED) for name in names if name.endswith(FAILED)}
        self.failed = {int(name) for name in failed if name.isdecimal()} - self.written
        self._partial = [found for name in names if (found := _PARTIAL.fullmatch(name))]
        self.claimed = any(found[3] == "claim" for found in self._partial)

    def written_bytes(self, number: int) -> int:
        """Return how many bytes at the beginning of a block are written."""
        found = (int(found[2]) for found in self._partial if int(found[1]) == number)
        return max(found, default=0)

    def parts(self, number: int) -> list[str]:
        """Return the names that connections told to stop have left for a block."""
        return [
            found[0] for found in self._partial if int(found[1]) == number and found[3] == "part"
        ]


def partial_name(number: int, written: int, token: str, kind: str) -> str:
    """Return a name for a block that is written in part; ``kind``: "claim" or "part"."""
    return f"{number}.{written}.{token}.{kind}"


def is_marker(name: str) -> bool:
    """Return whether a name is one that senders make in a marker directory."""
    return bool(_PARTIAL.fullmatch(name) or _OTHER.fullmatch(name))
