"""Attempts what a transfer account may not do; runs on a user's host and prints JSON.

``client.py HOST LOGIN KEY`` attempts every forbidden action, each on an SSH connection of its own,
and prints the results.  ``client.py HOST LOGIN KEY identities N`` connects N times and prints the
host keys.  ``client.py amqp URL CA USER`` attempts forbidden actions on USER's broker objects.
"""

from __future__ import annotations

import contextlib
import io
import json
import ssl
import sys
from collections.abc import Callable, Iterator
from typing import Any

import paramiko
import pika
from paramiko.common import cMSG_CHANNEL_REQUEST
from paramiko.message import Message
from pika.exceptions import ChannelClosedByBroker

REFUSED = "refused"
Try = Callable[[paramiko.Transport], str]


@contextlib.contextmanager
def connection(host: str, login: str, key: str) -> Iterator[paramiko.Transport]:
    """Connect and log in; close the connection afterwards."""
    transport = paramiko.Transport((host, 22))
    transport.start_client(timeout=15)
    transport.auth_publickey(login, paramiko.Ed25519Key.from_private_key_file(key))
    try:
        yield transport
    finally:
        transport.close()


def channel_request(transport: paramiko.Transport, kind: str, *fields: Any) -> str:
    """Send a channel request and wait for the reply; raise if it is refused."""
    channel = transport.open_session(timeout=15)
    message = Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string(kind)
    message.add_boolean(True)  # noqa: FBT003  want_reply
    for field in fields:
        message.add_string(field) if isinstance(field, str) else message.add_int(field)
    private: Any = channel  # paramiko has no public method that waits for the reply
    private._event_pending()  # noqa: SLF001
    private.transport._send_user_message(message)  # noqa: SLF001
    private._wait_for_event()  # noqa: SLF001
    return "accepted"


def command(transport: paramiko.Transport, text: str | None) -> str:
    """Run a command, or a shell if it is None; return its output and exit status."""
    channel = transport.open_session(timeout=15)
    channel.settimeout(15)
    if text is None:
        channel.invoke_shell()
    else:
        channel.exec_command(text)
    printed = channel.makefile("rb").read() + channel.makefile_stderr("rb").read()
    status = channel.recv_exit_status()
    if status != 0 and b"sftp connections only" in printed:
        return f"{REFUSED}: {printed.decode().strip()}"
    return f"status {status}: {printed!r}"


def forward(transport: paramiko.Transport, kind: str) -> str:
    """Open a channel that forwards to another address."""
    transport.open_channel(kind, ("127.0.0.1", 22), ("127.0.0.1", 9), timeout=15)
    return "accepted"


def listen(transport: paramiko.Transport) -> str:
    """Request reverse forwarding of a port of the server."""
    return f"accepted: {transport.request_port_forward('127.0.0.1', 0)}"


def read(path: str) -> Try:
    """Return an attempt to read a file."""

    def attempt(transport: paramiko.Transport) -> str:
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None
        with sftp.open(path) as file:
            return f"accepted: {file.read(80)!r}"

    return attempt


def by_link(target: str) -> Try:
    """Return an attempt to read a file through a symbolic link."""

    def attempt(transport: paramiko.Transport) -> str:
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None
        with contextlib.suppress(OSError):
            sftp.remove("escape")
        sftp.symlink(target, "escape")
        try:
            return read("escape")(transport)
        finally:
            sftp.remove("escape")

    return attempt


def write(path: str) -> Try:
    """Return an attempt to write a file."""

    def attempt(transport: paramiko.Transport) -> str:
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None
        with sftp.open(path, "w") as file:
            file.write(b"x")
        return "accepted"

    return attempt


def own_key(host: str, login: str) -> Try:
    """Return an attempt to authorize another key by ~/.ssh/authorized_keys."""

    def attempt(transport: paramiko.Transport) -> str:
        fresh = paramiko.ECDSAKey.generate()
        sftp = paramiko.SFTPClient.from_transport(transport)
        assert sftp is not None
        with contextlib.suppress(OSError):
            sftp.mkdir(".ssh", 0o700)
        for name in (".ssh/authorized_keys", ".ssh/authorized_keys2"):
            with sftp.open(name, "w") as file:
                file.write(f"{fresh.get_name()} {fresh.get_base64()}\n".encode())
        with contextlib.closing(paramiko.Transport((host, 22))) as other:
            other.start_client(timeout=15)
            other.auth_publickey(login, fresh)
        return "accepted"

    return attempt


