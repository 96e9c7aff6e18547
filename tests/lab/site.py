"""One user of a test: broker account, source and destination directories, configuration."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sarra_lite.config.shared import EVENTS
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


# The option events of a sender that removes and renames, too.
ALL_EVENTS = f"events = {json.dumps(EVENTS)}\n"


class Running(subprocess.Popen[str]):
    """A running sr_* program and its output."""

    log: Path

    def said(self) -> str:
        """Return its output so far."""
        return self.log.read_text(errors="surrogateescape")

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status; after ``timeout`` seconds, fail with the output."""
        try:
            return super().wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended within {timeout} s\n{self.said()}") from None

    def wait_for(self, text: str, seconds: float = 20.0) -> None:
        """Return when the output contains ``text``; fail when it does not in time."""
        wait_until(lambda: text in self.said() or self.poll() is not None, seconds, self.said)
        assert text in self.said(), self.said()

    def has_open(self, path: Path) -> bool:
        """Return whether it has a file open."""
        for fd in Path(f"/proc/{self.pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed meanwhile
                if os.readlink(fd) == str(path):
                    return True
        return False

    def cpu_seconds(self) -> float:
        """Return the processor time that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_until(
    done: Callable[[], object], seconds: float = 20.0, tell: Callable[[], str] = lambda: ""
) -> None:
    """Return when ``done`` returns true; fail with the text of ``tell`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} s\n{tell()}"
        time.sleep(0.05)


class Site:
    """One user with directories ``source`` and ``dest`` and a working configuration ``default``."""

    def __init__(
        self, rabbit: Rabbit, sshd: Sshd, directory: Path, *, name: str = "", tls: bool = False
    ) -> None:
        """Create the user on the broker, the directories and the configuration."""
        self.rabbit = rabbit
        self.sshd = sshd
        self.name = name or "t" + secrets.token_hex(4)
        self.user = f"u{self.name}"
        self.exchange = f"xac_{self.name}"
        self.queue = f"q_{self.user}_default"
        self.password = secrets.token_urlsafe(12)
        permission = f"^(q_{self.user}[._].*|{self.exchange})$"
        rabbit.add_users(User(self.user, self.password, permission, permission, permission))
        self.directory = directory
        self.source = directory / "source"
        self.dest = directory / "dest"
        self.config = directory / "config" / "sarra_lite"
        self.known_hosts = directory / "known_hosts"
        for folder in (self.source, self.dest, self.config / "post", self.config / "sender"):
            folder.mkdir(parents=True)
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
        """Write a working configuration with additional lines ``more``."""
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
        """Return the command line of an sr_* program."""
        texts = (a if isinstance(a, str | bytes) else str(a) for a in arguments)
        return [str(BIN / program), *map(os.fsdecode, texts)]

    def run(
        self, program: str, *arguments: object, status: int | None = 0, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a program until it ends; fail when its exit status is another than ``status``."""
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

    def shell(
        self, line: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a line of bash, by default in ``directory``, with the sr_* programs in its PATH.

        Its standard input has one line, the path of the file a.
        """
        return subprocess.run(
            ["bash", "-c", line],
            cwd=cwd or self.directory,
            env=self.env | {"PATH": f"{BIN}:{os.environ['PATH']}"} | environment,
            input=b"source/a\n",
            capture_output=True,
            timeout=60,
            check=False,
        )

    @contextmanager
    def running(self, program: str, *arguments: object, **options: Any) -> Iterator[Running]:
        """Run a program in the background; kill it at the end if it still runs."""
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

    def lead_to(self, port: int) -> None:
        """Let senders connect to a relay on this port of the machine, before the SFTP server."""
        url = f"sftp://{self.sshd.user}@127.0.0.1:{port}/"
        file = self.config / "sender" / "default.toml"
        file.write_text(file.read_text().replace(self.sshd.url, url))
        self.credentials.write_text(self.credentials.read_text().replace(self.sshd.url, url))
        key = self.sshd.host_key_line.partition(" ")[2]
        self.known_hosts.write_text(f"[127.0.0.1]:{port} {key}\n")

    def drain(self, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
        """Send all files in the queue."""
        return self.run("sr_sender", "--drain", *arguments, **options)

    def reports(self, *, blocks: bool = False) -> list[dict[str, Any]]:
        """Return the reports on this user's files from sr_log."""
        more = ["--blocks"] if blocks else []
        done = self.run("sr_log", "--broker", self.broker, "--json", *self.trust, *more)
        return [json.loads(line) for line in done.stdout.splitlines()]

    @property
    def trust(self) -> list[str]:
        """Flags with the CA certificate of a TLS broker."""
        secure = self.broker.startswith("amqps")
        return ["--tls-ca-file", str(self.rabbit.ca_file)] if secure else []

    def codes(self, **options: Any) -> dict[str, list[int]]:
        """Return the codes of the final reports on each name."""
        codes: dict[str, list[int]] = {}
        for report in self.reports(**options):
            if "willRetry" not in report:
                codes.setdefault(report["relPath"], []).append(report["code"])
        return codes

    def queued(self) -> int:
        """Return the number of announcements in the queue that no sender has taken."""
        with self.rabbit.channel() as channel:
            return int(channel.queue_declare(self.queue, passive=True).method.message_count)

    def leftovers(self) -> list[str]:
        """Return the names of staging files and block directories at the destination."""
        names = [path.name for path in self.dest.rglob(".*")]
        return [name for name in names if name.endswith((".inflight", ".blocks"))]
