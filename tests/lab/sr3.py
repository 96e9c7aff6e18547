"""Installs the real sr3 (metpx-sr3) and runs it for the user of a site, beside our own programs."""

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

# sr3 itself asks for neither amqp nor paramiko; with the others it keeps identities in extended
# attributes and announces content types, as most of its users have it.
PACKAGES: Final = ("metpx-sr3==3.3.1", "amqp", "paramiko", "xattr", "python-magic")
VENV: Final = Path(__file__).parents[2] / ".venv-sr3"

#: What makes our programs use the exchanges and topics that sr3 uses.
OURS: Final = """\
exchangePrefix = "xs_"
userPrefix = ""
topicPrefix = "{topic}"
"""
CREDENTIALS: Final = """\
# as sr3_credentials(7) shows it: one URL a line, options behind it
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
# fileAgeMin and sleep: announce at once what changes.
WATCH: Final = (
    POST
    + """\
path {source}
fileAgeMin 0
sleep 0.1
"""
)
# baseDir: without, it looks for the files of file:/some/where below file:/.
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
# Binds what the lines before have named, and nothing that is named after it.
_LAST: Final = {"sender": "subtopic #\n", "shovel": "subtopic #\n"}
# What each component says when nothing that is announced from now on can be missed.
_READY: Final = {"watch": "now active on", "sender": "binding q_", "shovel": "binding q_"}


class Sr3:
    """sr3 with a home of its own, for the user of a site, who gets the rights that sr3 gives."""

    def __init__(self, site: Site) -> None:
        """Install sr3 if it is not, give the user his rights and both programs one file of keys."""
        self.site = site
        self.exchange = f"xs_{site.user}"
        self.directory = site.directory / "sr3"
        self._bin = install()
        self._config = self.directory / "config" / "sr3"
        self._config.mkdir(parents=True)
        own = f"^q_{site.user}.*|^xs_{site.user}.*"
        read = f"^q_{site.user}.*|^x[lrs]_{site.user}.*|^x.*public$"
        site.rabbit.add_users(User(site.user, site.password, own, own, read))
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
        """Write a configuration that works; of options given once more, sr3 takes the last."""
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
        file.write_text(text + more + _LAST.get(component, ""))
        return f"{component}/{name}"

    def ours(self, component: str, more: str = "", *, topic: str = "v03") -> Path:
        """Write the default configuration of one of our programs for the world of sr3."""
        world = OURS.format(topic=topic)
        return self.site.configure(component, f'{world}queueType = "classic"\n{more}')

    def post(self, *paths: Path, name: str = "earnest") -> str:
        """Announce paths with sr3_post; raise when it did not announce them, which it hides."""
        output = self.run("sr3_post", "-c", name, "-p", *map(str, paths))
        if "could not post" in output or "after_post posted" not in output:
            raise LabError(f"sr3_post announced nothing:\n{output}")
        return output

    def declare(self, configuration: str) -> str:
        """Let sr3 declare exchanges and queues; return its log, for it tells no other way."""
        return self.run("sr3", "declare", configuration)

    def run(self, program: str, *arguments: str) -> str:
        """Run a program of sr3 to its end; return what it says."""
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
        """Run a component meanwhile, from when it misses nothing on."""
        command = [str(self._bin / "sr3"), "foreground", configuration]
        log = self.directory / f"{configuration.replace('/', '-')}.log"
        process = Process(command, log, env=self.env, cwd=self.directory)
        said = _READY[configuration.partition("/")[0]]
        process.wait_ready(lambda: said in process.output(), seconds=20)
        try:
            yield process
        finally:
            process.kill()  # in good order it takes up to seven seconds


def install() -> Path:
    """Return the directory of sr3's programs, in a virtual environment made at the first call."""
    return environment(VENV, PACKAGES)


def environment(venv: Path, packages: Sequence[str]) -> Path:
    """Return the directory of the programs of a virtual environment, made if it has not these."""
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
