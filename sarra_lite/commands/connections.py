"""Connections to the broker and the SFTP host of a configuration, with their credentials."""

from __future__ import annotations

import math
import shutil
import ssl
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sarra_lite import runtime
from sarra_lite.broker.client import Broker
from sarra_lite.config import credentials, files
from sarra_lite.errors import BrokerError, BrokerRefused, ConfigError
from sarra_lite.runtime import log

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.config.shared import BrokerConfig, Config
    from sarra_lite.sftp.client import SftpClient


async def keep_connected(
    config: Config,
    declare: Callable[[Broker, Config], Awaitable[None]],
    work: Callable[[Broker], Awaitable[None]],
    stop: asyncio.Event,
    patience_at_start: float = math.inf,
    patience: float = math.inf,
) -> bool:
    """Connect, ``declare`` and ``work``; do it again on a new connection when one is lost.

    Return whether ``work`` returned; False when ``stop`` was set while there was no connection.
    Raise BrokerRefused at once, BrokerError after ``patience_at_start`` seconds without a first
    connection, or ``patience`` seconds after one was lost.
    """
    connect = broker_factory(config)
    delays, limit, lost_at = runtime.backoff(), patience_at_start, time.monotonic()
    while not stop.is_set():
        try:
            async with connect() as broker:
                limit = patience
                await declare(broker, config)
                delays, lost_at = runtime.backoff(), math.inf
                await work(broker)
                return True
        except BrokerRefused:
            raise
        except BrokerError as error:
            lost_at = min(lost_at, time.monotonic())
            if time.monotonic() - lost_at >= limit:
                raise
            log.warning("%s%s", error, "" if stop.is_set() else "; trying again")
        runtime.notify_alive("the broker is away")
        await runtime.wait_for_any(next(delays), stop)
    return False


def broker_factory(config: BrokerConfig) -> Callable[[], Broker]:
    """Return a function that makes a connection to the broker.

    RabbitMQ lists it with the names of the command and of the configuration.  Raises ConfigError
    when there is no password.
    """
    file = files.credentials_file()
    endpoint = credentials.complete(config.broker, file)
    if endpoint.password is None:
        line = str(endpoint).replace("@", ":PASSWORD@", 1)
        action = "add" if file.exists() else "no such file; make it, mode 0600, with"
        raise ConfigError(f"{file}: no password for {endpoint}; {action} the line: {line}")
    return partial(Broker, endpoint, f"sr_{config.component} {config.name}", tls_context(config))


def tls_context(config: BrokerConfig) -> ssl.SSLContext | None:
    """Return how to verify the broker; None without TLS.  Raises ConfigError."""
    if config.broker.scheme != "amqps":
        return None
    try:
        context = ssl.create_default_context(cafile=config.tlsCaFile)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"{config.tlsCaFile}: no certificates in it: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def sftp_factory(config: SenderConfig) -> Callable[[], SftpClient]:
    """Return a function that makes a connection to the SFTP host.

    Raises ConfigError when the key file does not exist, or ``stream`` cannot be used.
    """
    # Imported here because sr_post does without paramiko, whose import takes long.
    from sarra_lite.sftp.client import SftpClient  # noqa: PLC0415
    from sarra_lite.sftp.target import Target  # noqa: PLC0415

    file = files.credentials_file()
    endpoint = credentials.complete(config.sendTo, file)
    key_file = endpoint.options.get("ssh_keyfile")
    if key_file is not None and not Path(key_file).expanduser().is_file():
        raise ConfigError(f"{file}: ssh_keyfile of {endpoint}: no such file: {key_file}")
    ssh_installed = shutil.which("ssh") is not None
    if config.stream == "ssh" and not ssh_installed:
        raise ConfigError("stream is ssh, but there is no ssh program on this host")
    if config.stream == "ssh" and endpoint.password is not None:
        raise ConfigError(f"{file}: {endpoint} has a password, which needs stream auto or paramiko")
    target = Target(
        endpoint=endpoint,
        key_file=None if key_file is None else str(Path(key_file).expanduser()),
        known_hosts=config.knownHosts,
        program=config.stream != "paramiko" and endpoint.password is None and ssh_installed,
        timeout=config.timeout,
    )
    return partial(SftpClient, target)
