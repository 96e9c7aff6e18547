"""Invented users, their transfers, and hosts, as a busy scope has them, for looking at."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from sarra_lite.monitor.records import DAY, Outcome, Record
from tests.lab.prometheus import Target

if TYPE_CHECKING:
    from collections.abc import Iterator

GROUPS: Final = {
    "uearnest": "cloudmech",
    "uviolet": "cloudmech",
    "uradar": "weather",
    "uocean": "weather",
    "umirror": "weather",
    "ugenome": "biology",
    "ulibrary": "biology",
}
EXPECT: Final = """
[[expect]]
user = "uradar"
match = "radar/morning/*"
name = "morning radar"
by = "06:30"
least = 24

[[expect]]
group = "biology"
match = "sequencing/nightly/*"
name = "nightly sequencing"
by = "08:00"
every = "weekday"
"""
_DISK: Final = "node_filesystem_avail_bytes 5.1e11\nnode_filesystem_size_bytes 9.6e11\n"
_SHARED: Final = _DISK + 'node_filesystem_size_bytes{shared="yes"} 9.6e12\n'
_PROCESSES: Final = "erlang_vm_process_count 400\n"
_VIP: Final = 'node_network_address_info{vip="%s"} 1\n'
_STATE: Final = 'haproxy_server_status{proxy="ssh",server="%s",state="%s"} 1\n'
_STATES: Final = "".join(
    _STATE % pair for pair in (("svrsftp1", "UP"), ("svrsftp2", "UP"), ("svrsftp3", "DOWN"))
)
HOSTS: Final = (
    Target("node", "svrlb1", _DISK + _VIP % "sftp" + _VIP % "broker"),
    Target("node", "svrlb2", _DISK),
    Target("haproxy", "svrlb1", _STATES),
    Target("haproxy", "svrlb2", _STATES),
    *(Target("node", f"svrsftp{number}", _SHARED, shared_fs="ceph") for number in (1, 2)),
    Target("node", "svrsftp3", None, shared_fs="ceph"),
    *(Target("node", f"svrsftpB{number}", _DISK) for number in (1, 2, 3)),
    *(
        Target("rabbitmq", f"svrsftpB{number}", "erlang_vm_process_count 400\n")
        for number in (1, 2)
    ),
    Target("rabbitmq", "svrsftpB3", "erlang_vm_process_count 400\n"),
    Target("sr_monitor", "svrmon1", 'sarra_stream_gaps_total{stream="q_xlog"} 1\n'),
)
_GIB: Final = 1 << 30
_MINUTE: Final = 60_000  # milliseconds
_HOUR: Final = 60 * _MINUTE
_PATHS: Final = {
    "uearnest": "runs/2026-{0:03}/field_{1:04}.nc",
    "uviolet": "ensemble/member{0:02}/slab_{1:05}.h5",
    "uradar": "radar/CASKR/volume_{0:03}{1:04}.vol",
    "uocean": "buoys/{0:05}/profile_{1:03}.csv",
    "umirror": "satellite/goes18/{0:03}/band_{1:04}.tif",
    "ugenome": "sequencing/run{0:03}/lane_{1:04}.fastq.gz",
    "ulibrary": "scans/box{0:03}/sheet_{1:04}.tiff",
}
_FAILURES: Final = (
    ("uradar", 410, "the file has changed since it was announced", 12),
    ("ugenome", 507, "no space is left at the destination", 41),
    ("uviolet", 403, "removals are not made by this sender", 150),
    ("uradar", 410, "the file is gone", 333),
    ("ulibrary", 499, "failed after 5 attempts: connection reset by peer", 700),
)


def records(now: int) -> list[Record]:
    """Return all of it, in the order in which it came; ``now``: milliseconds since 1970."""
    ended = [*_daily(now), *_sent(now), *_failed(now)]
    ended.sort(key=lambda record: record.outcome.ended if record.outcome else 0)
    return [*ended, *_unfinished(now)]


def _daily(now: int) -> Iterator[Record]:
    """Yield what is expected, of 30 days; on some days not all of it."""
    said = (201, "file sent")
    for ago in range(29, -1, -1):
        for number in range(7 if ago in {3, 17} else 24):
            path = b"radar/morning/%02d/%02d.vol" % (ago, number)
            ended = (now // DAY - ago) * DAY + 5 * _HOUR + number * 3 * _MINUTE
            yield _report("uradar", path, min(ended, now), 9 << 20, 900, said)
        path = b"sequencing/nightly/%02d.fastq.gz" % ago
        ended = (now // DAY - ago) * DAY + (9 if ago == 11 else 4) * _HOUR
        yield _report("ugenome", path, min(ended, now), 60 * _GIB, 500_000, said)


def _sent(now: int) -> Iterator[Record]:
    """Yield files that were sent in two days, more by day than by night."""
    chance = random.Random(15)
    for hour in range(47, -1, -1):
        busy = 4 + 14 * (8 <= now // _HOUR % 24 - hour % 24 + 24 * (hour > 0) <= 20)
        for _ in range(chance.randrange(busy, 2 * busy)):
            user = chance.choice(list(GROUPS))
            size = int(chance.lognormvariate(19.5, 1.8))
            took = 200 + size // chance.randrange(60_000, 180_000)
            ended = now - hour * _HOUR - chance.randrange(_MINUTE, _HOUR - _MINUTE)
            yield _report(user, _path(user, chance), ended, size, took, (201, "file sent"))


def _failed(now: int) -> Iterator[Record]:
    """Yield files that failed within a day."""
    chance = random.Random(16)
    for user, code, text, minutes in _FAILURES:
        size = chance.randrange(10**6, 10**9)
        yield _report(user, _path(user, chance), now - minutes * _MINUTE, size, 4000, (code, text))


def _unfinished(now: int) -> Iterator[Record]:
    """Yield files that are under way, late, or waiting."""
    chance = random.Random(17)
    for user, size, share, minutes in (
        ("uearnest", 3000 * _GIB, 0.62, 52),
        ("umirror", 240 * _GIB, 0.17, 9),
        ("ugenome", 88 * _GIB, 0.91, 21),
    ):
        path = _path(user, chance)
        announced = now - minutes * _MINUTE
        yield Record(user, path, announced, size, block=False)
        for begun in (announced + 3000, now - 2000):
            done = int(size * share / 2)
            said = Outcome(begun, 900, 206, "block sent", 1, "default/2", "ec4", done, True, True)  # noqa: FBT003
            yield Record(user, path, announced, size, block=True, outcome=said)
    path = _path("ugenome", chance)
    text = "no space is left at the destination"
    said = Outcome(now - 40_000, 800, 507, text, 3, "default/1", "ec7", 0, False, False)  # noqa: FBT003
    yield Record("ugenome", path, now - 6 * _MINUTE, 7 * _GIB, block=False, outcome=said)
    for user, minutes in (("uocean", 190), ("uocean", 188), ("uviolet", 75)):
        announced = now - minutes * _MINUTE
        yield Record(user, _path(user, chance), announced, chance.randrange(10**7), block=False)
    for number, user in enumerate(("uradar", "uearnest", "ulibrary", "uradar", "umirror")):
        announced = now - 4000 - 9000 * number
        yield Record(user, _path(user, chance), announced, chance.randrange(10**8), block=False)


def _path(user: str, chance: random.Random) -> bytes:
    return _PATHS[user].format(chance.randrange(40), chance.randrange(1000)).encode()


def _report(
    user: str, path: bytes, ended: int, size: int, took: int, said: tuple[int, str]
) -> Record:
    code, text = said
    host = f"ec{3 + len(user) % 4}"
    outcome = Outcome(ended, took, code, text, 1, "default/1", host, 0, True, code < 300)  # noqa: FBT003
    return Record(user, path, ended - took - 1500, size, block=False, outcome=outcome)
