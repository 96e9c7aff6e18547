"""Runs a private RabbitMQ node on loopback and steers it: users, connections, stops, crashes."""

from __future__ import annotations

import json
import secrets
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, Self
from urllib.parse import quote

import pika
import pika.exceptions

from tests.lab import LabError
from tests.lab.processes import Process, find_program, free_port
from tests.lab.rabbit_home import RabbitHome

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from pika.adapters.blocking_connection import BlockingChannel

    from tests.lab.authority import Authority


class User(NamedTuple):
    """A broker user and the names it may configure, write and read, as regular expressions."""

    name: str
    password: str
    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"
    tags: str = ""


class Rabbit:
    """A node of its own; `with` starts and ends it, between that it may stop, crash and hang.

    The user `admin` may do everything; `admin_password` is made up for each node.
    """

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
        tls: Authority | None = None,
        management: bool = False,
        consumer_timeout_ms: int | None = None,
    ) -> None:
        """Lay out the node.

        `port`: AMQP; a free one when None.  When given, management listens at port + 10000.
        `tls`: amqps is offered as well, at `tls_port`, with a certificate of this authority.
        `consumer_timeout_ms`: how long a delivery may stay unacknowledged; any value from 1 is
        kept to, give or take 100 ms.
        """
        self.directory = directory
        self.address = address
        self.port = port or free_port(address)
        self.tls_port = free_port(address)
        self.management_port = port + 10000 if port else free_port(address)
        self.ca_file = tls.ca_file if tls else None
        self.admin_password = secrets.token_urlsafe(12)
        self.log = directory / "rabbit.log"
        self._home = RabbitHome(
            directory, address, self.port, self.tls_port, self.management_port, self.admin_password
        )
        self._home.write(
            tls=(tls.ca_file, tls.issue("rabbit", [address, "localhost"])) if tls else None,
            management=management,
            consumer_timeout_ms=consumer_timeout_ms,
        )
        self._env = self._home.env()
        self._processes: list[Process] = []

    def __enter__(self) -> Self:
        """Start the node."""
        self.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """End the node at once: good order costs a second, with management six."""
        self.kill()

    def start(self) -> None:
        """Return when the node takes connections; data of an earlier run is there again."""
        epmd = [find_program("epmd"), "-port", str(self._home.epmd_port), "-address", "127.0.0.1"]
        self._spawn(epmd, "epmd.log")
        try:
            node = self._spawn([self._home.program("rabbitmq-server")], "rabbit.log")
            # Said when plugins and listeners run.
            node.wait_ready(lambda: " completed with " in node.output())
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the node in good order."""
        while self._processes:
            self._processes.pop().stop()

    def kill(self) -> None:
        """End the node as a power cut does."""
        while self._processes:
            self._processes.pop().kill()

    def freeze(self) -> None:
        """Let the node hang: connections stay, nothing answers."""
        for process in self._processes:
            process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a hanging node go on."""
        for process in self._processes:
            process.signal(signal.SIGCONT)

    def url(self, user: str, password: str = "", *, tls: bool = False) -> str:
        """Return the broker's address as configuration (no password) and credentials spell it."""
        secret = f":{quote(password, safe='')}" if password else ""
        scheme, port = ("amqps", self.tls_port) if tls else ("amqp", self.port)
        return f"{scheme}://{quote(user, safe='')}{secret}@{self.address}:{port}/"

    @contextmanager
    def channel(
        self, user: str = "admin", password: str | None = None
    ) -> Iterator[BlockingChannel]:
        """Give a pika channel for what well-behaved programs do not do."""
        credentials = pika.PlainCredentials(user, password or self.admin_password)
        parameters = pika.ConnectionParameters(self.address, self.port, credentials=credentials)
        connection = pika.BlockingConnection(parameters)
        try:
            yield connection.channel()
        finally:
            with suppress(pika.exceptions.AMQPError):  # lost, or closed by the broker, by intent
                connection.close()

    def add_users(self, *users: User) -> None:
        """Make the users, or change those that exist; takes milliseconds."""
        steps = []
        for user in users:
            name, password, configure, write, read, tags = map(_binary, user)
            identity = f"#{{name => {name}, password => {password}, tags => {tags}}}"
            permissions = f'{name}, <<"/">>, {configure}, {write}, {read}'
            steps += [
                f'ok = rabbit_auth_backend_internal:put_user({identity}, <<"lab">>)',
                f'ok = rabbit_auth_backend_internal:set_permissions({permissions}, <<"lab">>)',
            ]
        self.evaluate(", ".join(steps))

    def add_user(
        self,
        name: str,
        password: str,
        configure: str = "^$",
        write: str = "^$",
        read: str = "^$",
        tags: str = "",
    ) -> None:
        """Make a user, or change it."""
        self.add_users(User(name, password, configure, write, read, tags))

    def close_all_connections(self) -> None:
        """Tell every client, as an administrator may, that its connection is closed."""
        connections = "rabbit_networking:connections()"
        self.evaluate(f'rabbit_networking:close_connections({connections}, <<"lab">>)')

    def queues(self) -> dict[str, int]:
        """Return how many messages each queue holds, ready and unacknowledged."""
        listed = 'rabbit_amqqueue:info_all(<<"/">>, [name, messages])'
        pairs = f"[[element(4, Name), N] || [{{name, Name}}, {{messages, N}}] <- {listed}]"
        return dict(json.loads(self.evaluate(f"rabbit_json:encode({pairs})", form="~ts")))

    @contextmanager
    def consumer_timeout(self, milliseconds: int) -> Iterator[None]:
        """Give channels opened meanwhile another consumer timeout, kept to within 100 ms."""
        names = ("consumer_timeout", "channel_tick_interval")
        old = [self.evaluate(f"element(2, application:get_env(rabbit, {name}))") for name in names]
        self._set(names, [str(milliseconds), "100"])
        try:
            yield
        finally:
            self._set(names, old)

    def evaluate(self, expression: str, *, form: str = "~tp") -> str:
        """Return the value of an Erlang expression, worked out in the node, within milliseconds."""
        # erl_call is a C program, rabbitmqctl takes half a second to start.
        command = [find_program("erl_call"), "-sname", self._home.node]
        # Of two callers of one name the node refuses the second; those -r makes up repeat.
        command += ["-h", f"lab{secrets.token_hex(8)}", "-fetch_stdout", "-e"]
        script = f'io:format("{form}", [begin {expression} end]).\n'
        output = self._run(command, script)
        if not output.endswith("{ok, ok}"):
            raise LabError(f"{expression}: {output}")
        return output.removesuffix("{ok, ok}")

    def ctl(self, *args: str) -> str:
        """Return what rabbitmqctl prints; takes half a second."""
        return self._run([self._home.program("rabbitmqctl"), "--quiet", *args])

    def _set(self, names: tuple[str, ...], values: list[str]) -> None:
        for name, value in zip(names, values, strict=True):
            self.evaluate(f"application:set_env(rabbit, {name}, {value})")

    def _spawn(self, argv: list[str], log: str) -> Process:
        log_file = self.directory / log
        process = Process(argv, log_file, env=self._env, cwd=self.directory)
        self._processes.append(process)
        return process

    def _run(self, argv: list[str], text: str = "") -> str:
        done = subprocess.run(
            argv, input=text, env=self._env, capture_output=True, text=True, check=False, timeout=60
        )
        if done.returncode:
            raise LabError(f"{argv[0]}: {done.stdout}{done.stderr}")
        return done.stdout


def _binary(text: str) -> str:
    """Spell a text in Erlang, whatever characters are in it."""
    return f"<<{','.join(map(str, text.encode()))}>>"
