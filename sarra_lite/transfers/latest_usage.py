"""The last that a user's stream tells of what is used of quotas."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from sarra_lite.errors import MessageError
from sarra_lite.messages import usage

if TYPE_CHECKING:
    from sarra_lite.messages.usage import Usage


class LatestUsage:
    """Takes messages in their order; ``usage`` is None before the first one."""

    def __init__(self, user: str) -> None:
        """``user``: whose usage it is."""
        self.usage: Usage | None = None
        self._user = user
        self._topic = usage.topic(user)

    def is_about(self, topic: str) -> bool:
        """Return whether a message of this topic tells usage."""
        return topic == self._topic

    def take(self, body: bytes, author: str | None) -> None:
        """Note what a message tells that ``author`` has published, as the broker has verified.

        The user may publish this topic, too, and nobody else but the scope: so only what others
        have published is true.
        """
        if author in (None, self._user):
            return
        with contextlib.suppress(MessageError):
            told = usage.decode(body)
            if told.user == self._user:
                self.usage = told
