"""What lies between two readings of a file and of its connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pytest

from sarra_lite.delivery.stopwatch import Phase
from sarra_lite.dispatch import readings
from sarra_lite.dispatch.readings import Reading, slowness_between
from sarra_lite.sftp.target import Sample
from sarra_lite.sftp.tcp_info import TcpInfo

if TYPE_CHECKING:
    from sarra_lite.dispatch.slowness import Figures

MIB = 1024 * 1024


class Client(NamedTuple):
    name: str
    round_trip: float = 0.0


NEAR, FAR = Client("near"), Client("far", 0.05)


def sample(acknowledged: int, receiver: float = 0.0, *, looks: int = 1, queued: int = 0) -> Sample:
    tcp = TcpInfo(10.0, receiver, 0.0, acknowledged, 0, acknowledged, 0, 65536, 0.001)
    return Sample(3.0, looks, queued, tcp)


def reading(at: float, samples: dict[Client, Sample], *, waited: float = 0.0) -> Reading:
    spent = [0.0] * len(Phase)
    spent[Phase.CONNECTION] = waited
    return Reading(at, spent, int(at) * MIB, 0.0, cast("Any", samples))


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[Figures]:
    found: list[Figures] = []
    monkeypatch.setattr(readings, "judge", found.append)
    return found


def test_connections_count_by_what_each_has_sent(judged: list[Figures]) -> None:
    before = reading(0, {NEAR: sample(0), FAR: sample(0)})
    after = reading(10, {NEAR: sample(9 * MIB, 10.0), FAR: sample(MIB)}, waited=20)
    slowness_between(before, after)
    [found] = judged
    assert found.tcp is not None
    assert found.tcp.receiver == pytest.approx(0.9, abs=0.01)
    assert (found.seconds, found.rate, found.connection, found.connections) == (10, MIB, 1, 2)


def test_the_round_trip_is_that_of_sftp_where_it_is_longer(judged: list[Figures]) -> None:
    for client in (NEAR, FAR):
        slowness_between(reading(0, {client: sample(0)}), reading(1, {client: sample(MIB)}))
    assert [one.tcp and one.tcp.round_trip for one in judged] == [0.001, 0.05]


def test_a_connection_that_was_not_there_all_the_time_does_not_count(judged: list[Figures]) -> None:
    slowness_between(reading(0, {NEAR: sample(0)}), reading(1, {FAR: sample(MIB)}))
    [found] = judged
    assert (found.tcp, found.connections) == (None, 0)


def test_data_that_waited_here_counts_by_the_looks_that_saw_it(judged: list[Figures]) -> None:
    before, after = sample(0, looks=2, queued=2), sample(MIB, looks=6, queued=5)
    slowness_between(reading(0, {NEAR: before}), reading(4, {NEAR: after}))
    [found] = judged
    assert found.tcp is not None
    assert found.tcp.queued == 0.75


def test_readings_that_are_too_close_say_nothing(judged: list[Figures]) -> None:
    one = reading(1, {NEAR: sample(0)})
    for begin, end in ((None, one), (one, one), (one, one._replace(at=1.4)), (None, None)):
        assert slowness_between(begin, end) is None
    assert judged == []
