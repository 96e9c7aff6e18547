"""Converts sr3's fileEvents: what is announced, and what a sender does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sarra_lite.config.shared import EVENTS

if TYPE_CHECKING:
    from sarra_lite.sr3.reader import Line

# sr3's events, which are all in its default, and ours.
_OURS: Final = {
    "create": ("create",),
    "delete": ("remove",),
    "link": ("link",),
    "mkdir": ("mkdir",),
    "modify": ("modify", "attributes"),
    "rename": ("rename",),
    "rmdir": ("remove",),
}
_REMOVALS: Final = (
    "Removals will be made: what is {} at the source is {} at the destination, as by sr3;"
    " without that in events it is kept."
)


class EventConverter:
    """Takes the lines in order; ``names`` are our events, by default those of sr3."""

    def __init__(self) -> None:
        """Begin with sr3's default."""
        self._events = set(_OURS)

    def take(self, line: Line) -> None:
        """Take a line: events, or with + and - what to add to those so far and to leave out.

        Raises ValueError with the events that are unknown, and for a removal of only files or only
        directories.
        """
        words = [] if line.text == "None" else line.text.replace(",", " ").split()
        if not all(word[0] in "+-" for word in words) or not words:
            self._events = set()
        for word in words:
            event = word.lstrip("+-")
            (self._events.discard if word[0] == "-" else self._events.add)(event)
        unknown = sorted(self._events - _OURS.keys())
        self._events.difference_update(unknown)
        if unknown:
            raise ValueError(f"{', '.join(unknown)}: no such event here; left out")
        if len(self._events & {"delete", "rmdir"}) == 1:
            raise ValueError("remove, here, is of files and directories")

    @property
    def names(self) -> list[str]:
        """Our events."""
        ours = {name for event in self._events for name in _OURS[event]}
        return [name for name in EVENTS if name in ours]

    @property
    def warnings(self) -> list[str]:
        """A sentence on what will be removed and renamed at the destination, if anything."""
        done = [f"{event}d" for event in ("remove", "rename") if event in self.names]
        text = " or ".join(done)
        return [_REMOVALS.format(text, text)] if done else []
