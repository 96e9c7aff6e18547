"""sr_post --watch: announce what is completed, changed, renamed or removed, for ever."""

from __future__ import annotations

import hashlib
import logging
import os
from typing import TYPE_CHECKING, Final

from sarra_lite import daemon, endpoints, rules, setup, walk
from sarra_lite.announce import Announcer
from sarra_lite.errors import EX_OK, Interrupted, SarraError, UsageError
from sarra_lite.ledger import Ledger
from sarra_lite.tree import Change, Watch

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from threading import Event

    from sarra_lite.broker import Broker
    from sarra_lite.config import PostConfig
    from sarra_lite.message import Announcement

log = logging.getLogger("sarra_lite")

_TURN: Final = 0.5  # seconds after which the broker's answers and the stop event are looked at
_FOREVER: Final = float("inf")


def serve(directories: Sequence[str], config: PostConfig, stop: Event) -> int:
    """Watch and announce until told to stop; return the exit status.

    Order: announce, be confirmed, record in the ledger.  Killed between the last two, a change is
    announced twice, never not at all.
    """
    roots = [os.path.abspath(directory) for directory in directories]  # noqa: PTH100  any bytes
    for root in roots:
        if not os.path.isdir(root):  # noqa: PTH112
            raise UsageError(f"{root} is no directory; --watch takes directories")
        walk.relative(root, config.base_dir)
    with Ledger(ledger_file(config, roots)) as ledger, Watch(roots, ledger, config.settle) as watch:
        return _Watching(config, watch, stop).run()


def ledger_file(config: PostConfig, roots: Iterable[str]) -> Path:
    """Return where is kept what was announced: a file for each exchange and set of directories."""
    told = "\0".join([config.broker, config.exchange_name, *sorted(roots)])
    name = hashlib.sha256(os.fsencode(told)).hexdigest()[:16]
    return config.state_directory / f"watch-{config.name}-{name}.ledger"


class _Watching:
    """One run of sr_post --watch."""

    def __init__(self, config: PostConfig, watch: Watch, stop: Event) -> None:
        self._config = config
        self._watch = watch
        self._stop = stop
        self._status = daemon.Status()
        self._changes: dict[tuple[str, str, int | None], Change] = {}
        self._announcer = Announcer(
            config,
            endpoints.connector(config, "sr_post"),
            stop,
            self._opened,
            self._confirmed,
        )
        self._announcer.patience = _FOREVER

    def run(self) -> int:
        """Announce changes until told to stop."""
        try:
            with self._announcer:
                self._status.ready()
                while not self._stop.is_set():
                    for change in self._watch.changes(_TURN):
                        if change is not None:
                            self._announce(change)
                        self._announcer.collect()
                        self._status.alive(f"{self._announcer.published} announced")
                        if self._stop.is_set():
                            break
                self._announcer.flush()
        except Interrupted as interrupted:
            log.info("%s; the next run announces them", interrupted)
        self._status.stopping()
        log.info("%d announced", self._announcer.published)
        return EX_OK

    def _opened(self, broker: Broker) -> None:
        setup.for_posting(broker, self._config)

    def _announce(self, change: Change) -> None:
        """Publish what a change means; the last message of it, confirmed, completes it."""
        try:
            messages = self._messages(change)
        except SarraError as error:
            # Gone again, or changing: what comes next on that name will be seen.
            log.info("%s", error)
            self._watch.failed(change)
            return
        if not messages or not rules.accepts(self._config, messages[0]):
            self._watch.done(change)
            return
        self._changes[messages[-1].key] = change
        for announcement in messages:
            self._announcer.post(announcement)

    def _messages(self, change: Change) -> list[Announcement]:
        match change.kind:
            case "removed":
                return [walk.removal(change.path, self._config, is_dir=change.is_dir)]
            case "renamed" if change.old is not None:
                return [walk.renaming(change.old, change.path, self._config)]
            case _:
                return list(walk.announcements(change.path, self._config))

    def _confirmed(self, announcement: Announcement) -> None:
        if (change := self._changes.pop(announcement.key, None)) is not None:
            self._watch.done(change)
