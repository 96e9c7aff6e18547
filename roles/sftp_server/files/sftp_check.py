"""Tells load balancers whether this host can take users; runs on a port of its own.

``sftp-check ADDRESS PORT SSH_PORT HOMES`` listens on ADDRESS:PORT and answers ``up`` to a
connection if

* sshd on port SSH_PORT of this host sends its banner, or refuses because too many clients have not
  logged in yet: then it runs, and taking it out would send those clients to the other nodes; and
* the file system of the directory HOMES answers.  One that fails is told at once, one that only is
  slow, as a busy one may be, after 15 seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time

TIMEOUT = 4.0  # seconds in which sshd must answer; the load balancers wait for 5
HANGS = 15.0  # seconds after which a file system that does not answer counts as gone
INTERVAL = 1.0  # seconds between two looks at it
ALIVE = (b"SSH-2.0-", b"Exceeded MaxStartups")


async def alive(port: int) -> bool:
    """Return whether sshd answers on a port of this host."""
    try:
        opening = asyncio.open_connection("127.0.0.1", port)
        reader, writer = await asyncio.wait_for(opening, TIMEOUT)
        with contextlib.closing(writer):
            line = await asyncio.wait_for(reader.readline(), TIMEOUT)
    except (OSError, ValueError):
        return False
    return line.startswith(ALIVE)


class Homes:
    """The file system of a directory, which is looked at in a thread: it may hang."""

    def __init__(self, directory: str) -> None:
        """Count it as there until it was looked at."""
        self._directory = directory
        self._answered = time.monotonic()
        self._fails = False

    @property
    def there(self) -> bool:
        """Whether the last look was a success, and not too long ago."""
        return not self._fails and time.monotonic() - self._answered < HANGS

    async def watch(self) -> None:
        """Look at it until cancelled, by statvfs(3), which no cache answers."""
        while True:
            try:
                await asyncio.to_thread(os.statvfs, self._directory)
            except OSError as error:
                if not self._fails:
                    print(f"{self._directory}: {error.strerror}", flush=True)
                self._fails = True
            else:
                self._answered, self._fails = time.monotonic(), False
            await asyncio.sleep(INTERVAL)


async def serve(address: str, port: int, ssh_port: int, homes: Homes) -> None:
    """Answer checks until cancelled."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            writer.write(b"up\n" if homes.there and await alive(ssh_port) else b"down\n")
            await writer.drain()

    server = await asyncio.start_server(answer, address, port)
    await asyncio.gather(server.serve_forever(), homes.watch())


def main() -> None:
    """Run as a program."""
    _, address, port, ssh_port, directory = sys.argv
    asyncio.run(serve(address, int(port), int(ssh_port), Homes(directory)))


if __name__ == "__main__":
    main()
