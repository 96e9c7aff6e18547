"""Sets modes and modification times at the destination, as far as its server permits."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING, Final

from sarra_lite.sftp.client import Attributes, SftpError

if TYPE_CHECKING:
    from sarra_lite.sftp.client import File, SftpClient

_OWNER_WRITE_SEARCH: Final = 0o300  # without these the SFTP user could not fill his directory


class AttributeSetter:
    """Sets attributes over one connection, and notes in ``refused`` what the server did not set."""

    def __init__(self, client: SftpClient) -> None:
        """Nothing is refused yet."""
        self.refused: list[str] = []
        self._client = client

    async def set(self, path: str, attributes: Attributes, name: str) -> None:
        """Set attributes of a path; if the server refuses, note the name."""
        try:
            await self._client.set_attributes(path, attributes)
        except SftpError:
            self.refused.append(name)

    async def finish(self, file: File, path: str, attributes: Attributes) -> Attributes:
        """Flush an open file, set attributes and close it; return those that it had before.

        What cannot be set of the open file is set by its path, one attribute after the other.
        """
        found, is_set = await file.finish(attributes)
        if not is_set:
            if attributes.mode is not None:
                await self.set(path, Attributes(mode=attributes.mode), "mode")
            if attributes.mtime is not None:
                await self.set(path, Attributes(mtime=attributes.mtime), "modification time")
        return found

    def told(self, message: str) -> str:
        """Return the text of a report, with what was refused."""
        if not self.refused:
            return message
        return f"{message}; the server refused to set: {', '.join(self.refused)}"


def directory_mode(mode: int, found: Attributes) -> int:
    """Return the mode to set for a directory: it can be filled, and keeps an S_ISGID that it has.

    Whoever shares a directory gives it S_ISGID, so that what is made in it belongs to the group.
    """
    return mode | _OWNER_WRITE_SEARCH | (found.mode or 0) & stat.S_ISGID