def forbidden(host: str, login: str, key: str) -> dict[str, str]:
    """Attempt every forbidden action; return the result of each."""
    attempts: dict[str, Try] = {
        "shell": lambda t: command(t, None),
        "exec": lambda t: command(t, "id"),
        "scp -O": lambda t: command(t, "scp -t incoming"),
        "terminal": lambda t: channel_request(t, "pty-req", "xterm", 80, 24, 0, 0, ""),
        "agent forwarding": lambda t: channel_request(t, "auth-agent-req@openssh.com"),
        "environment": lambda t: channel_request(t, "env", "LD_PRELOAD", "x.so"),
        "port forwarding": lambda t: forward(t, "direct-tcpip"),
        "reverse port forwarding": listen,
        "X11 forwarding": lambda t: str(t.open_session(timeout=15).request_x11()),
        "tunnel": lambda t: forward(t, "tun@openssh.com"),
        "escape by ..": read("../../../../../../etc/ssh/transfer/authorized_keys"),
        "escape by a link": by_link("../../../../../../etc/ssh/transfer/authorized_keys"),
        "escape by an absolute link": by_link("/etc/passwd"),
        "writing into the root": write("/intruder"),
        "writing among the homes": write("/home/intruder"),
        "overwriting authorized_keys": write("/etc/ssh/transfer/authorized_keys"),
        "a key of one's own": own_key(host, login),
    }
    found = {}
    for name, attempt in attempts.items():
        with connection(host, login, key) as transport:
            try:
                found[name] = attempt(transport)
            except (OSError, EOFError, paramiko.SSHException) as error:
                found[name] = f"{REFUSED}: {error!r}"
    return found


def identities(host: str, login: str, key: str, count: int) -> list[str]:
    """Connect ``count`` times; return the different host keys."""
    seen = set()
    for _ in range(count):
        with connection(host, login, key) as transport:
            seen.add(transport.get_remote_server_key().get_base64())
    return sorted(seen)


def amqp(url: str, ca: str, other: str) -> dict[str, str]:
    """Attempt what a user may not do with the exchange and queues of the user ``other``."""
    parameters = pika.URLParameters(url)
    context = ssl.create_default_context(cafile=ca)
    parameters.ssl_options = pika.SSLOptions(context, parameters.host)
    exchange, queue = f"xac_{other}", f"q_u{other}_default"
    user = url.partition("//")[2].partition(":")[0]
    mine = f"q_{user}_default"  # the user may create it, as a sender does
    kind = {"x-queue-type": "quorum", "x-delivery-limit": 10**9}
    attempts: dict[str, Callable[[Any], Any]] = {
        "publish": lambda c: c.basic_publish(exchange, "v03.post.x", b"{}", mandatory=True),
        "read": lambda c: c.basic_get(queue),
        "declare": lambda c: c.queue_declare(f"q_u{other}_intruder", durable=True),
        "delete": lambda c: c.queue_delete(queue),
        "delete exchange": lambda c: c.exchange_delete(exchange),
        "bind": lambda c: (
            c.queue_declare(mine, durable=True, arguments=kind),
            c.queue_bind(mine, exchange, "#"),
        ),
        "tell usage": lambda c: c.basic_publish("xusage", f"usage.u{other}", b"{}", mandatory=True),
        "read usage": lambda c: c.queue_bind(mine, "xusage", "#"),
        "have usage read": lambda c: c.exchange_bind(f"xac_{user[1:]}", "xusage", "#"),
        "read xlog": lambda c: c.queue_bind(mine, "xlog", "#"),
    }
    found = {}
    for name, attempt in attempts.items():
        with contextlib.closing(pika.BlockingConnection(parameters)) as broker:
            channel = broker.channel()
            channel.confirm_delivery()
            try:
                attempt(channel)
                found[name] = "accepted"
            except ChannelClosedByBroker as error:
                found[name] = f"{REFUSED}: {error.reply_code} {error.reply_text}"
    return found


def main() -> None:
    """Run the attempts that the command line selects."""
    sys.stderr = io.TextIOWrapper(sys.stderr.buffer, write_through=True)
    match sys.argv[1:]:
        case ["amqp", url, ca, other]:
            result: object = amqp(url, ca, other)
        case [host, login, key, "identities", count]:
            result = identities(host, login, key, int(count))
        case [host, login, key]:
            result = forbidden(host, login, key)
        case _:
            sys.exit(__doc__)
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
