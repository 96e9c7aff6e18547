"""Selects what is announced: what rules and events accept, and no keys or passwords."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from sarra_lite import units
from sarra_lite.config.private import private_part
from sarra_lite.errors import SarraError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sarra_lite.config.commands import PostConfig
    from sarra_lite.messages.v03 import Announcement

_refused: Final[set[str]] = set()  # files and directories of keys and passwords


def permitted(found: Iterable[Announcement], config: PostConfig) -> Iterator[Announcement]:
    """Yield the announcements that the configuration accepts.

    Raises SarraError for a file or directory of keys or passwords.  What is below that directory is
    passed over, so that there is one line for all.
    """
    for announcement in filter(config.accepts, found):
        path = posixpath.join(config.base_dir, announcement.rel_path)
        private = None if config.privateFiles else private_part(path)
        if private is None:
            yield announcement
        elif private not in _refused:
            _refused.add(private)
            raise SarraError(
                f"{units.printable(private)}: not announced, since it may hold keys or passwords;"
                " --private-files announces it"
            )
