"""Lets the peers take turns at sending files, so that what else the machine does meets all."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bench.install import ROOT
from bench.peers import SR3_BROKER, Peer
from bench.results import Run, Series
from bench.usage import Failed, Used, Work, measured
from tests.lab import LabError

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.stage import Stage

SLOW: Final = 120.0  # seconds; who takes longer has only one turn
_PATIENCE: Final = 600.0  # seconds


@dataclass(frozen=True)
class Files:
    """A work: so many files of so many bytes.

    ``few``: how many are sent by peers that wait for each file before the next, over a long line;
    and by sr3 through the broker, which is slow on any.
    """

    count: int
    size: int
    few: int


class Turns:
    """One work on one line, and the runs of each peer."""

    def __init__(
        self, stage: Stage, line: str, work: str, files: Files, *, sparse: bool = False
    ) -> None:
        """Nothing is measured yet.  ``sparse``: the files are all zeros, and take no room here."""
        self._sparse = sparse
        self.series: dict[str, Series] = {}
        self._stage = stage
        self._line = line
        self._work = work
        self._files = files
        self._runners: dict[str, Callable[[], Used]] = {}

    def add(self, peer: str, run: Callable[[], Used], sent: int) -> None:
        """Let one more take part: it sends so many of the files."""
        self._runners[peer] = run
        work = (self._files.count, self._files.size)
        self.series[peer] = Series(self._line, self._work, peer, *work, sent)

    def take(self, rounds: int) -> list[Series]:
        """Let everybody have so many turns; return what came of it, which is also printed."""
        filled = 0
        for turn in range(rounds):
            for peer, series in self.series.items():
                if turn and (series.problem or not series.runs):
                    continue
                if series.sent != filled:
                    self._stage.fill(series.sent, self._files.size, sparse=self._sparse)
                    filled = series.sent
                self._stage.empty()
                self._turn(peer, series)
        return list(self.series.values())

    def _turn(self, peer: str, series: Series) -> None:
        try:
            used = self._runners[peer]()
        except (Failed, LabError) as error:
            series.problem = str(error)[:500]
            sys.stderr.write(f"{self._line}, {self._work}, {peer}: {error}\n")
            return
        series.runs.append(
            Run(used.seconds, used.client_cpu, used.server_cpu, used.peak, used.processes)
        )
        if used.seconds > SLOW:
            series.problem = f"one turn only: it takes longer than {SLOW:g} s"
        print(
            f"{self._line:<12} {self._work:<12} {peer:<22} {used.seconds:8.2f} s"
            f"  cpu {used.client_cpu:6.2f} {used.server_cpu:6.2f}  {used.peak / 2**20:6.1f} MiB",
            flush=True,
        )


def sending(stage: Stage, peer: Peer, *, many: bool) -> Callable[[], Used]:
    """Return what lets a peer send all that is at the source; raises Failed if not all arrived."""
    command = stage.command(peer.template(many=many))

    def run() -> Used:
        used = measured(Work(command, stage.servers, patience=_PATIENCE, cwd=ROOT))
        check(stage)
        return used._replace(seconds=float(used.output.split()[-1])) if peer.inside else used

    return run


def check(stage: Stage) -> None:
    """Raise Failed when not all has arrived."""
    if not stage.complete():
        raise Failed("ended well, but not all has arrived")


def through(stage: Stage, run: Callable[[], Used]) -> Callable[[], Used]:
    """Return the same for what goes through the broker."""

    def checked() -> Used:
        used = run()
        check(stage)
        return used

    return checked


def transfer(
    stage: Stage,
    place: tuple[str, str],
    files: Files,
    peers: dict[str, Peer],
    brokered: dict[str, Callable[[], Used]],
) -> Turns:
    """Return the turns at a work of a line (``place``) of peers, and of those with a broker.

    The latter take part only where files are many.
    """
    line, work = place
    many = files.count > 1
    turns = Turns(stage, line, work, files)
    for name, peer in peers.items():
        few = many and not peer.hasty and line != "lan"
        turns.add(name, sending(stage, peer, many=many), files.few if few else files.count)
    for name, run in brokered.items() if many else ():
        sent = files.few if name == SR3_BROKER else files.count
        turns.add(name, through(stage, run), sent)
    return turns
