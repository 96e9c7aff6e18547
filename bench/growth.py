"""Measures how our engine scales with files, bytes, connections and processes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.broker import BrokerSetup
from bench.install import ROOT
from bench.peers import OURS, PEERS
from bench.transfer import Files, Turns, checked, sending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.results import Series
    from bench.stage import Stage
    from bench.usage import Used

GIB: Final = 1 << 30
KIB10: Final = 10 << 10
_RESERVE: Final = 4 * GIB  # of the disk, left free


def growth(stage: Stage, *, quick: bool) -> dict[str, list[Series]]:
    """Measure everything once; return the series by the quantity that grows."""
    return {
        "files of 10 KiB": list(_files(stage, quick=quick)),
        "GiB in one file": list(_sizes(stage, quick=quick)),
        "connections, one file": list(_connections(stage, 1, GIB >> 6 if quick else GIB)),
        "connections, files of 10 KiB": list(_connections(stage, 100 if quick else 10_000, KIB10)),
        "processes, files of 10 KiB": _processes(stage, 100 if quick else 10_000),
    }


def _files(stage: Stage, *, quick: bool) -> Iterator[Series]:
    for count in (100, 1000) if quick else (100, 1000, 10_000, 100_000):
        yield _engine(stage, f"{count:,} files", Files(count, KIB10, count))


def _sizes(stage: Stage, *, quick: bool) -> Iterator[Series]:
    """Use files in memory while it can hold source and destination, and on the disk above that."""
    available = Path("/proc/meminfo").read_text().partition("MemAvailable:")[2]
    memory = int(available.split()[0]) * 1024 // 3
    for number in (1,) if quick else (1, 2, 4, 8, 16, 32, 64):
        size = GIB >> 6 if quick else number * GIB
        if size <= memory:
            yield _engine(stage, f"{size / GIB:g} GiB", Files(1, size, 1))
        elif size <= shutil.disk_usage(ROOT).free - _RESERVE:
            with stage.on_disk():
                yield _engine(stage, f"{size / GIB:g} GiB, disk", Files(1, size, 1))


def _connections(stage: Stage, count: int, size: int) -> Iterator[Series]:
    for connections in (1, 2, 4, 8, 16, 32):
        option = f" --connections {connections}"
        yield _engine(stage, f"{connections} connections", Files(count, size, count), option)


def _engine(stage: Stage, name: str, files: Files, option: str = "") -> Series:
    peer = PEERS[OURS]
    run = sending(stage, replace(peer, large=peer.large + option), many=files.count > 1)
    return _once(stage, name, files, run)


def _processes(stage: Stage, count: int) -> list[Series]:
    files = Files(count, KIB10, count)
    with BrokerSetup(stage) as broker:
        runs = {n: checked(stage, partial(broker.send_with_ours, n)) for n in (1, 2, 4, 8)}
        return [_once(stage, f"{n} processes", files, run) for n, run in runs.items()]


def _once(stage: Stage, name: str, files: Files, run: Callable[[], Used]) -> Series:
    turns = Turns(stage, "lan", name, files, sparse=files.count == 1)
    turns.add(OURS, run, files.count)
    return turns.run(1)[0]
