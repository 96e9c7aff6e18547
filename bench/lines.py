"""The lines on which peers are measured; ``ping`` and ``iperf3`` check each of them.

A line is a network link between two network namespaces of this machine, "near" for the clients and
"far" for the servers; see ``bench.wan``.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from bench.wan import Lan, Wan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_AVERAGE: Final = re.compile(r"= [\d.]+/([\d.]+)/")


@dataclass(frozen=True)
class Kind:
    """A kind of line.  ``congestion``: TCP congestion control; None for the machine's default."""

    what: str
    make: Callable[[], Lan]
    congestion: str | None = None


class Check(msgspec.Struct):
    """A checked line: round trip in ms, and Mbit/s of one TCP stream and of four."""

    what: str
    congestion: str
    ping: float
    one_stream: float
    four_streams: float


_LONG: Final = "1 Gbit/s, 50 ms there and back"
_LOSSY: Final = f"{_LONG}, 0.01 % of packets lost each way"
LINES: Final = {
    "lan": Kind("two network namespaces, as fast as the machine is", Lan),
    "wan": Kind(_LONG, lambda: Wan(1e9, 0.05)),
    "lossy": Kind(_LOSSY, lambda: Wan(1e9, 0.05, 0.0001)),
    "wan-cubic": Kind(_LONG, lambda: Wan(1e9, 0.05), "cubic"),
    "lossy-cubic": Kind(_LOSSY, lambda: Wan(1e9, 0.05, 0.0001), "cubic"),
}


@contextmanager
def opened(name: str) -> Iterator[Lan]:
    """Create a line, and run in its near namespace until the line is removed."""
    kind = LINES[name]
    with kind.make() as line:
        if kind.congestion:
            _set_congestion(line, kind.congestion)
        with in_namespace("/run/netns/sarra-near"):
            yield line


def _set_congestion(line: Lan, congestion: str) -> None:
    """Set the congestion control by routes: a namespace can set only those the machine allows."""
    for end, own, other in (("near", line.NEAR, line.FAR), ("far", line.FAR, line.NEAR)):
        device = f"sarra-{end}"
        route = ["route", "replace", other, "dev", device, "src", own, "congctl", congestion]
        subprocess.run(["ip", "-n", device, *route], check=True)


def check(name: str, line: Lan, seconds: int) -> Check:
    """Measure a line; ``seconds`` is the duration of each of the two throughput measurements."""
    one_stream, congestion = _throughput(line, 1, seconds)
    four_streams, _ = _throughput(line, 4, seconds)
    return Check(LINES[name].what, congestion, _ping(line), one_stream, four_streams)


@contextmanager
def in_namespace(namespace: str) -> Iterator[None]:
    """Run this thread, and the programs that it starts, in a network namespace."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        other = os.open(namespace, os.O_RDONLY)
        try:
            _enter(other)
        finally:
            os.close(other)
        try:
            yield
        finally:
            _enter(own)
    finally:
        os.close(own)


def _enter(descriptor: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "setns")


def _ping(line: Lan) -> float:
    match = _AVERAGE.search(_output("ping", "-q", "-c", "10", "-i", "0.1", line.FAR))
    return float(match[1]) if match else float("nan")


def _throughput(line: Lan, streams: int, seconds: int) -> tuple[float, str]:
    """Return the received Mbit/s, and the congestion control of the sending end."""
    server = subprocess.Popen(
        line.far("iperf3", "--server", "--one-off", "--bind", line.FAR),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        command = ["iperf3", "--client", line.FAR, "--parallel", str(streams), "--json"]
        for _ in range(20):  # until the server listens
            time.sleep(0.1)
            report: dict[str, Any] = json.loads(_output(*command, "--time", str(seconds)) or "{}")
            if "error" not in report:
                end = report["end"]
                rate = float(end["sum_received"]["bits_per_second"]) / 1e6
                return rate, str(end["sender_tcp_congestion"])
        return float("nan"), "unknown"
    finally:
        server.kill()
        server.wait()


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout
