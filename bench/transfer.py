"""Runs the peers alternately, so that other load of the machine affects all of them equally."""

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

SLOW: Final = 120.0  # seconds; a peer that takes longer has one run only
_TIMEOUT: Final = 600.0  # seconds


@dataclass(frozen=True)
class Files:
    """A work: to send ``count`` files of ``size`` bytes.

    ``few``: the number for slow cases: peers that send one file at a time over a line with a long
    round trip, and sr3 with a broker on any line.
    """

    count: int
    size: int
    few: int


class Turns:
    """One work on one line: the peers, and their runs in rounds."""

    def __init__(
        self, stage: Stage, line: str, work: str, files: Files, *, sparse: bool = False
    ) -> None:
        """Start without peers.  ``sparse``: the files are all zeros and use no disk space."""
        self._sparse = sparse
        self.series: dict[str, Series] = {}
        self._stage = stage
        self._line = line
        self._work = work
        self._files = files
        self._runners: dict[str, Callable[[], Used]] = {}

    def add(self, peer: str, run: Callable[[], Used], sent: int) -> None:
        """Add a peer, which sends ``sent`` of the files."""
        self._runners[peer] = run
        work = (self._files.count, self._files.size)
        self.series[peer] = Series(self._line, self._work, peer, *work, sent)

    def run(self, rounds: int) -> list[Series]:
        """Run each peer once a round; print each result and return the series."""
        filled = 0
        for round_number in range(rounds):
            for peer, series in self.series.items():
                if round_number and (series.problem or not series.runs):
                    continue
                if series.sent != filled:
                    self._stage.fill(series.sent, self._files.size, sparse=self._sparse)
                    filled = series.sent
                self._stage.empty()
                self._run_once(peer, series)
        return list(self.series.values())

    def _run_once(self, peer: str, series: Series) -> None:
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
    """Return a function that runs a peer, and raises Failed if not all files arrived."""
    command = stage.command(peer.template(many=many))

    def run() -> Used:
        used = measured(Work(command, stage.servers, patience=_TIMEOUT, cwd=ROOT))
        check(stage)
        if peer.prints_seconds:
            return used._replace(seconds=float(used.output.split()[-1]))
        return used

    return run


def check(stage: Stage) -> None:
    """Raise Failed if not all files of the source are at the destination."""
    if not stage.complete():
        raise Failed("ended well, but not all has arrived")


def checked(stage: Stage, run: Callable[[], Used]) -> Callable[[], Used]:
    """Return a function that calls ``run``, and raises Failed if not all files arrived."""

    def run_and_check() -> Used:
        used = run()
        check(stage)
        return used

    return run_and_check


def transfer(
    stage: Stage,
    case: tuple[str, str],
    files: Files,
    peers: dict[str, Peer],
    brokered: dict[str, Callable[[], Used]],
) -> Turns:
    """Return the turns of peers for a case, a line and a work.

    ``brokered``: programs that need a broker; they are measured only with many files.
    """
    line, work = case
    many = files.count > 1
    turns = Turns(stage, line, work, files)
    for name, peer in peers.items():
        few = many and not peer.pipelined and line != "lan"
        turns.add(name, sending(stage, peer, many=many), files.few if few else files.count)
    for name, run in brokered.items() if many else ():
        sent = files.few if name == SR3_BROKER else files.count
        turns.add(name, checked(stage, run), sent)
    return turns
