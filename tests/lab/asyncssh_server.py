"""An SFTP server that is not OpenSSH's: asyncssh's, in a process of its own.

``python -m tests.lab.asyncssh_server PORT HOST_KEY AUTHORIZED_KEYS REFUSED…`` runs it; refused are
"setstat", names of extensions, and "haste": each write takes a tenth of a second.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from tests.lab.processes import Process
from tests.lab.sshd import Sshd

if TYPE_CHECKING:
    from pathlib import Path

_LISTENING = "listening"


class AsyncSsh(Sshd):
    """The server for the tests, in place of OpenSSH's."""

    def __init__(self, directory: Path, *refused: str) -> None:
        """``refused``: "setstat", "haste", and extensions that the server does not have."""
        super().__init__(directory)
        self._refused = refused

    def start(self) -> None:
        """Start the server; return when it listens."""
        keys = [str(self.host_key), f"{self.user_key}.pub"]
        program = [sys.executable, "-m", "tests.lab.asyncssh_server", str(self.port)]
        process = self._process = Process([*program, *keys, *self._refused], self.log)
        process.wait_ready(lambda: _LISTENING in process.output(), seconds=20)


async def _serve(port: int, host_key: str, authorized_keys: str, refused: list[str]) -> None:
    import asyncssh  # noqa: PLC0415  only this process needs it
    from asyncssh.sftp import SFTPServerHandler  # noqa: PLC0415

    class Refusing(asyncssh.SFTPServer):
        """Refuses to set attributes."""

        def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:  # noqa: ARG002
            raise asyncssh.SFTPOpUnsupported("not here")

        def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> None:  # noqa: ARG002
            raise asyncssh.SFTPOpUnsupported("not here")

    class Slow(asyncssh.SFTPServer):
        """Has a slow disk."""

        async def write(self, file_obj: object, offset: int, data: bytes) -> Any:
            await asyncio.sleep(0.1)
            return super().write(file_obj, offset, data)

    kinds = {"setstat": Refusing, "haste": Slow}
    handler = SFTPServerHandler
    handler._extensions = [  # noqa: SLF001
        one
        for one in handler._extensions  # noqa: SLF001
        if one[0].decode() not in refused
    ]
    await asyncssh.listen(
        "127.0.0.1",
        port,
        server_host_keys=[host_key],
        authorized_client_keys=authorized_keys,
        sftp_factory=next((kinds[one] for one in refused if one in kinds), asyncssh.SFTPServer),
    )
    sys.stdout.write(f"{_LISTENING}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]))
