"""sr_post --watch: announces files that are completed, changed, renamed or removed."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections import deque
from typing import TYPE_CHECKING, Final

from sarra_lite import runtime, units
from sarra_lite.broker import topology
from sarra_lite.commands import connections
from sarra_lite.errors import EX_OK, Interrupted, SarraError, UsageError
from sarra_lite.posting import paths, scan, selection
from sarra_lite.posting.announcer import Announcer
from sarra_lite.runtime import log
from sarra_lite.watch.ledger import Ledger
from sarra_lite.watch.removals import NO_CEILING, Ceiling
from sarra_lite.watch.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sarra_lite.broker.client import Broker
    from sarra_lite.config.commands import PostConfig
    from sarra_lite.messages.v03 import Announcement
    from sarra_lite.watch.diff import Change

_TURN: Final = 0.5  # seconds after which a thread that waits for changes returns


def serve(directories: Sequence[str], config: PostConfig, *, accept_removals: bool) -> int:
    """Watch directories and announce changes until a signal; return the exit status.

    ``accept_removals``: what is missing at the start was removed, however much it is.

    A change is in the ledger as pending before it is announced, and as confirmed after the broker
    has confirmed its announcements.  If the process is killed in between, the change is announced a
    second time.
    """
    roots = [paths.absolute(directory) for directory in directories]
    for root in roots:
        if not os.path.isdir(root):  # noqa: PTH112
            raise UsageError(f"{root} is no directory; --watch takes directories")
        paths.relative(root, config.base_dir)
    ceiling = None if accept_removals else _ceiling(config)
    renames = "rename" in config.allowed_events
    with (
        Ledger(_ledger_file(config, roots)) as ledger,
        Watcher(roots, ledger, config.settle, ceiling=ceiling, renames=renames) as watcher,
    ):
        return runtime.run_loop(_watch(config, watcher, ledger))


async def _watch(config: PostConfig, watcher: Watcher, ledger: Ledger) -> int:
    """Announce changes until asked to stop; return the exit status."""
    stop = runtime.stop_on_signals()
    watching = _Watching(config, watcher, ledger, stop)
    declare = topology.declare_for_user
    try:
        if not await connections.keep_connected(config, declare, watching.work, stop):
            raise watching.announcer.interrupted()
        await asyncio.to_thread(watching.record_confirmed, watching.announcer.confirmed)
    except Interrupted as interrupted:
        log.info("%s; the next run announces them", interrupted)
    runtime.notify_systemd("STOPPING=1")
    log.info("%d announced", watching.announcer.published)
    return EX_OK


def _ceiling(config: PostConfig) -> Ceiling:
    """Return how many names may be missing at the start: any number if none are removed."""
    if "remove" not in config.allowed_events:
        return NO_CEILING
    return Ceiling(config.maxRemovals, config.maxRemovalPercent)


def _ledger_file(config: PostConfig, roots: Iterable[str]) -> Path:
    """Return the file that records what was announced on an exchange from a set of directories."""
    # The ledger records what the rules reject, too, and changes that are no event to announce.
    # Others need another ledger; but names that are gone are not found again by announcing anew.
    events = sorted(config.allowed_events - {"rename", "remove"})
    selection = [config.base_dir, repr(config.rules), str(config.acceptUnmatched), *events]
    seed = "\0".join([str(config.broker), config.exchange_name, *selection, *sorted(roots)])
    name = hashlib.sha256(os.fsencode(seed)).hexdigest()[:16]
    return config.state_directory / f"watch-{config.name}-{name}.ledger"


class _Watching:
    """One run of sr_post --watch: publishes changes and records those that are confirmed.

    Only threads use watcher and ledger, one after the other: directories, the ledger and the
    content of files may be slow.
    """

    def __init__(
        self, config: PostConfig, watcher: Watcher, ledger: Ledger, stop: asyncio.Event
    ) -> None:
        self.announcer = Announcer(config, stop)
        self._config = config
        self._watcher = watcher
        self._ledger = ledger
        self._stop = stop
        # Changes that are not recorded yet, each with the number of its last announcement.
        self._posted: deque[tuple[int, Change]] = deque()

    async def work(self, broker: Broker) -> None:
        """Announce changes with one connection until asked to stop."""
        self.announcer.attach(broker)
        runtime.notify_systemd("READY=1")
        advice = f"remove {self._config.state_directory} to announce anew"
        while not self._stop.is_set():
            announcements = await asyncio.to_thread(
                self._next_announcements, self.announcer.confirmed
            )
            await self.announcer.post(announcements)
            self.announcer.warn_unroutable(advice)
        await self.announcer.wait_until_confirmed()

    def _next_announcements(self, confirmed: int) -> list[Announcement]:
        """Return the announcements of changes, after at most a turn; in a thread."""
        self.record_confirmed(confirmed)
        announcements: list[Announcement] = []
        for change in self._watcher.changes(_TURN):
            try:
                announcements += announcements_of(change, self._config)
                self._posted.append((self.announcer.published + len(announcements), change))
            except SarraError as error:
                # It was removed or is being changed: the watcher will see another change.
                log.info("%s", error)
                self._ledger.mark_uncertain(change.token)
            if self._stop.is_set():
                break
        return announcements

    def record_confirmed(self, confirmed: int) -> None:
        """Record in the ledger what is announced, up to this number; in a thread."""
        while self._posted and self._posted[0][0] <= confirmed:
            self._ledger.confirm(self._posted.popleft()[1].token)


def announcements_of(change: Change, config: PostConfig) -> list[Announcement]:
    """Return the announcements of a change that rules and events accept; reads the disk again.

    Raise SarraError when nothing can be announced now: the name is gone, or was replaced by
    something else after the change was found, so that the ledger would record what was not
    announced.  Another change of the name follows.
    """
    if not config.allowed_events & change.events:
        return []
    gone = change.path
    if change.kind == "changed":
        return _of_its_kind(change, scan.announcements(change.path, config), config)
    if change.old is not None:
        renaming = scan.renaming(change.old, change.path, config)
        if permitted := _of_its_kind(change, [renaming], config):
            return permitted
        gone = change.old
    removal = scan.removal(gone, config, is_dir=change.is_dir)
    return list(selection.permitted([removal], config))


def _of_its_kind(
    change: Change, found: Iterable[Announcement], config: PostConfig
) -> list[Announcement]:
    announcements = list(found)
    if any(("directory" in (each.file_op or {})) != change.is_dir for each in announcements):
        raise SarraError(f"{units.printable(change.path)}: changes while it is announced")
    return list(selection.permitted(announcements, config))
