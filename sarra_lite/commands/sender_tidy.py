"""``sr_sender --tidy``: removes what is left at the destination of files that nobody completes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sarra_lite import process, units
from sarra_lite.broker import topology
from sarra_lite.commands import connections
from sarra_lite.config import rules
from sarra_lite.delivery import tidy
from sarra_lite.delivery.content import longest_wait
from sarra_lite.errors import EX_FAILED, EX_OK, EX_TEMPFAIL, DestinationDown, DestinationUnreachable
from sarra_lite.runtime import log
from sarra_lite.sftp.client import SftpError

if TYPE_CHECKING:
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.delivery.tidy import Leftover
    from sarra_lite.sftp.client import SftpClient

OLDER_THAN: Final = 7 * 86400.0  # seconds
# A finish gives a file the announced time, which may be old, just before it renames it: what has
# not changed for so many seconds is not being finished.
_SECOND_LOOK: Final = 3.0


async def run(config: SenderConfig, older_than: float, *, dry_run: bool) -> int:
    """Remove leftovers, or only say which there are; return the exit status.

    Announcements in the queue may be of blocks of a file that is half there, and could not be
    completed without the others: nothing is removed while there are any.  Raises
    DestinationUnreachable when there is no connection to the SFTP host.
    """
    async with connections.broker_factory(config)() as broker:
        await topology.declare_for_user(broker, config)
        waiting = await broker.count_messages(config.queue)
    if waiting and not dry_run:
        text = "%s: %d announcements wait, which may need what is there: nothing is removed"
        log.warning(text, config.queue, waiting)
        return EX_TEMPFAIL
    client = connections.sftp_factory(config)()
    try:
        await client.open()
        return await _Tidying(client, dry_run=dry_run).run(config, older_than)
    except DestinationDown as error:
        raise DestinationUnreachable(str(error)) from None
    finally:
        client.close()


def directories(config: SenderConfig) -> set[str]:
    """Return the directories at the destination below which files go, up to the first variable."""
    known = {"BROKER_USER": config.broker.user}
    if not config.acceptUsers:
        known["source"] = config.broker.user
    used = {rule.directory for rule in config.rules} | {config.directory}
    return {rules.constant(directory, known) for directory in used if directory is not None}


class _Tidying:
    """One walk over the directories of a configuration."""

    def __init__(self, client: SftpClient, *, dry_run: bool) -> None:
        self._client = client
        self._dry_run = dry_run
        self._status = EX_OK
        self._done: list[Leftover] = []

    async def run(self, config: SenderConfig, older_than: float) -> int:
        # Blocks may be waited for so long, by a finish of the same version.
        older_than = max(older_than, longest_wait(config.retry_ttl))
        found = [one for top in directories(config) for one in await self._find(top, older_than)]
        if found:
            log.debug("%d found; looking again in %.0f s", len(found), _SECOND_LOOK)
            await asyncio.sleep(_SECOND_LOOK)
        for leftover in found:
            if await tidy.unchanged(self._client, leftover):
                await self._remove(leftover)
        log.info(
            "%d %s, %s",
            len(self._done),
            "would be removed" if self._dry_run else "removed",
            units.show_size(sum(leftover.size for leftover in self._done)),
        )
        return self._status

    async def _find(self, top: str, older_than: float) -> list[Leftover]:
        try:
            return [leftover async for leftover in tidy.find(self._client, top, older_than)]
        except SftpError as status:
            if not status.missing:  # else nothing was sent yet
                self._fail(top or "the login directory", str(status).lower())
            return []

    async def _remove(self, leftover: Leftover) -> None:
        name = units.printable(leftover.stem)
        if not (self._dry_run or await tidy.remove(self._client, leftover)):
            self._fail(name, "old, but could not be removed; its owner, or the server's, can")
            return
        self._done.append(leftover)
        days, size = leftover.age / 86400, units.show_size(leftover.size)
        done = "would be removed" if self._dry_run else "removed"
        process.write(f"{name}: {done} ({size}, {days:.1f} days old)\n")

    def _fail(self, name: str, why: str) -> None:
        log.error("%s: %s", name, why)
        self._status = EX_FAILED
