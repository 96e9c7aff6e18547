"""What must be reached, and whether it is."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.peers import BROKER, OURS, PEERS, POOL, SR3_BROKER
from bench.results import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.results import Results, Series

GIB: Final = 1024 * MIB
GOODPUT: Final = 117.7e6  # bytes a second of TCP's that 1 Gbit/s of Ethernet carries


class Verdict(NamedTuple):
    """A target, what was reached, and whether that is enough; None: nothing to compare with."""

    what: str
    target: str
    reached: str
    met: bool | None


def verdicts(results: Results) -> list[Verdict]:
    """Return all targets."""
    parts = (_lan, _wan, _lossy, _pool, _small, _through_broker, _posts, _idle)
    return [verdict for part in parts for verdict in part(results)]


def _lan(results: Results) -> Iterator[Verdict]:
    place = ("lan", "1 GiB")
    yield _times(results, place, OURS, 0.95, _encrypted(), "best encrypted peer")
    yield _times(results, place, OURS, 0.3, ["sr3"], "sr3")
    ours, sftp = results.find(*place, OURS), results.find(*place, "sftp")
    cpu = _ratio(ours, sftp, lambda one: one.median("client_cpu"))
    yield _at_most("client CPU of 1 GiB, lan", cpu, 1.2, " x sftp")
    room = "<= 64 MiB a process + 12 MiB a connection"
    if ours is None:
        yield Verdict("memory of 1 GiB, lan", room, "", None)
        return
    connections = max(1, int(ours.median("processes")) - 1)
    peak = ours.median("peak") / MIB
    reached = f"{peak:.0f} MiB, {connections} connections"
    yield Verdict("memory of 1 GiB, lan", room, reached, peak <= 64 + 12 * connections)


def _wan(results: Results) -> Iterator[Verdict]:
    place = ("wan", "1 GiB")
    yield _times(results, place, OURS, 0.4, ["sftp tuned"], "sftp tuned")
    yield _times(results, place, OURS, 1.0, _encrypted(), "best encrypted peer")
    yield _times(results, place, OURS, 1.05, ["gridftp"], "gridftp")


def _lossy(results: Results) -> Iterator[Verdict]:
    place = ("lossy", "1 GiB")
    yield _times(results, place, OURS, 0.4, ["sftp tuned"], "sftp tuned")
    yield _times(results, place, OURS, 1.0, _encrypted(), "best encrypted peer")
    place = ("lossy-cubic", "200 MiB")
    yield _times(results, place, OURS, 1.0, _encrypted(), "best encrypted peer")


def _pool(results: Results) -> Iterator[Verdict]:
    large = results.find("wan", "1 GiB", POOL)
    share = large.rate / GOODPUT if large else None
    yield _at_least("open pool, 1 GiB, wan", share, 0.93, " of the line's 117.7 MB/s")
    small = results.find("wan", "5,000 files", POOL)
    yield _at_least("open pool, 5,000 files, wan", small.rate if small else None, 3000, " files/s")


def _small(results: Results) -> Iterator[Verdict]:
    place = ("lan", "10,000 files")
    what = "10,000 files, lan"
    sftp = [name for name, peer in PEERS.items() if peer.sftp and name not in (OURS, POOL)]
    ratio = _ratio(_best(results, place, sftp), results.find(*place, OURS), _seconds)
    yield _at_least(what, ratio, 2.5, " x the rate of the best SFTP peer")
    yield _times(results, place, OURS, 1.0, ["rsync"], "rsync")


def _through_broker(results: Results) -> Iterator[Verdict]:
    place = ("lan", "10,000 files")
    what = "10,000 files, lan, broker"
    ours = results.find(*place, BROKER)
    yield _at_least(what, ours.rate if ours else None, 1500, " files/s")
    yield _at_least(what, _ratio(results.find(*place, SR3_BROKER), ours, _seconds), 10, " x sr3")
    place = ("wan", "5,000 files")
    what = "5,000 files, wan, broker"
    ours = results.find(*place, BROKER)
    for peer, least in (("sftp", 100), ("scp", 100), ("asyncssh", 5)):
        ratio = _ratio(results.find(*place, peer), ours, _seconds)
        yield _at_least(what, ratio, least, f" x the rate of {peer}")
    yield _times(results, place, BROKER, 1.5, ["rsync"], "rsync")


def _posts(results: Results) -> Iterator[Verdict]:
    ours, theirs = (results.find("lan", "posts", peer) for peer in (OURS, "sr3"))
    ratio = _ratio(theirs, ours, _seconds)
    yield _at_least("sr_post of 10,000 x 1 KiB", ratio, 8, " x the rate of sr3_post")
    million = results.million
    what = f"sr_post of {million.files if million else 1_000_000:,} files"
    yield _at_most(f"{what}, first announcement", million.first if million else None, 1.0, " s")
    yield _at_most(f"{what}, memory", million.peak / MIB if million else None, 60, " MiB")


def _idle(results: Results) -> Iterator[Verdict]:
    what = "idle, announced to"
    for name in ("seen", "reported"):
        times = getattr(results.idle, name, None)
        median = 1000 * statistics.median(times) if times else None
        yield _at_most(f"{what} {name}, median", median, 50, " ms")


def _encrypted() -> list[str]:
    return [name for name, peer in PEERS.items() if peer.encrypted and name not in (OURS, POOL)]


def _best(results: Results, place: tuple[str, str], peers: Iterable[str]) -> Series | None:
    """Return the fastest of some peers that were measured."""
    found = [series for peer in peers if (series := results.find(*place, peer))]
    return min(found, key=_seconds, default=None)


def _seconds(series: Series) -> float:
    return series.seconds


def _ratio(
    over: Series | None, under: Series | None, value: Callable[[Series], float]
) -> float | None:
    return value(over) / max(value(under), 1e-9) if over and under else None


def _times(
    results: Results, place: tuple[str, str], ours: str, most: float, peers: list[str], named: str
) -> Verdict:
    """Compare seconds of ours with those of the best of some peers, which are named so."""
    line, work = place
    best = _best(results, place, peers)
    if best and best.peer != named:
        named = f"{named}, {best.peer}"
    ratio = _ratio(results.find(*place, ours), best, _seconds)
    what = f"{work}, {line}" + (", broker" if ours == BROKER else "")
    return _at_most(what, ratio, most, f" x the time of {named}")


def _at_most(what: str, value: float | None, most: float, unit: str) -> Verdict:
    met = None if value is None else value <= most
    return Verdict(what, f"<= {most:g}{unit}", _reached(value), met)


def _at_least(what: str, value: float | None, least: float, unit: str) -> Verdict:
    met = None if value is None else value >= least
    return Verdict(what, f">= {least:,g}{unit}", _reached(value), met)


def _reached(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
