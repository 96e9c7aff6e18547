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


class Chains:
    """The last reports of each writer.

    Who reads from the middle of a stream, or after a gap, begins anew with each writer.
    """

    def __init__(self, ends: Mapping[str, tuple[int, str]]) -> None:
        """``ends``: where each writer was, when all before it was checked."""
        self._hashes: OrderedDict[str, dict[int, str]] = OrderedDict()
        self._moved: set[str] = set()
        for writer, (number, last) in ends.items():
            self._hashes[writer] = {number: last}

    def check(self, body: bytes) -> str | None:
        """Take the next report of the stream; return what is wrong with the chain, one of KINDS."""
        link = chain.link_of(body)
        if link is None:
            return UNLINKED if self._hashes else None
        known = self._hashes.setdefault(link.writer, {})
        self._hashes.move_to_end(link.writer)
        self._moved.add(link.writer)
        own = chain.hash_of(body)
        wrong = self._compare(known, link, own)
        if wrong is None or link.number not in known:
            known[link.number] = own
        if len(known) > _REPEATED:
            del known[min(known)]
        if len(self._hashes) > _WRITERS:
            self._hashes.popitem(last=False)
        return wrong

    @staticmethod
    def _compare(known: dict[int, str], link: chain.Link, own: str) -> str | None:
        if not known or link.number < min(known):  # nothing is known of what was before it
            return None
        if link.number in known:
            return None if known[link.number] == own else CHANGED
        before = known.get(link.number - 1)
        if before is None:
            return MISSING
        return None if before == link.before else CHANGED

    def moved(self) -> Ends:
        """Return the last report of each writer of which there are any since the last call."""
        moved, self._moved = self._moved & self._hashes.keys(), set()
        return {writer: max(self._hashes[writer].items()) for writer in moved}
