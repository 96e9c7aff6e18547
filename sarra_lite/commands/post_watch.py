"""sr_post --watch: announces files that are completed, changed, renamed or removed."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import math
import os
from dataclasses import dataclass
from functools import partial
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

    from sarra_lite.config.commands import PostConfig
    from sarra_lite.messages.v03 import Announcement

log = logging.getLogger("sarra_lite")

_TURN: Final = 0.5  # seconds between two checks of the broker's answers and of the stop event


def serve(directories: Sequence[str], config: PostConfig, stop: Event) -> int:
    """Watch directories and announce changes until ``stop``; return the exit status.

    A change is in the ledger as pending before it is announced, and as confirmed after the broker
    has confirmed its announcements.  If the
    process is killed in between, the change is announced a second time.
    """
    roots = [os.path.abspath(directory) for directory in directories]  # noqa: PTH100  any bytes
    for root in roots:
        if not os.path.isdir(root):  # noqa: PTH112
            raise UsageError(f"{root} is no directory; --watch takes directories")
        scan.relative(root, config.base_dir)
    with (
        Ledger(_ledger_file(config, roots)) as ledger,
        Watcher(roots, ledger, config.settle) as watcher,
    ):
        return _Watching(config, watcher, stop).run()


def _ledger_file(config: PostConfig, roots: Iterable[str]) -> Path:
    """Return the file that records what was announced on an exchange from a set of directories."""
    # The ledger records files that the rules rejected, too.  Other rules need another ledger.
    selection = [config.base_dir, repr(config.rules), str(config.acceptUnmatched)]
    seed = "\0".join([config.broker, config.exchange_name, *selection, *sorted(roots)])
    name = hashlib.sha256(os.fsencode(seed)).hexdigest()[:16]
    return config.state_directory / f"watch-{config.name}-{name}.ledger"


@dataclass
class _PendingChange:
    """A change whose announcements are not all confirmed yet."""

    change: Change
    unconfirmed: int = 0
    posted: bool = False


class _Watching:
    """One run of sr_post --watch: publishes changes and records those that are confirmed."""

    def __init__(self, config: PostConfig, watcher: Watcher, stop: Event) -> None:
        self._config = config
        self._watcher = watcher
        self._stop = stop
        self._status = runtime.SystemdStatus()
        self._pending: dict[tuple[str, str, int | None], _PendingChange] = {}
        self._reported_unroutable = 0
        connect = connections.broker_factory(config)
        declare = partial(topology.declare_for_posting, config=config)
        self._announcer = Announcer(config, connect, stop, declare, self._confirmed)
        self._announcer.patience = math.inf
        self._announcer.away = lambda: self._status.alive("the broker is away")

    def run(self) -> int:
        """Announce changes until asked to stop; return the exit status."""
        try:
            with self._announcer:
                self._status.ready()
                while not self._stop.is_set():
                    for change in self._watcher.changes(_TURN):
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

    def _announce(self, change: Change) -> None:
        """Publish the announcements of a change."""
        pending = _PendingChange(change)
        try:
            for announcement in self._announcements(change):
                pending.unconfirmed += 1
                self._pending[announcement.key] = pending
                self._announcer.post(announcement)
        except (BrokerError, Interrupted):
            raise
        except SarraError as error:
            # The file was removed or is being changed, so the watcher will see another change.
            log.info("%s", error)
            self._watcher.failed(change)
        else:
            pending.posted = True
            self._record_if_complete(pending)

    def _announcements(self, change: Change) -> Iterator[Announcement]:
        """Yield the announcements of a change that the rules accept."""
        config = self._config
        match change.kind:
            case "removed":
                removal = scan.removal(change.path, config, is_dir=change.is_dir)
                yield from matching.accepted(config, [removal])
            case "renamed" if change.old is not None:
                yield from self._renaming(change, change.old)
            case _:
                yield from matching.accepted(config, scan.announcements(change.path, config))

    def _renaming(self, change: Change, old: str) -> Iterator[Announcement]:
        config = self._config
        renaming = scan.renaming(old, change.path, config)
        if matching.accepts(config, renaming):
            yield renaming
        else:
            removal = scan.removal(old, config, is_dir=change.is_dir)
            yield from matching.accepted(config, [removal])
        if not change.is_dir:
            return
        # Senders can no longer send files that were announced under the old name.
        paths = scan.walk([change.path], lambda line: log.debug("%s", line))
        for path in itertools.islice(filter(None, paths), 1, None):
            with contextlib.suppress(SarraError):  # removed: the watcher will see another change
                for announcement in scan.announcements(path, config):
                    yield from matching.accepted(config, [announcement])

    def _confirmed(self, announcement: Announcement) -> None:
        if (pending := self._pending.pop(announcement.key, None)) is not None:
            pending.unconfirmed -= 1
            self._record_if_complete(pending)

    def _record_if_complete(self, pending: _PendingChange) -> None:
        if pending.posted and pending.unconfirmed == 0:
            self._watcher.done(pending.change)

    def _show(self) -> None:
        self._status.alive(f"{self._announcer.published} announced")
        if self._announcer.unroutable > self._reported_unroutable:
            self._reported_unroutable = self._announcer.unroutable
            log.warning(
                "%d announcements reached no queue so far, so nobody will send them: start"
                " sr_sender once on exchange %s, or set queueName, and remove %s to announce anew",
                self._reported_unroutable,
                self._config.exchange_name,
                self._config.state_directory,
            )
