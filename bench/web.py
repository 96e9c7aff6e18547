"""Measures open pages of sr_web: ``python -m bench.web``.

So many browsers have the page Now open, while files are announced, sent in blocks and reported all
the time.  How much of a processor the page's process uses, once with all pages of netops, who see
the same files, and once with each page of another user; how often pages are told of changes, and
how late.  Writes docs/benchmarks/web/web.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import ssl
import statistics
import tempfile
import threading
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from bench.install import ROOT
from bench.monitor import path_of, peak, records
from sarra_lite.monitor.records import Outcome, Record
from sarra_lite.monitor.store import Batch, Store
from tests.lab.authority import Authority
from tests.lab.page import PASSWORD, Page, token_of
from tests.lab.rabbitmq import Rabbit, User
from tests.lab.site import Site
from tests.lab.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.site import Running

_OF_A_USER: Final = 20  # open pages that a user may have
_WAITING: Final = 500  # files without a final report
_A_SECOND: Final = 50  # files that are announced and reported
_USERS: Final = 200  # that the store has, see bench.monitor


class Work(threading.Thread):
    """Files of all users, of which some are announced and some reported all the time."""

    def __init__(self, file: Path, rows: int) -> None:
        """Fill the store with so many rows of a day."""
        super().__init__(daemon=True)
        self._store = Store(file, 90, {f"uuser{n}": f"group{n % 10}" for n in range(_USERS)})
        self._number = rows
        self._ended = threading.Event()
        now = time.time_ns() // 10**6
        self._take(list(records(rows, 1, now)))
        self._take([self._announced(rows + number, now) for number in range(_WAITING)])

    def _take(self, found: list[Record]) -> None:
        for first in range(0, len(found), 5000):
            self._store.take(Batch(found[first : first + 5000]))

    def _announced(self, number: int, now: int) -> Record:
        return Record(self._user(number), path_of(number).encode(), now, 1 << 20, block=False)

    def _user(self, number: int) -> str:
        return f"uuser{number % _USERS}"

    def _changes(self, now: int) -> Iterator[Record]:
        for _ in range(_A_SECOND):
            code = 507 if self._number % 50 == 0 else 201
            outcome = Outcome(now, 500, code, "said", 1, "default/1", "ec1", 0, True, code == 201)  # noqa: FBT003
            path = path_of(self._number).encode()
            yield Record(
                self._user(self._number), path, now - 500, 1 << 20, block=False, outcome=outcome
            )
            yield self._announced(self._number + _WAITING, now)
            self._number += 1

    def run(self) -> None:
        """Change the store each second."""
        with closing(self._store):
            while not self._ended.wait(1.0):
                self._take(list(self._changes(time.time_ns() // 10**6)))

    def end(self) -> None:
        """Return when nothing is written any more."""
        self._ended.set()
        self.join()


class Reader:
    """What one open page is sent."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.times: list[float] = []
        self.bytes = 0

    async def read(self, answer: httpx.Response) -> None:
        """Count events until the stream ends."""
        async for part in answer.aiter_bytes():
            self.bytes += len(part)
            if b"event: parts" in part:
                self.times.append(time.monotonic())


async def measure(page: Page, process: Running, users: list[str], seconds: float) -> dict[str, Any]:
    """Return what open pages cost, one for each name in ``users``."""
    trust = ssl.create_default_context(cafile=page.ca)
    readers = [Reader() for _ in users]
    async with AsyncExitStack() as stack:
        answers = []
        clients: dict[str, httpx.AsyncClient] = {}
        for user in users:
            if user not in clients:
                clients[user] = await stack.enter_async_context(_client(page, trust))
                await _log_in(clients[user], user)
            answers.append(await stack.enter_async_context(clients[user].stream("GET", "/live")))
            answers[-1].raise_for_status()
        tasks = [
            asyncio.create_task(reader.read(answer))
            for reader, answer in zip(readers, answers, strict=True)
        ]
        await asyncio.sleep(20)  # until each has had its first event
        begun, cpu = time.monotonic(), process.cpu_seconds()
        before = sum(reader.bytes for reader in readers)
        await asyncio.sleep(seconds)
        taken, cpu = time.monotonic() - begun, process.cpu_seconds() - cpu
        for task in tasks:
            task.cancel()
    return {
        "pages": len(users),
        "users": len(clients),
        "seconds": taken,
        "processor": cpu / taken,
        "bytes_a_second": (sum(reader.bytes for reader in readers) - before) / taken,
        "seconds_between_events": _between(readers, begun),
        "peak_bytes": peak(process.pid),
    }


def _between(readers: list[Reader], begun: float) -> float | None:
    gaps = [
        later - earlier
        for reader in readers
        for earlier, later in zip(reader.times, reader.times[1:], strict=False)
        if later > begun
    ]
    return statistics.median(gaps) if gaps else None


def _client(page: Page, trust: ssl.SSLContext) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=page.address, verify=trust, timeout=60, limits=limits)


async def _log_in(client: httpx.AsyncClient, user: str) -> None:
    form = await client.get("/login")
    fields = {"user": user, "password": PASSWORD, "token": token_of(form), "next": "/"}
    answer = await client.post("/login", data=fields)
    if answer.status_code != httpx.codes.SEE_OTHER:
        raise RuntimeError(answer.text)


def main() -> int:
    """Measure and write the figures; return the exit status."""
    parser = argparse.ArgumentParser("bench.web", description="Open pages of sr_web.")
    parser.add_argument("--pages", type=int, default=200, help="open pages (200)")
    parser.add_argument("--rows", type=int, default=100_000, help="files in the store (100000)")
    parser.add_argument("--seconds", type=float, default=30, help="of measuring (30)")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/benchmarks/web")
    options = parser.parse_args()
    figures: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "cpus": os.cpu_count()}
    netops = [f"unetops{number // _OF_A_USER}" for number in range(options.pages)]
    users = [f"uuser{number % _USERS}" for number in range(options.pages)]
    with tempfile.TemporaryDirectory("-sarra-bench") as name:
        directory = Path(name)
        with Rabbit(directory / "rabbit") as rabbit, Sshd(directory / "sshd") as sshd:
            rabbit.add_users(*(User(user, PASSWORD) for user in {*netops, *users}))
            page = Page(Site(rabbit, sshd, directory / "site"), Authority(directory / "ca"))
            config = page.site.config / "web" / "default.toml"
            text = config.read_text().replace(f'["{page.netops}"]', json.dumps(sorted({*netops})))
            config.write_text(text)
            work = Work(page.history, options.rows)
            work.start()
            for kind, viewers in (("netops", netops), ("users", users)):
                with page.running() as process:
                    figures[kind] = asyncio.run(measure(page, process, viewers, options.seconds))
                print(kind, figures[kind], flush=True)
            work.end()
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "web.json").write_text(json.dumps(figures, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
