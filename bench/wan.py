"""Lines between two network namespaces of this machine: near by, or long, narrow and lossy.

``with Wan(rate=1e9, round_trip=0.05) as line: line.near("ping", "-c3", line.FAR)``.  A relay of our
own carries packets between two TUN devices, since this kernel has no netem.  Packets come and go as
the kernel makes them, up to 64 KiB with one header (GSO); the line counts Ethernet's.  Needs root.
"""

from __future__ import annotations

import array
import fcntl
import multiprocessing
import os
import random
import select
import signal
import struct
import subprocess
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Self

if TYPE_CHECKING:
    from types import TracebackType

TUNSETIFF: Final = 0x400454CA
TUNSETOFFLOAD: Final = 0x400454D0
TUNSETVNETHDRSZ: Final = 0x400454D8
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 0x0001, 0x1000, 0x4000
OFFLOADS: Final = 0x01 | 0x02  # checksums and TCP segments are made later, or never
VNET: Final = struct.Struct("<BBHHHH")  # flags, kind, header length, segment, checksum at, offset
MOST: Final = 65536 + VNET.size
HEADERS: Final = 52  # bytes of IP and TCP, with time stamps
ETHERNET: Final = 38  # bytes of Ethernet, with preamble and gap
SEQUENCE: Final = struct.Struct(">I")


class Line(NamedTuple):
    """One direction: bits a second, seconds on the way, seconds that may queue, loss a segment."""

    rate: float
    delay: float
    queue: float
    loss: float


class Direction:
    """Packets from one device on their way to the other."""

    def __init__(self, line: Line, source: int, target: int, seed: int) -> None:
        """``source`` and ``target``: descriptors of TUN devices."""
        self.source = source
        self._line = line
        self._target = target
        self._random = random.Random(seed)
        self._free = 0.0
        self._under_way: deque[tuple[float, bytes]] = deque()

    def take(self) -> None:
        """Read all that has come, and send it off or drop it."""
        while True:
            try:
                packet = os.read(self.source, MOST)
            except BlockingIOError:
                return
            for part in self._survivors(packet):
                self._send_off(part)

    def deliver(self) -> float:
        """Write what has arrived; return when the next will, in seconds of the monotonic clock."""
        now = time.monotonic()
        while self._under_way and self._under_way[0][0] <= now:
            try:
                os.write(self._target, self._under_way.popleft()[1])
            except OSError:
                continue  # the device is not up
        return self._under_way[0][0] if self._under_way else now + 1.0

    def _send_off(self, packet: bytes) -> None:
        now = time.monotonic()
        begin = max(now, self._free)
        if begin - now > self._line.queue:
            return
        self._free = begin + 8 * on_the_wire(packet) / self._line.rate
        self._under_way.append((self._free + self._line.delay, packet))

    def _survivors(self, packet: bytes) -> list[bytes]:
        """Return the packet without the segments that are lost."""
        if not self._line.loss:
            return [packet]
        count = segments(packet)
        lost = [n for n in range(count) if self._random.random() < self._line.loss]
        return without(packet, lost) if lost else [packet]


