"""Installs the real sr3 (metpx-sr3) and runs its programs for the user of a site."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.lab import LabError, Unavailable
from tests.lab.processes import SYSTEM_PATH, Process
from tests.lab.rabbitmq import User

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.lab.site import Site

# metpx-sr3 does not depend on amqp and paramiko, although it needs them.  With xattr it stores
# identities in extended attributes, with python-magic it announces content types.
PACKAGES: Final = ("metpx-sr3==3.3.1", "amqp", "paramiko", "xattr", "python-magic")
VENV: Final = Path(__file__).parents[2] / ".venv-sr3"

# Options of our programs that make them use the exchanges and topics of sr3.
SR3_NAMES: Final = """\
exchangePrefix = "xs_"
userPrefix = ""
topicPrefix = "{topic}"
"""
CREDENTIALS: Final = """\
# in the form of sr3_credentials(7): one URL a line, followed by options
{broker}
ftp://anonymous:me%40here@ftp.example.org/ passive,binary
ftps://user7:De%3Aize@ftp.example.org  passive,binary,tls

https://data.example.org/ bearer_token=89APCBF0-FEBE-11EA-A705-B0QR41911BF4
sftp://somebody@sftp.example.org/\tssh_keyfile={key}
{sftp} ssh_keyfile={key}
"""
POST: Final = """\
post_broker {broker}
post_exchange {exchange}
post_baseUrl file:{source}
post_baseDir {source}
post_format v03
identity sha512
"""
# fileAgeMin and sleep: announce changes without delay.
WATCH: Final = (
    POST
    + """\
path {source}
fileAgeMin 0
sleep 0.1
"""
)
# baseDir: without it, sr3 looks for the files of file:/some/where below file:/.
SENDER: Final = """\
broker {broker}
exchange {exchange}
queueName {queue}
sendTo {send_to}
baseDir {source}
directory {dest}
mirror True
instances 1
"""
SHOVEL: Final = """\
broker {broker}
exchange {exchange}
queueName q_{user}.{name}
post_broker {broker}
post_exchange {exchange}_copy
instances 1
"""
_TEMPLATES: Final = {"post": POST, "watch": WATCH, "sender": SENDER, "shovel": SHOVEL}
# Last lines, because subtopic binds the queue with the options of the lines before it.
_BINDINGS: Final = {"sender": "subtopic #\n", "shovel": "subtopic #\n"}
# Log text of each component after which it misses no announcement and no change.
_READY: Final = {"watch": "now active on", "sender": "binding q_", "shovel": "binding q_"}


class Sr3:
    """sr3 with its own home directory, for the user of a site."""

    def __init__(self, site: Site) -> None:
        """Install sr3 if necessary, and give the user the permissions that sr3 sets.

        sr3 and our programs get the same credentials.conf.
        """
        self.site = site
        self.exchange = f"xs_{site.user}"
        self.directory = site.directory / "sr3"
        self._bin = install()
        self._config = self.directory / "config" / "sr3"
        self._config.mkdir(parents=True)
        write = f"^q_{site.user}.*|^xs_{site.user}.*"
        read = f"^q_{site.user}.*|^x[lrs]_{site.user}.*|^x.*public$"
        site.rabbit.add_users(User(site.user, site.password, write, write, read))
        text = CREDENTIALS.format(
            broker=site.rabbit.url(site.user, site.password),
            sftp=site.sshd.url,
            key=site.sshd.user_key,
        )
        self.credentials = self._config / "credentials.conf"
        for file in (self.credentials, site.credentials):
            file.touch(mode=0o600)
            file.write_text(text)
        self.env = {
            "PATH": f"{self._bin}:{SYSTEM_PATH}",
            "LANG": "C.UTF-8",
            "HOME": str(self.directory),
            "XDG_CONFIG_HOME": str(self._config.parent),
            "XDG_CACHE_HOME": str(self.directory / "cache"),
            "XDG_STATE_HOME": str(self.directory / "state"),
        }

    def configure(self, component: str, more: str = "", name: str = "earnest") -> str:
        """Write a working configuration; options in ``more`` override those of the template.

        Return its name as sr3's commands take it.
        """
        site = self.site
        file = self._config / component / f"{name}.conf"
        file.parent.mkdir(exist_ok=True)
        text = _TEMPLATES[component].format(
            broker=site.broker,
            exchange=self.exchange,
            queue=site.queue,
            source=site.source,
            dest=site.dest,
            send_to=site.sshd.url,
            user=site.user,
            name=name,
        )
        file.write_text(text + more + _BINDINGS.get(component, ""))
        return f"{component}/{name}"

    def configure_ours(self, component: str, more: str = "", *, topic: str = "v03") -> None:
        """Write the default configuration of one of our programs, to work together with sr3."""
        names = SR3_NAMES.format(topic=topic)
        self.site.configure(component, f'{names}queueType = "classic"\n{more}')

    def post(self, *paths: Path) -> None:
        """Announce paths with sr3_post, whose exit status is 0 even if it fails; LabError then."""
        output = self.run("sr3_post", "-c", "earnest", "-p", *map(str, paths))
        if "could not post" in output or "after_post posted" not in output:
            raise LabError(f"sr3_post announced nothing:\n{output}")

    def declare(self, configuration: str) -> str:
        """Declare exchanges and queues with sr3; return its log, the only sign of a failure."""
        return self.run("sr3", "declare", configuration)

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of sr3 to its end; return its output."""
        done = subprocess.run(
            [str(self._bin / program), *arguments],
            env=self.env,
            cwd=self.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise LabError(f"{program} {arguments}: {done.returncode}\n{done.stdout}")
        return done.stdout

    @contextmanager
    def running(self, configuration: str) -> Iterator[Process]:
        """Run a component in the context, which begins when the component is ready."""
        command = [str(self._bin / "sr3"), "foreground", configuration]
        log = self.directory / f"{configuration.replace('/', '-')}.log"
        process = Process(command, log, env=self.env, cwd=self.directory)
        ready = _READY[configuration.partition("/")[0]]
        process.wait_ready(lambda: ready in process.output(), seconds=20)
        try:
            yield process
        finally:
            process.kill()  # because an orderly end takes up to seven seconds


def install() -> Path:
    """Return the directory of sr3's programs; the first call creates its virtual environment."""
    return environment(VENV, PACKAGES)


def environment(venv: Path, packages: Sequence[str]) -> Path:
    """Create a virtual environment unless it has these packages; return its bin directory."""
    stamp = venv / "installed"
    wanted = "\n".join(packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        _call(sys.executable, "-m", "venv", "--clear", str(venv))
        pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
        _call(*pip, "install", "--quiet", *packages)
        stamp.write_text(wanted)
    return venv / "bin"


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)} failed: {done.stdout}{done.stderr}")
