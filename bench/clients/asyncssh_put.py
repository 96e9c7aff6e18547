"""Sends a tree with asyncssh: 32 files at a time, each with up to 128 outstanding requests."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import asyncssh


async def put(address: tuple[str, int], user: str, keys: tuple[str, str], names: set[str]) -> None:
    """Send files, named relative to the source; ``keys``: private key and known hosts file."""
    key, known_hosts = keys
    connection = asyncssh.connect(
        *address,
        username=user,
        client_keys=[key],
        known_hosts=known_hosts,
        config=None,
        encryption_algs=["aes128-gcm@openssh.com"],
        compression_algs=None,
    )
    slots = asyncio.Semaphore(32)
    async with connection as ssh, ssh.start_sftp_client() as sftp:

        async def put_one(name: str) -> None:
            async with slots:
                local, remote = f"{source}/{name}", f"{dest}/{name}"
                await sftp.put(local, remote, block_size=261120, max_requests=128)

        await asyncio.gather(*map(put_one, names))


host, port, login, own_key, host_keys, source, dest = sys.argv[1:]
files = {str(path.relative_to(source)) for path in Path(source).rglob("f*")}
asyncio.run(put((host, int(port)), login, (own_key, host_keys), files))
