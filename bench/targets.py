"""The performance targets, and whether the results meet them."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.peers import BROKER, OURS, PEERS, POOL, SR3_BROKER
from bench.results import MIB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.results import Results, Series

GIB: Final = 1024 * MIB
GOODPUT: Final = 117.7e6  # bytes per second of TCP payload on 1 Gbit/s Ethernet


class Verdict(NamedTuple):
    """A target, the measured value, and whether it is met; None if something was not measured."""

    what: str
    target: str
    reached: str
    met: bool | None


def verdicts(results: Results) -> list[Verdict]:
    """Return a verdict for each target."""
    groups = (_lan, _wan, _lossy, _pool, _small, _with_broker, _posts, _idle)
    return [verdict for group in groups for verdict in group(results)]


def _lan(results: Results) -> Iterator[Verdict]:
    case = ("lan", "1 GiB")
    yield _times(results, case, OURS, 0.95, _encrypted(), "best encrypted peer")
    yield _times(results, case, OURS, 0.3, ["sr3"], "sr3")
    ours, sftp = results.find(*case, OURS), results.find(*case, "sftp")
    cpu = _ratio(ours, sftp, lambda one: one.median("client_cpu"))
    yield _at_most("client CPU of 1 GiB, lan", cpu, 1.2, " x sftp")
    limit = "<= 64 MiB a process + 12 MiB a connection"
    if ours is None:
        yield Verdict("memory of 1 GiB, lan", limit, "", None)
        return
    connections = max(1, int(ours.median("processes")) - 1)
    peak = ours.median("peak") / MIB
    reached = f"{peak:.0f} MiB, {connections} connections"
    yield Verdict("memory of 1 GiB, lan", limit, reached, peak <= 64 + 12 * connections)


def _wan(results: Results) -> Iterator[Verdict]:
    case = ("wan", "1 GiB")
    yield _times(results, case, OURS, 0.4, ["sftp tuned"], "sftp tuned")
    yield _times(results, case, OURS, 1.0, _encrypted(), "best encrypted peer")
    yield _times(results, case, OURS, 1.05, ["gridftp"], "gridftp")


def _lossy(results: Results) -> Iterator[Verdict]:
    case = ("lossy", "1 GiB")
    yield _times(results, case, OURS, 0.4, ["sftp tuned"], "sftp tuned")
    yield _times(results, case, OURS, 1.0, _encrypted(), "best encrypted peer")
    case = ("lossy-cubic", "200 MiB")
    yield _times(results, case, OURS, 1.0, _encrypted(), "best encrypted peer")


def _pool(results: Results) -> Iterator[Verdict]:
    large = results.find("wan", "1 GiB", POOL)
    ratio = large.rate / GOODPUT if large else None
    yield _at_least("open pool, 1 GiB, wan", ratio, 0.93, " of the line's 117.7 MB/s")
    small = results.find("wan", "5,000 files", POOL)
    yield _at_least("open pool, 5,000 files, wan", small.rate if small else None, 3000, " files/s")


def _small(results: Results) -> Iterator[Verdict]:
    case = ("lan", "10,000 files")
    what = "10,000 files, lan"
    sftp = [name for name, peer in PEERS.items() if peer.sftp and name not in (OURS, POOL)]
    ratio = _ratio(_best(results, case, sftp), results.find(*case, OURS), _seconds)
    yield _at_least(what, ratio, 2.5, " x the rate of the best SFTP peer")
    yield _times(results, case, OURS, 1.0, ["rsync"], "rsync")


def _with_broker(results: Results) -> Iterator[Verdict]:
    case = ("lan", "10,000 files")
    what = "10,000 files, lan, broker"
    ours = results.find(*case, BROKER)
    yield _at_least(what, ours.rate if ours else None, 1500, " files/s")
    yield _at_least(what, _ratio(results.find(*case, SR3_BROKER), ours, _seconds), 10, " x sr3")
    case = ("wan", "5,000 files")
    what = "5,000 files, wan, broker"
    ours = results.find(*case, BROKER)
    for peer, least in (("sftp", 100), ("scp", 100), ("asyncssh", 5)):
        ratio = _ratio(results.find(*case, peer), ours, _seconds)
        yield _at_least(what, ratio, least, f" x the rate of {peer}")
    yield _times(results, case, BROKER, 1.5, ["rsync"], "rsync")


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


def _best(results: Results, case: tuple[str, str], peers: Iterable[str]) -> Series | None:
    """Return the series of the fastest of some peers, of those that were measured."""
    measured = [series for peer in peers if (series := results.find(*case, peer))]
    return min(measured, key=_seconds, default=None)


def _seconds(series: Series) -> float:
    return series.seconds


def _ratio(
    numerator: Series | None, denominator: Series | None, value: Callable[[Series], float]
) -> float | None:
    if numerator is None or denominator is None:
        return None
    return value(numerator) / max(value(denominator), 1e-9)


def _times(
    results: Results, case: tuple[str, str], ours: str, most: float, peers: list[str], named: str
) -> Verdict:
    """Compare the seconds of one of our programs with those of the best of some peers.

    ``most``: maximum ratio.  ``named``: what the target calls these peers.
    """
    line, work = case
    best = _best(results, case, peers)
    if best and best.peer != named:
        named = f"{named}, {best.peer}"
    ratio = _ratio(results.find(*case, ours), best, _seconds)
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
