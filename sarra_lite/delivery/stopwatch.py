"""How long an upload has waited for what: the source, a limit, or its connection."""

from __future__ import annotations

import enum
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Phase(enum.IntEnum):
    """What an upload is waiting for at a moment; OTHER: nothing, or its first questions."""

    OTHER = 0
    SOURCE = 1
    QUOTA = 2
    LIMIT = 3
    CONNECTION = 4


class Stopwatch:
    """Adds up the seconds of each phase, from its creation until ``stop``."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start in the phase OTHER."""
        self._clock = clock
        self._phase: Phase | None = Phase.OTHER
        self._since = self.begun = clock()
        self._seconds = [0.0] * len(Phase)

    def switch(self, phase: Phase) -> None:
        """End the present phase and begin another one, unless it is stopped."""
        if self._phase is not None:
            now = self._clock()
            self._seconds[self._phase] += now - self._since
            self._phase, self._since = phase, now

    def stop(self) -> None:
        """End the last phase."""
        self.switch(Phase.OTHER)
        self._phase = None

    @property
    def seconds(self) -> list[float]:
        """The seconds of each phase until now."""
        found = self._seconds.copy()
        if self._phase is not None:
            found[self._phase] += self._clock() - self._since
        return found