def segments(packet: bytes) -> int:
    """Return how many packets of Ethernet it will be."""
    _, kind, header, size, _, _ = VNET.unpack_from(packet)
    return max(1, -(-(len(packet) - VNET.size - header) // size)) if kind and size else 1


def on_the_wire(packet: bytes) -> int:
    """Return the bytes that it takes on Ethernet."""
    count = segments(packet)
    header = VNET.unpack_from(packet)[2] or HEADERS
    return len(packet) - VNET.size + (count - 1) * header + count * ETHERNET


def without(packet: bytes, lost: list[int]) -> list[bytes]:
    """Return what is left of a packet of many segments when some are lost."""
    _, kind, header, size, _, _ = VNET.unpack_from(packet)
    if not kind:
        return []
    begin, left = VNET.size + header, []
    runs: list[list[int]] = []
    for number in range(segments(packet)):
        if number in lost:
            runs.append([])
        elif runs:
            runs[-1].append(number)
        else:
            runs.append([number])
    for run in runs:
        if run:
            first, last = begin + run[0] * size, begin + (run[-1] + 1) * size
            left.append(_piece(packet, first - begin, packet[first:last]))
    return left


def _piece(packet: bytes, offset: int, payload: bytes) -> bytes:
    """Return a packet with a part of another's payload."""
    flags, kind, header, size, checksum_at, checksum_offset = VNET.unpack_from(packet)
    head = bytearray(packet[VNET.size : VNET.size + header])
    ip_length = (head[0] & 15) * 4
    struct.pack_into(">H", head, 2, header + len(payload))
    struct.pack_into(">H", head, 10, 0)
    struct.pack_into(">H", head, 10, _checksum(bytes(head[:ip_length])))
    (sequence,) = SEQUENCE.unpack_from(head, ip_length + 4)
    SEQUENCE.pack_into(head, ip_length + 4, (sequence + offset) & 0xFFFFFFFF)
    # The kernel completes it: here is the sum of the pseudo header alone.
    pseudo = head[12:20] + struct.pack(">HH", 6, header - ip_length + len(payload))
    struct.pack_into(">H", head, checksum_at + checksum_offset, _checksum(bytes(pseudo)) ^ 0xFFFF)
    kind = kind if len(payload) > size else 0
    vnet = VNET.pack(flags, kind, header, size if kind else 0, checksum_at, checksum_offset)
    return vnet + bytes(head) + payload


def _checksum(data: bytes) -> int:
    """Return the checksum of the internet (RFC 1071)."""
    words = array.array("H", data)
    words.byteswap()
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class Lan:
    """Two namespaces, near and far, and a line between them that is as fast as the machine."""

    NEAR: ClassVar[str] = "10.91.0.1"
    FAR: ClassVar[str] = "10.91.0.2"

    def __enter__(self) -> Self:
        """Make the namespaces and the line."""
        for name in ("near", "far"):
            if Path(f"/run/netns/sarra-{name}").exists():  # of a run that was killed
                _ip("netns", "delete", f"sarra-{name}")
            _ip("netns", "add", f"sarra-{name}")
        self._join()
        for name, own, other in (("near", self.NEAR, self.FAR), ("far", self.FAR, self.NEAR)):
            device = f"sarra-{name}"
            _ip("-n", device, "addr", "add", own, "peer", other, "dev", device)
            _ip("-n", device, "link", "set", device, "up")
            _ip("-n", device, "link", "set", "lo", "up")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove all of it."""
        for name in ("near", "far"):
            _ip("netns", "delete", f"sarra-{name}")

    def near(self, *command: str) -> list[str]:
        """Return a command that runs another at the near end."""
        return ["ip", "netns", "exec", "sarra-near", *command]

    def far(self, *command: str) -> list[str]:
        """Return a command that runs another at the far end."""
        return ["ip", "netns", "exec", "sarra-far", *command]

    def _join(self) -> None:
        far = ("peer", "name", "sarra-far", "netns", "sarra-far")
        _ip("-n", "sarra-near", "link", "add", "sarra-near", "type", "veth", *far)


class Wan(Lan):
    """The same with a relay between them."""

    def __init__(self, rate: float, round_trip: float, loss: float = 0.0) -> None:
        """Bits a second, seconds, and the share of packets that are lost, each way."""
        # 8 MB may queue at the narrow place, as they do in routers.
        self._line = Line(rate, round_trip / 2, 8 * 8e6 / rate, loss)
        self._relay: Any = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove all of it."""
        self._relay.terminate()
        self._relay.join()
        super().__exit__(kind, error, trace)

    def _join(self) -> None:
        devices = []
        for name in ("near", "far"):
            devices.append(tun(f"sarra-{name}"))
            _ip("link", "set", f"sarra-{name}", "netns", f"sarra-{name}")
        self._relay = multiprocessing.Process(target=relay, args=(self._line, devices), daemon=True)
        self._relay.start()
        for device in devices:
            os.close(device)


def tun(name: str) -> int:
    """Make a TUN device that takes large packets; return its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(device, TUNSETVNETHDRSZ, struct.pack("i", VNET.size))
    fcntl.ioctl(device, TUNSETOFFLOAD, OFFLOADS)
    return device


def relay(line: Line, devices: list[int]) -> None:
    """Carry packets both ways until killed, or left alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = os.getppid()
    one, other = devices
    ways = [Direction(line, one, other, 1), Direction(line, other, one, 2)]
    while os.getppid() == parent:
        wait = min(way.deliver() for way in ways) - time.monotonic()
        ready, _, _ = select.select(devices, [], [], max(0.0, wait))
        for way in ways:
            if way.source in ready:
                way.take()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
