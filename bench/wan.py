"""Network links between two namespaces of this machine: a fast one, or one with rate, delay, loss.

``with Wan(rate=1e9, round_trip=0.05) as line: line.near("ping", "-c3", line.FAR)``.  A relay of our
own carries packets between two TUN devices, because the kernel may lack netem.  The kernel hands
over packets of up to 64 KiB with one header (GSO); rate and loss apply to the Ethernet packets that
they stand for.  Needs root.
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
OFFLOADS: Final = 0x01 | 0x02  # TUN_F_CSUM and TUN_F_TSO4: no checksums, no segmentation
# struct virtio_net_hdr: flags, kind of GSO, header length, segment size, and for the checksum its
# start and its offset from there; sizes in bytes.
VNET: Final = struct.Struct("<BBHHHH")
MAX_PACKET: Final = 65536 + VNET.size
HEADERS: Final = 52  # bytes of IP and TCP headers, with the TCP timestamp option
ETHERNET: Final = 38  # bytes of Ethernet for each packet, with preamble and inter-packet gap
SEQUENCE: Final = struct.Struct(">I")


class Line(NamedTuple):
    """One direction: rate in bit/s, delay and maximum queue in seconds, loss ratio of segments."""

    rate: float
    delay: float
    queue: float
    loss: float


class Direction:
    """Carries packets from one TUN device to the other with the line's rate, delay and loss."""

    def __init__(self, line: Line, source: int, target: int, seed: int) -> None:
        """Set the descriptors of the TUN devices, ``source`` and ``target``."""
        self.source = source
        self._line = line
        self._target = target
        self._random = random.Random(seed)
        self._idle_from = 0.0
        self._in_flight: deque[tuple[float, bytes]] = deque()

    def receive(self) -> None:
        """Read all packets that wait at the source, and queue or drop each."""
        while True:
            try:
                packet = os.read(self.source, MAX_PACKET)
            except BlockingIOError:
                return
            for part in self._without_lost(packet):
                self._enqueue(part)

    def deliver(self) -> float:
        """Write packets whose delay has passed; return when the next is due, monotonic seconds."""
        now = time.monotonic()
        while self._in_flight and self._in_flight[0][0] <= now:
            try:
                os.write(self._target, self._in_flight.popleft()[1])
            except OSError:
                continue  # the device is down
        return self._in_flight[0][0] if self._in_flight else now + 1.0

    def _enqueue(self, packet: bytes) -> None:
        now = time.monotonic()
        begin = max(now, self._idle_from)
        if begin - now > self._line.queue:
            return
        self._idle_from = begin + 8 * ethernet_bytes(packet) / self._line.rate
        self._in_flight.append((self._idle_from + self._line.delay, packet))

    def _without_lost(self, packet: bytes) -> list[bytes]:
        """Return the packet, or its remaining parts when some of its segments are lost."""
        if not self._line.loss:
            return [packet]
        count = segments(packet)
        lost = [n for n in range(count) if self._random.random() < self._line.loss]
        return without_segments(packet, lost) if lost else [packet]


def segments(packet: bytes) -> int:
    """Return the number of Ethernet packets that a packet stands for."""
    _, kind, header, size, _, _ = VNET.unpack_from(packet)
    return max(1, -(-(len(packet) - VNET.size - header) // size)) if kind and size else 1


def ethernet_bytes(packet: bytes) -> int:
    """Return the bytes that a packet uses on Ethernet."""
    count = segments(packet)
    header = VNET.unpack_from(packet)[2] or HEADERS
    return len(packet) - VNET.size + (count - 1) * header + count * ETHERNET


def without_segments(packet: bytes, lost: list[int]) -> list[bytes]:
    """Return the parts of a packet that remain without the lost segments, each a packet."""
    _, kind, header, size, _, _ = VNET.unpack_from(packet)
    if not kind:
        return []
    begin, remaining = VNET.size + header, []
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
            remaining.append(_part(packet, first - begin, packet[first:last]))
    return remaining


def _part(packet: bytes, offset: int, payload: bytes) -> bytes:
    """Return a packet with ``payload``, which starts at ``offset`` in the packet's payload."""
    flags, kind, header, size, checksum_at, checksum_offset = VNET.unpack_from(packet)
    head = bytearray(packet[VNET.size : VNET.size + header])
    ip_length = (head[0] & 15) * 4
    struct.pack_into(">H", head, 2, header + len(payload))
    struct.pack_into(">H", head, 10, 0)
    struct.pack_into(">H", head, 10, _checksum(bytes(head[:ip_length])))
    (sequence,) = SEQUENCE.unpack_from(head, ip_length + 4)
    SEQUENCE.pack_into(head, ip_length + 4, (sequence + offset) & 0xFFFFFFFF)
    # Only the sum of the pseudo header: the kernel completes the checksum.
    pseudo = head[12:20] + struct.pack(">HH", 6, header - ip_length + len(payload))
    struct.pack_into(">H", head, checksum_at + checksum_offset, _checksum(bytes(pseudo)) ^ 0xFFFF)
    kind = kind if len(payload) > size else 0
    vnet = VNET.pack(flags, kind, header, size if kind else 0, checksum_at, checksum_offset)
    return vnet + bytes(head) + payload


def _checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071)."""
    words = array.array("H", data)
    words.byteswap()
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


class Lan:
    """Two namespaces, near and far, joined by a veth pair that is as fast as the machine."""

    NEAR: ClassVar[str] = "10.91.0.1"
    FAR: ClassVar[str] = "10.91.0.2"

    def __enter__(self) -> Self:
        """Create the namespaces and the link."""
        for name in ("near", "far"):
            if Path(f"/run/netns/sarra-{name}").exists():  # left by a killed run
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
        """Remove the namespaces, and with them the link."""
        for name in ("near", "far"):
            _ip("netns", "delete", f"sarra-{name}")

    def near(self, *command: str) -> list[str]:
        """Return the command that runs a command in the near namespace."""
        return ["ip", "netns", "exec", "sarra-near", *command]

    def far(self, *command: str) -> list[str]:
        """Return the command that runs a command in the far namespace."""
        return ["ip", "netns", "exec", "sarra-far", *command]

    def _join(self) -> None:
        far = ("peer", "name", "sarra-far", "netns", "sarra-far")
        _ip("-n", "sarra-near", "link", "add", "sarra-near", "type", "veth", *far)


class Wan(Lan):
    """Two namespaces joined by a relay, with a rate, a round trip and loss."""

    def __init__(self, rate: float, round_trip: float, loss: float = 0.0) -> None:
        """Set bit/s, seconds, and the ratio of packets lost in each direction."""
        # The queue holds 8 MB, as in routers.
        self._line = Line(rate, round_trip / 2, 8 * 8e6 / rate, loss)
        self._relay: Any = None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop the relay and remove the namespaces."""
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
    """Create a TUN device that accepts GSO packets; return its descriptor."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
    fcntl.ioctl(device, TUNSETVNETHDRSZ, struct.pack("i", VNET.size))
    fcntl.ioctl(device, TUNSETOFFLOAD, OFFLOADS)
    return device


def relay(line: Line, devices: list[int]) -> None:
    """Carry packets in both directions until killed or until the parent process ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    parent = os.getppid()
    near, far = devices
    directions = [Direction(line, near, far, 1), Direction(line, far, near, 2)]
    while os.getppid() == parent:
        wait = min(direction.deliver() for direction in directions) - time.monotonic()
        ready, _, _ = select.select(devices, [], [], max(0.0, wait))
        for direction in directions:
            if direction.source in ready:
                direction.receive()


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)
