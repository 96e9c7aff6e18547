"""One user at both ends: his broker account, his disk here, his space there, his configuration."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab.rabbitmq import User

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.lab.rabbitmq import Rabbit
    from tests.lab.sshd import Sshd

BIN = Path(sys.executable).parent
SENDER = """\
broker = "{broker}"
sendTo = "{send_to}"
directory = "{directory}"
knownHosts = "{known_hosts}"
"""
POST = """\
broker = "{broker}"
baseUrl = "file:{source}"
queueName = "q_{user}_default"
"""


class Running(subprocess.Popen[str]):
    """A program of ours, and what it says."""

    log: Path

    def said(self) -> str:
        """Return all that it has said."""
        return self.log.read_text(errors="surrogateescape")

    def wait_for(self, text: str, seconds: float = 20.0) -> None:
        """Return when it has said this."""
        wait_until(lambda: text in self.said() or self.poll() is not None, seconds, self.said)
        assert text in self.said(), self.said()

    def cpu_seconds(self) -> float:
        """Return the processor time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(
    done: Callable[[], object], seconds: float = 20.0, tell: Callable[[], str] = lambda: ""
) -> None:
    """Return when something is true; fail when it is not in time."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} s\n{tell()}"
        time.sleep(0.05)


class Site:
    """Directories ``source`` and ``dest``, and a home with a working configuration ``default``."""

    def __init__(
        self, rabbit: Rabbit, sshd: Sshd, directory: Path, *, name: str = "", tls: bool = False
    ) -> None:
        """Make the user on the broker, and his files."""
        self.rabbit = rabbit
        self.sshd = sshd
        self.name = name or "t" + secrets.token_hex(4)
        self.user = f"u{self.name}"
        self.exchange = f"xac_{self.name}"
        self.queue = f"q_{self.user}_default"
        self.password = secrets.token_urlsafe(12)
        own = f"^(q_{self.user}[._].*|{self.exchange})$"
        rabbit.add_users(User(self.user, self.password, own, own, own))
        self.directory = directory
        self.source = directory / "source"
        self.dest = directory / "dest"
        self.config = directory / "config" / "sarra_lite"
        self.known_hosts = directory / "known_hosts"
        for made in (self.source, self.dest, self.config / "post", self.config / "sender"):
            made.mkdir(parents=True)
        self.known_hosts.write_text(sshd.host_key_line + "\n")
        self.broker = rabbit.url(self.user, tls=tls)
        self.credentials = self.config / "credentials.conf"
        self.credentials.touch(mode=0o600)
        self.credentials.write_text(
            f"{rabbit.url(self.user, self.password, tls=tls)}\n"
            f"{sshd.url} ssh_keyfile={sshd.user_key}\n"
        )
        ca = f'tlsCaFile = "{rabbit.ca_file}"\n' if tls else ""
        self.configure("post", ca)
        self.configure("sender", ca)
        self.env = os.environ | {
            "XDG_CONFIG_HOME": str(directory / "config"),
            "XDG_STATE_HOME": str(directory / "state"),
            "PYTHONUNBUFFERED": "1",
        }

    def configure(self, component: str, more: str = "", name: str = "default") -> Path:
        """Write a configuration that works, with more lines."""
        text = {"post": POST, "sender": SENDER}[component].format(
            broker=self.broker,
            send_to=self.sshd.url,
            directory=self.dest,
            known_hosts=self.known_hosts,
            source=self.source,
            user=self.user,
        )
        file = self.config / component / f"{name}.toml"
        file.write_text(text + more)
        return file

    def command(self, program: str, *arguments: object) -> list[str]:
        """Return what to start for a program of ours."""
        return [str(BIN / program), *(os.fsdecode(_text(a)) for a in arguments)]

    def run(
        self, program: str, *arguments: object, status: int | None = 0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, which must have this exit status."""
        done = subprocess.run(
            self.command(program, *arguments),
            env=self.env,
            text=True,
            errors="surrogateescape",
            capture_output=True,
            timeout=options.pop("timeout", 60),
            check=False,
            **options,
        )
        if status is not None and done.returncode != status:
            raise AssertionError(
                f"{program} {arguments}: exit status {done.returncode} instead of {status}\n"
                f"{done.stdout}{done.stderr}"
            )
        return done

    @contextmanager
    def running(self, program: str, *arguments: object, **options: Any) -> Iterator[Running]:
        """Run a program meanwhile; killed at the end, if it is still there."""
        log = self.directory / f"{program}-{secrets.token_hex(3)}.log"
        with log.open("w") as output:
            process = Running(
                self.command(program, *arguments),
                env=self.env | options.pop("env", {}),
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                **options,
            )
        process.log = log
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def drain(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Send all that is in the queue."""
        return self.run("sr_sender", "--drain", *arguments, **options)

    def reports(self, *, blocks: bool = False) -> list[dict[str, Any]]:
        """Return what sr_log tells of this user's files."""
        more = ["--blocks"] if blocks else []
        done = self.run("sr_log", "--broker", self.broker, "--json", *self.trust, *more)
        return [json.loads(line) for line in done.stdout.splitlines()]

    @property
    def trust(self) -> list[str]:
        """Options that make a TLS broker trusted."""
        secure = self.broker.startswith("amqps")
        return ["--tls-ca-file", str(self.rabbit.ca_file)] if secure else []

    def codes(self, **options: Any) -> dict[str, list[int]]:
        """Return the codes of the final reports on each name."""
        found: dict[str, list[int]] = {}
        for report in self.reports(**options):
            if "willRetry" not in report:
                found.setdefault(report["relPath"], []).append(report["code"])
        return found

    def queued(self) -> int:
        """Return how many announcements are in the queue, and on no sender's desk."""
        with self.rabbit.channel() as channel:
            found = channel.queue_declare(self.queue, passive=True)
            return int(found.method.message_count)

    def leftovers(self) -> list[str]:
        """Return names at the destination that should not stay."""
        return [
            path.name
            for path in self.dest.rglob(".*")
            if path.name.endswith((".inflight", ".blocks"))
        ]


def _text(argument: object) -> str | bytes:
    return argument if isinstance(argument, str | bytes) else str(argument)
