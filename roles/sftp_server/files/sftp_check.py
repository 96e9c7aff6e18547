"""Tells load balancers whether sshd of this host answers; runs on a port of its own.

``sftp-check ADDRESS PORT SSH_PORT`` listens on ADDRESS:PORT and answers ``up`` to a connection if
sshd on port SSH_PORT of this host sends its banner, or refuses because too many clients have not
logged in yet: then it runs, and taking it out would send those clients to the other nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys

TIMEOUT = 4.0  # seconds in which sshd must answer; the load balancers wait for 5
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


async def serve(address: str, port: int, ssh_port: int) -> None:
    """Answer checks until cancelled."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            writer.write(b"up\n" if await alive(ssh_port) else b"down\n")
            await writer.drain()

    server = await asyncio.start_server(answer, address, port)
    await server.serve_forever()


def main() -> None:
    """Run as a program."""
    _, address, port, ssh_port = sys.argv
    asyncio.run(serve(address, int(port), int(ssh_port)))


if __name__ == "__main__":
    main()
