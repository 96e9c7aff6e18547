"""A user's files under way while something fails, and an account of them that is kept outside.

Files appear at EC at a steady rate, ``sr_post --watch`` announces them, the senders of the host
send them.  In the end every file must have arrived once, as it was, and be reported in ``xlog``.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sarra_lite.units import nanoseconds

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.scope.conftest import Client
    from tests.scope.lab_hosts import Lab

_INTERVAL: Final = 0.25  # seconds between two files
_PYTHON: Final = "/opt/sarra_lite/current/bin/python"
_ARRIVED: Final = (201, 304)
Reports = dict[str, list[dict[str, Any]]]  # by name


@dataclass(frozen=True)
class Account:
    """What became of the files; times in seconds."""

    files: int
    lost: list[str]
    """Names that did not arrive, or with other content."""
    leftovers: list[str]
    """Names at the destination that the user did not send."""
    unreported: list[str]
    twice: int
    """How many were sent more than once."""
    gap: float
    """Longest time in which no file arrived."""
    wait: float
    """Longest time from the end of writing of a file to its arrival."""


class Traffic:
    """Files that a user writes, announces and sends."""

    def __init__(self, lab: Lab, client: Client) -> None:
        """The files come from the client's user."""
        self._lab, self._client = lab, client
        self._name = f"traffic-{int(time.time())}"
        self._began = time.time()

    def begin(self) -> None:
        """Begin to write and to announce files."""
        code = base64.b64encode(Path(__file__).with_name("traffic_source.py").read_bytes())
        name, program = self._name, "traffic_source.py"
        self._ok(f"mkdir -p {name}/data && echo {code.decode()} | base64 -d > {name}/{program}")
        self._unit("post", f"sr_post --watch --quiet --block-size 4Mi {name}/data")
        self._unit("write", f"{_PYTHON} {name}/{program} {name}/data {_INTERVAL}")

    def end(self) -> None:
        """Write no more files; what is written is still announced."""
        self._ok(f"touch {self._name}/stop")

    def give_up(self) -> None:
        """Stop at once."""
        self._root("systemctl stop spec-post spec-write")

    def account(self, seconds: float) -> Account:
        """Wait until all has arrived and is reported, at most ``seconds``; return the account."""
        deadline = time.monotonic() + seconds
        while self._lab.run(self._client.name, "systemctl is-active -q spec-write")[0] == 0:
            time.sleep(0.2)
        written = _sums(self._ok(f"cd {self._name}/data && {_SUMS}"))
        while time.monotonic() < deadline and not written.keys() <= self._arrived():
            time.sleep(1)
        while time.monotonic() < deadline and not written.keys() <= self._reports().keys():
            time.sleep(1)
        self._root("systemctl stop spec-post")
        return self._judge(written, self._found(), self._reports())

    def clean(self) -> None:
        """Remove the files at both ends."""
        self._ok(f"rm -rf {self._name}")
        self._lab.ok(self._node, f"rm -rf {self._home}")

    def _judge(
        self,
        written: dict[str, str],
        found: dict[str, str],
        reports: dict[str, list[dict[str, Any]]],
    ) -> Account:
        ends = {
            name: min(nanoseconds(each["timeCompleted"]) for each in reports[name]) / 1e9
            for name in written.keys() & reports.keys()
        }
        times = sorted([self._began, *ends.values()])
        stat = self._ok(f"cd {self._name}/data && find . -type f -printf '%P %C@\\n'")
        named = {name: float(when) for name, when in map(str.split, stat.splitlines())}
        sent = Counter(
            name for name, each in reports.items() for report in each if report["code"] == 201
        )
        return Account(
            files=len(written),
            lost=sorted(name for name in written if found.get(name) != written[name]),
            leftovers=sorted(found.keys() - written.keys()),
            unreported=sorted(written.keys() - reports.keys()),
            twice=sum(1 for number in sent.values() if number > 1),
            gap=max((b - a for a, b in pairwise(times)), default=0.0),
            wait=max((ends[name] - named[name] for name in ends), default=0.0),
        )

    @property
    def _node(self) -> str:
        return self._lab.scope.group("sftp_nodes")[0]

    @property
    def _home(self) -> str:
        client = self._client
        homes = self._lab.scope.var("scope_homes")
        return f"{homes}/{client.login}/{client.directory}/{self._name}"

    def _unit(self, name: str, command: str) -> None:
        """Run a command as a unit of its own, which nothing that ends with a session ends."""
        user = self._client.user
        self._root(
            f"systemctl reset-failed spec-{name} 2> /dev/null; systemd-run --quiet --collect"
            f" --unit=spec-{name} --uid={user} --working-directory=/home/{user}"
            f" --setenv=HOME=/home/{user} sh -c 'PATH=/usr/local/bin:$PATH exec {command}'"
        )

    def _ok(self, command: str) -> str:
        return self._lab.ok(self._client.name, command, self._client.user)

    def _root(self, command: str) -> None:
        self._lab.ok(self._client.name, command)

    def _arrived(self) -> set[str]:
        return set(self._lab.run(self._node, f"ls {self._home}/data")[1].split())

    def _found(self) -> dict[str, str]:
        status, printed = self._lab.run(self._node, f"cd {self._home}/data && {_SUMS}")
        return {} if status else _sums(printed)

    def _reports(self) -> Reports:
        since = dt.timedelta(seconds=time.time() - self._began + 60)
        watcher = self._lab.scope.group("monitoring")[0]
        status, printed = self._lab.run(
            watcher, f"sr_log --json --since {int(since.total_seconds())}s"
        )
        found: Reports = {}
        start = f"{self._name}/data/"
        for report in map(json.loads, [] if status else printed.splitlines()):
            if report["relPath"].startswith(start) and report["code"] in _ARRIVED:
                found.setdefault(report["relPath"].removeprefix(start), []).append(report)
        return found


@contextmanager
def under_way(lab: Lab, client: Client) -> Generator[Traffic]:
    """Write, announce and send files from the beginning of the block to its end."""
    traffic = Traffic(lab, client)
    traffic.begin()
    try:
        yield traffic
    except BaseException:
        traffic.give_up()
        raise
    traffic.end()


_SUMS: Final = "find . -type f -exec sha256sum {} +"


def _sums(printed: str) -> dict[str, str]:
    """Return the content's hash by name."""
    return {name.removeprefix("./"): value for value, name in map(str.split, printed.splitlines())}
