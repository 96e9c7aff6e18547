"""sr_post --watch: announce what is completed, changed, renamed or removed, for ever."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.broker import topology
from sarra_lite.commands import connections
from sarra_lite.config import matching
from sarra_lite.errors import EX_OK, BrokerError, Interrupted, SarraError, UsageError
from sarra_lite.posting import scan
from sarra_lite.posting.announcer import Announcer
from sarra_lite.watch.ledger import Ledger
from sarra_lite.watch.watcher import Change, Watcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from threading import Event

    from sarra_lite.broker.client import Broker
    from sarra_lite.config.commands import PostConfig
    from sarra_lite.messages.v03 import Announcement

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
        scan.relative(root, config.base_dir)
    with (
        Ledger(ledger_file(config, roots)) as ledger,
        Watcher(roots, ledger, config.settle) as watch,
    ):
        return _Watching(config, watch, stop).run()


def ledger_file(config: PostConfig, roots: Iterable[str]) -> Path:
    """Return where is kept what was announced: a file for each exchange and set of directories."""
    # What the rules rejected is recorded, too: with other rules all is looked at anew.
    shape = [config.base_dir, repr(config.rules), str(config.acceptUnmatched)]
    told = "\0".join([config.broker, config.exchange_name, *shape, *sorted(roots)])
    name = hashlib.sha256(os.fsencode(told)).hexdigest()[:16]
    return config.state_directory / f"watch-{config.name}-{name}.ledger"


@dataclass
class _Opened:
    """A change whose announcements are not all confirmed yet."""

    change: Change
    waiting: int = 0
    posted: bool = False
    failed: bool = False


class _Watching:
    """One run of sr_post --watch."""

    def __init__(self, config: PostConfig, watch: Watcher, stop: Event) -> None:
        self._config = config
        self._watch = watch
        self._stop = stop
        self._status = runtime.Status()
        self._open: dict[tuple[str, str, int | None], _Opened] = {}
        self._told = 0
        self._announcer = Announcer(
            config,
            connections.broker_factory(config, "sr_post"),
            stop,
            self._opened,
            self._confirmed,
        )
        self._announcer.patience = _FOREVER
        self._announcer.away = lambda: self._status.alive("the broker is away")

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
                        self._show()
                        if self._stop.is_set():
                            break
                self._announcer.flush()
        except Interrupted as interrupted:
            log.info("%s; the next run announces them", interrupted)
        self._status.stopping()
        log.info("%d announced", self._announcer.published)
        return EX_OK

    def _opened(self, broker: Broker) -> None:
        topology.declare_for_posting(broker, self._config)

    def _announce(self, change: Change) -> None:
        """Publish what a change means; it is complete when every message of it is confirmed."""
        opened = _Opened(change)
        try:
            for announcement in self._messages(change):
                opened.waiting += 1
                self._open[announcement.key] = opened
                self._announcer.post(announcement)
        except SarraError as error:
            if isinstance(error, BrokerError | Interrupted):
                raise
            # Gone again, or changing: what comes next on that name will be seen.
            log.info("%s", error)
            opened.failed = True
            self._watch.failed(change)
            return
        opened.posted = True
        self._complete(opened)

    def _messages(self, change: Change) -> Iterator[Announcement]:
        """Announcements of a change, without those that the rules reject."""
        match change.kind:
            case "removed":
                yield from self._accepted(
                    scan.removal(change.path, self._config, is_dir=change.is_dir)
                )
            case "renamed" if change.old is not None:
                yield from self._renaming(change, change.old)
            case _:
                found = scan.announcements(change.path, self._config)
                if (first := next(found, None)) is not None and self._accepts(first):
                    yield first
                    yield from found

    def _renaming(self, change: Change, old: str) -> Iterator[Announcement]:
        renaming = scan.renaming(old, change.path, self._config)
        if self._accepts(renaming):
            yield renaming
        else:
            yield from self._accepted(scan.removal(old, self._config, is_dir=change.is_dir))
        if not change.is_dir:
            return
        # What was announced under the old name, and not sent yet, cannot be sent any more.
        below = scan.walk([change.path], lambda line: log.debug("%s", line))
        for path in itertools.islice(filter(None, below), 1, None):
            with contextlib.suppress(SarraError):  # gone again: that will be seen, too
                for announcement in scan.announcements(path, self._config):
                    yield from self._accepted(announcement)

    def _accepted(self, announcement: Announcement) -> Iterator[Announcement]:
        if self._accepts(announcement):
            yield announcement

    def _accepts(self, announcement: Announcement) -> bool:
        return matching.accepts(self._config, announcement)

    def _confirmed(self, announcement: Announcement) -> None:
        if (opened := self._open.pop(announcement.key, None)) is not None:
            opened.waiting -= 1
            self._complete(opened)

    def _complete(self, opened: _Opened) -> None:
        if opened.posted and not opened.failed and opened.waiting == 0:
            self._watch.done(opened.change)

    def _show(self) -> None:
        self._status.alive(f"{self._announcer.published} announced")
        if self._announcer.unroutable > self._told:
            self._told = self._announcer.unroutable
            log.warning(
                "%d announcements reached no queue so far, so nobody will send them: start"
                " sr_sender once on exchange %s, or set queueName, and remove %s to announce anew",
                self._told,
                self._config.exchange_name,
                self._config.state_directory,
            )
