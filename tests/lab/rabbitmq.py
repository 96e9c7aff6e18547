"""Runs a private RabbitMQ node on loopback: starts and stops it, crashes it, adds users."""

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
    """A broker user; `configure`, `write` and `read` are its permissions, regular expressions."""

    name: str
    password: str
    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"
    tags: str = ""


class Rabbit:
    """A RabbitMQ node for tests; `with` starts and ends it, `stop` and `start` keep its data.

    The user `admin` has all permissions; `admin_password` is random.
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
        """Write the configuration of the node.

        `port`: the AMQP port; None: a free one.  With a port, management listens at port + 10000.
        `tls`: also listen for amqps, at `tls_port`, with a certificate of this authority.
        `consumer_timeout_ms`: RabbitMQ's acknowledgement timeout, from 1 ms, accurate to 100 ms.
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
        """Kill the node, since a clean stop takes one second, with management six."""
        self.kill()

    def start(self) -> None:
        """Start the node, with the data of an earlier run; return when it accepts connections."""
        epmd = [find_program("epmd"), "-port", str(self._home.epmd_port), "-address", "127.0.0.1"]
        self._spawn(epmd, "epmd.log")
        try:
            node = self._spawn([self._home.program("rabbitmq-server")], "rabbit.log")
            # The node prints this line when its plugins and listeners run.
            node.wait_ready(lambda: " completed with " in node.output())
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop the node cleanly."""
        while self._processes:
            self._processes.pop().stop()

    def kill(self) -> None:
        """Kill the node, as a power failure does."""
        while self._processes:
            self._processes.pop().kill()

    def freeze(self) -> None:
        """Suspend the node: connections stay open, but nothing is answered."""
        for process in self._processes:
            process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Resume the node after `freeze`."""
        for process in self._processes:
            process.signal(signal.SIGCONT)

    def url(self, user: str, password: str = "", *, tls: bool = False) -> str:
        """Return the broker's URL; only credentials.conf has URLs with a password."""
        secret = f":{quote(password, safe='')}" if password else ""
        scheme, port = ("amqps", self.tls_port) if tls else ("amqp", self.port)
        return f"{scheme}://{quote(user, safe='')}{secret}@{self.address}:{port}/"

    @contextmanager
    def channel(
        self, user: str = "admin", password: str | None = None
    ) -> Iterator[BlockingChannel]:
        """Open a plain pika channel, for what the programs under test do not do."""
        credentials = pika.PlainCredentials(user, password or self.admin_password)
        parameters = pika.ConnectionParameters(self.address, self.port, credentials=credentials)
        connection = pika.BlockingConnection(parameters)
        try:
            yield connection.channel()
        finally:
            with suppress(pika.exceptions.AMQPError):  # some tests have it closed or lost
                connection.close()

    def add_users(self, *users: User) -> None:
        """Create the users, or update those that exist; takes milliseconds."""
        expressions = []
        for user in users:
            name, password, configure, write, read, tags = map(_binary, user)
            identity = f"#{{name => {name}, password => {password}, tags => {tags}}}"
            permissions = f'{name}, <<"/">>, {configure}, {write}, {read}'
            expressions += [
                f'ok = rabbit_auth_backend_internal:put_user({identity}, <<"lab">>)',
                f'ok = rabbit_auth_backend_internal:set_permissions({permissions}, <<"lab">>)',
            ]
        self.evaluate(", ".join(expressions))

    def add_user(
        self,
        name: str,
        password: str,
        configure: str = "^$",
        write: str = "^$",
        read: str = "^$",
        tags: str = "",
    ) -> None:
        """Create a user, or update it."""
        self.add_users(User(name, password, configure, write, read, tags))

    def close_all_connections(self) -> None:
        """Close the connections of all clients, as an administrator may."""
        connections = "rabbit_networking:connections()"
        self.evaluate(f'rabbit_networking:close_connections({connections}, <<"lab">>)')

    def queues(self) -> dict[str, int]:
        """Return the number of messages of each queue, ready and unacknowledged."""
        # What the broker tells of a quorum queue is up to five seconds old, so the queue is asked.
        total = "ra:local_query(amqqueue:get_pid(Q), fun rabbit_fifo:query_messages_total/1)"
        told = "proplists:get_value(messages, rabbit_amqqueue:info(Q, [messages]))"
        quorum = f"case {total} of {{ok, {{_, N}}, _}} -> N; _ -> {told} end"
        kind = f"case amqqueue:get_type(Q) of rabbit_quorum_queue -> {quorum}; _ -> {told} end"
        listed = 'rabbit_amqqueue:list(<<"/">>)'
        pairs = f"[[element(4, amqqueue:get_name(Q)), {kind}] || Q <- {listed}]"
        return dict(json.loads(self.evaluate(f"rabbit_json:encode({pairs})", form="~ts")))

    @contextmanager
    def consumer_timeout(self, milliseconds: int) -> Iterator[None]:
        """Set the consumer timeout of channels opened in the `with` block, accurate to 100 ms."""
        names = ("consumer_timeout", "channel_tick_interval")
        old = [self.evaluate(f"element(2, application:get_env(rabbit, {name}))") for name in names]
        self._set(names, [str(milliseconds), "100"])
        try:
            yield
        finally:
            self._set(names, old)

    def evaluate(self, expression: str, *, form: str = "~tp") -> str:
        """Evaluate an Erlang expression in the node and return its value; takes milliseconds."""
        # rabbitmqctl takes half a second to start; erl_call is a C program.
        command = [find_program("erl_call"), "-sname", self._home.node]
        # The node refuses a second caller of the same name, and the random names of -r repeat.
        command += ["-h", f"lab{secrets.token_hex(8)}", "-fetch_stdout", "-e"]
        script = f'io:format("{form}", [begin {expression} end]).\n'
        output = self._run(command, script)
        if not output.endswith("{ok, ok}"):
            raise LabError(f"{expression}: {output}")
        return output.removesuffix("{ok, ok}")

    def save_tables(self) -> None:
        """Write to disk what the node keeps in tables, which it does every few seconds itself.

        Among them is what the members of quorum queues and streams have promised each other.
        """
        self.evaluate("[ok = dets:sync(Table) || Table <- dets:all()]")

    def ctl(self, *args: str) -> str:
        """Run rabbitmqctl and return its output; takes half a second."""
        return self._run([self._home.program("rabbitmqctl"), "--quiet", *args])

    def feed_ctl(self, text: str, *args: str) -> str:
        """Run rabbitmqctl with ``text`` as its input and return its output."""
        return self._run([self._home.program("rabbitmqctl"), "--quiet", *args], text)

    def _set(self, names: tuple[str, ...], values: list[str]) -> None:
        for name, value in zip(names, values, strict=True):
            self.evaluate(f"application:set_env(rabbit, {name}, {value})")

    def _spawn(self, argv: list[str], log: str) -> Process:
        log_file = self.directory / log
        process = Process(argv, log_file, env=self._env, cwd=self.directory)
        self._processes.append(process)
        return process

    def _run(self, argv: list[str], text: str = "") -> str:
        result = subprocess.run(
            argv, input=text, env=self._env, capture_output=True, text=True, check=False, timeout=60
        )
        if result.returncode:
            raise LabError(f"{argv[0]}: {result.stdout}{result.stderr}")
        return result.stdout


def _binary(text: str) -> str:
    """Return a text as an Erlang binary literal, of byte numbers, which needs no escaping."""
    return f"<<{','.join(map(str, text.encode()))}>>"
