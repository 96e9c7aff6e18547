"""The bench's report and targets, computed from results."""

from __future__ import annotations

import shlex
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

from bench import report, results, targets
from bench.__main__ import PLAN, reduced
from bench.peers import BROKER, OURS, PEERS, POOL, chosen
from bench.results import Results, Run, Series

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30


def series(
    peer: str, seconds: float, place: tuple[str, str] = ("wan", "1 GiB"), **more: int
) -> Series:
    files, sent = more.get("files", 1), more.get("sent", more.get("files", 1))
    size = GIB if files == 1 else 10 << 10
    runs = [Run(seconds * factor, 2.0, 3.0, 50 << 20, 3) for factor in (0.5, 1, 2)]
    return Series(*place, peer, files, size, sent, runs)


def results_of(*measured: Series) -> Results:
    return Results("today", "python -m bench", {}, {}, 3, series=list(measured))


def verdict(results: Results, what: str, target: str) -> targets.Verdict:
    [match] = [v for v in targets.verdicts(results) if v.what == what and target in v.target]
    return match


@pytest.mark.parametrize(("ours", "met"), [(10.0, True), (12.1, False)])
def test_a_target_is_met_by_the_median(ours: float, met: bool) -> None:  # noqa: FBT001
    measured = results_of(series(OURS, ours), series("sftp tuned", 30.0))
    assert verdict(measured, "1 GiB, wan", "time of sftp tuned").met is met


def test_a_target_without_measurement_is_neither_met_nor_missed() -> None:
    assert {one.met for one in targets.verdicts(results_of())} == {None}


def test_the_best_encrypted_peer_is_the_target() -> None:
    measured = results_of(series(OURS, 10.0), series("gridftp", 9.9), series("scp", 11.0))
    beaten = verdict(measured, "1 GiB, wan", "best encrypted peer")
    assert beaten.met
    assert "scp" in beaten.target
    assert verdict(measured, "1 GiB, wan", "gridftp").met


def test_the_open_pool_is_not_a_peer() -> None:
    measured = results_of(series(OURS, 10.0), series(POOL, 9.0), series("scp", 11.0))
    assert verdict(measured, "1 GiB, wan", "best encrypted peer").met


def test_the_time_for_all_files_is_extrapolated_from_those_sent() -> None:
    place = ("wan", "5,000 files")
    measured = results_of(
        series(BROKER, 4.0, place, files=5000), series("sftp", 8.0, place, files=5000, sent=100)
    )
    assert verdict(measured, "5,000 files, wan, broker", "sftp").reached == "100"
    assert "| sftp (100 files) | 3 | 400.00 | 200.00 - 800.00 |" in report.page(measured, {})


def test_the_page_lists_the_peers_that_failed() -> None:
    broken = Series("wan", "1 GiB", "lftp", 1, GIB, 1, problem="exit status 1:\n no route")
    page = report.page(results_of(series(OURS, 10.0), broken), {})
    assert "- lftp: exit status 1: no route" in page


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    measured = results_of(series(OURS, 10.0))
    measured.write(tmp_path / "results.json")
    assert results.read(tmp_path / "results.json") == measured


@pytest.mark.parametrize("peer", PEERS)
def test_each_peer_sends_from_the_source_to_the_destination(peer: str) -> None:
    words = defaultdict(lambda: "word", source="/source", batch="/source/batch", rclone="rclone")
    words |= {"dest": "/dest", "there": "/dest", "gridftp": "ftp://far/dest"}
    for many in (False, True):
        command = shlex.split(PEERS[peer].template(many=many).format_map(words))
        assert "/source" in " ".join(command)
        assert "{" not in " ".join(command)


def test_peers_without_a_package_are_chosen_when_their_path_is_given() -> None:
    assert "mscp" not in chosen([], {})
    assert "mscp" in chosen([], {"mscp": "/opt/mscp"})
    assert list(chosen(["scp"], {})) == ["scp"]


def test_a_reduced_work_is_of_the_same_kind() -> None:
    for works in PLAN.values():
        for files in works.values():
            assert (reduced(files).count > 1) is (files.count > 1)


def test_results_of_an_earlier_run_can_be_included() -> None:
    earlier = results_of(series(OURS, 10.0), series("scp", 20.0))
    earlier.million = results.Million(10, 0.5, 1.0, 1)
    now = results_of(series(OURS, 9.0))
    now.include(earlier)
    assert {one.peer: one.seconds for one in now.series} == {OURS: 9.0, "scp": 20.0}
    assert now.million == earlier.million
