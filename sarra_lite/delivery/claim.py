"""A connection's claim to write one block: what keeps a finish from renaming the file meanwhile.

The claim is a name in the marker directory, made before the connection looks whether the block is
written already, and renamed to the marker after the last write.  A finish that finds all markers
and no claim can therefore rename: whoever comes later finds the marker.  The name also tells how
much of the block is written, for the next attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from sarra_lite.delivery.destination import StagingGone
from sarra_lite.delivery.markers import FAILED, partial_name
from sarra_lite.errors import DestinationDown, Interrupted
from sarra_lite.sftp.client import File, SftpError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sarra_lite.delivery.destination import Destination

# Seconds without a write after which a claim belongs to nobody; times have whole seconds.
_QUIET: Final = 3
_FUTURE: Final = 60  # seconds by which clocks of servers on one file system may differ
Result = TypeVar("Result")


class BlockClaim:
    """The claim of one attempt to write a block; see ``held``.

    ``written``: bytes at the beginning of the block that are known to be written.
    """

    def __init__(self, destination: Destination, number: int) -> None:
        """``number`` of the block; nothing is requested from the server."""
        self.written = 0
        self._destination = destination
        self._client = destination.client
        self._number = number
        self._token = secrets.token_hex(4)
        self._path = self._name("claim")
        self._parts: list[str] = []  # of earlier attempts

    @contextlib.asynccontextmanager
    async def held(self) -> AsyncIterator[File]:
        """Yield the staging file, open for writing, while the block is claimed.

        Raise StagingGone when the block or the file was complete before.  After an error the claim
        is removed; after Interrupted, the next attempt finds what is written.
        """
        file = await self._take()
        try:
            yield file
        except Exception as error:
            await self._release(file, keep=isinstance(error, Interrupted))
            raise
        finally:
            file.close_quietly()

    async def record(self, written: int) -> None:
        """Note that so many bytes are written, in case the attempt ends here.

        Raise StagingGone when there is nothing more to write, or no use in it.
        """
        old, self.written = self._path, written
        self._path = self._name("claim")
        renamed, marked = await asyncio.gather(
            self._client.rename(old, self._path),
            self._client.stat(self._destination.marker(self._number)),
            return_exceptions=True,
        )
        _check(renamed)
        if _check(marked) is not None:
            raise StagingGone

    async def mark_written(self, file: File) -> None:
        """Close the file, all of whose writes are confirmed, and mark the block as written."""
        if await self._client.stat(self._path) is None:
            raise StagingGone  # while the file is open: see _release()
        await file.close()
        destination, number = self._destination, self._number
        others = [destination.marker(f"{number}{FAILED}"), *self._parts]
        renamed, _ = await asyncio.gather(
            self._client.rename(self._path, destination.marker(number)),
            self._client.remove_all(others),
            return_exceptions=True,
        )
        _check(renamed)

    async def _take(self) -> File:
        destination = self._destination
        # Requested at once: the server works on one request after the other, in this order.
        claimed, marked, complete, file = await asyncio.gather(
            self._client.touch(self._path),
            self._client.stat(destination.marker(self._number)),
            destination.complete(),
            destination.open_existing(),
            return_exceptions=True,
        )
        opened = file if isinstance(file, File) else None
        try:
            _check(claimed)
            written = _check(marked) is not None or _check(complete)
            if written or _check(file) is None:
                await self._start_again(written=written)
            if destination.job.redelivered and (markers := await destination.markers()):
                self.written = markers.written_bytes(self._number)
                self._parts = [destination.marker(name) for name in markers.parts(self._number)]
        except BaseException:
            await self._release(opened, keep=False)
            raise
        assert opened is not None  # noqa: S101  for the type checker
        return opened

    async def _start_again(self, *, written: bool) -> NoReturn:
        """Raise StagingGone; mend that there is a marker directory, but no staging file."""
        markers = None if written else await self._destination.markers()
        if markers is not None and not markers.written:
            (await self._destination.create()).close_quietly()
        elif markers is not None and await self._lost():
            await self._destination.discard()  # these markers are not true any more
        raise StagingGone

    async def _lost(self) -> bool:
        """Return whether the blocks that were marked before are lost with their staging file.

        Who marks a block has created the file before, so it is looked for after the markers were
        read: when this attempt opened it, others may not have begun.  A finish may have renamed it.
        """
        staged = await self._client.stat(self._destination.staging_file)
        return staged is None and not await self._destination.complete()

    async def _release(self, file: File | None, *, keep: bool) -> None:
        """Remove the claim, or ``keep`` its knowledge of what is written."""
        try:
            if keep:
                await self._client.rename(self._path, self._name("part"))
            else:
                await self._client.remove(self._path)
        except SftpError as status:
            if status.missing and file is not None:
                # It was taken for a lost connection's.  If the file has its name by now, our
                # writes have changed its time.
                with contextlib.suppress(SftpError, DestinationDown):
                    await file.set_attributes(self._destination.job.attributes)
        except DestinationDown:
            pass  # what caused this tells it
        finally:
            if file is not None:
                file.close_quietly()

    def _name(self, kind: str) -> str:
        name = partial_name(self._number, self.written, self._token, kind)
        return self._destination.marker(name)


async def begin_blocks(destination: Destination) -> None:
    """Create the staging file, then the marker directory: where markers are, it exists."""
    (await destination.create()).close_quietly()
    await destination.make_marker_directory()


async def mark_failed(destination: Destination, number: int) -> None:
    """Mark a block as given up, for the sender that waits to finish the file."""
    await destination.make_marker_directory()
    await destination.client.touch(destination.marker(f"{number}{FAILED}"))


async def seconds_until_quiet(destination: Destination) -> float:
    """Return after how many seconds claims, which lost connections leave, may be ignored.

    0: the staging file was not written for _QUIET seconds.
    """
    client, probe = destination.client, destination.marker(f"{secrets.token_hex(4)}.probe")
    try:
        await client.touch(probe)
    except SftpError as status:
        _check(status)
    now, staging, _ = await asyncio.gather(
        client.stat(probe), client.stat(destination.staging_file), client.remove_all([probe])
    )
    if now is None or staging is None:
        return 0.0
    age = (now.mtime or 0) - (staging.mtime or 0)
    # A time in the future is no time of a write, but was set by a finish that was interrupted.
    return float(min(_QUIET - age, _QUIET)) if -_FUTURE < age < _QUIET else 0.0


async def discard_unless_held(destination: Destination) -> None:
    """Discard a file in blocks, unless others write blocks of the same version, posted again."""
    markers = await destination.markers()
    if markers is not None and markers.claimed and await seconds_until_quiet(destination):
        failed = (destination.marker(f"{number}{FAILED}") for number in markers.failed)
        await destination.client.remove_all(failed)
    else:
        await destination.discard()


def _check(result: Result | BaseException) -> Result:
    """Return a result, or raise: StagingGone when the directory of markers is gone."""
    if isinstance(result, SftpError) and result.missing:
        raise StagingGone
    if isinstance(result, BaseException):
        raise result
    return result
