"""Checks that the reports in xlog are all there, and as they were written."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from sarra_lite.messages import chain

if TYPE_CHECKING:
    from collections.abc import Mapping

_WRITERS: Final = 1000  # the last ones; each connection of sr_src2log is one
_REPEATED: Final = 2000  # reports that a writer may send again, since the broker rejected one

CHANGED, MISSING, UNLINKED = "changed", "missing", "unlinked"
KINDS: Final = (CHANGED, MISSING, UNLINKED)

Ends = dict[str, tuple[int, str]]  # number and hash of the last report, by writer


class _Written:
    """The hashes of a writer's last reports by number; ``first`` is the lowest one.

    It is kept, since the lowest of thousands is too slow to look for with each report.
    """

    def __init__(self) -> None:
        self.hashes: dict[int, str] = {}
        self.first = 0

    def add(self, number: int, own: str) -> None:
        """Keep a hash, and drop the first one when there are too many."""
        self.first = min(self.first, number) if self.hashes else number
        self.hashes[number] = own
        if len(self.hashes) > _REPEATED:
            del self.hashes[self.first]
            following = self.first + 1
            self.first = following if following in self.hashes else min(self.hashes)


class Chains:
    """The last reports of each writer.

    Who reads from the middle of a stream, or after a gap, begins anew with each writer.
    """

    def __init__(self, ends: Mapping[str, tuple[int, str]]) -> None:
        """``ends``: where each writer was, when all before it was checked."""
        self._writers: OrderedDict[str, _Written] = OrderedDict()
        self._moved: set[str] = set()
        for writer, (number, last) in ends.items():
            self._writers.setdefault(writer, _Written()).add(number, last)

    def check(self, body: bytes) -> str | None:
        """Take the next report of the stream; return what is wrong with the chain, one of KINDS."""
        link = chain.link_of(body)
        if link is None:
            return UNLINKED if self._writers else None
        known = self._writers.setdefault(link.writer, _Written())
        self._writers.move_to_end(link.writer)
        self._moved.add(link.writer)
        own = chain.hash_of(body)
        wrong = self._compare(known, link, own)
        if wrong is None or link.number not in known.hashes:
            known.add(link.number, own)
        if len(self._writers) > _WRITERS:
            self._writers.popitem(last=False)
        return wrong

    @staticmethod
    def _compare(known: _Written, link: chain.Link, own: str) -> str | None:
        if not known.hashes or link.number < known.first:  # nothing is known of what was before it
            return None
        if link.number in known.hashes:
            return None if known.hashes[link.number] == own else CHANGED
        before = known.hashes.get(link.number - 1)
        if before is None:
            return MISSING
        return None if before == link.before else CHANGED

    def moved(self) -> Ends:
        """Return the last report of each writer of which there are any since the last call."""
        moved, self._moved = self._moved & self._writers.keys(), set()
        return {writer: max(self._writers[writer].hashes.items()) for writer in moved}
