"""Connections to the broker and the SFTP host of a configuration, with their credentials."""

from __future__ import annotations

import shutil
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sarra_lite.broker.client import Broker
from sarra_lite.config import credentials, files
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from sarra_lite.config.commands import SenderConfig
    from sarra_lite.config.shared import BrokerConfig
    from sarra_lite.sftp.client import SftpClient

BrokerFactory = Callable[[], Broker]


def broker_factory(config: BrokerConfig) -> BrokerFactory:
    """Return a function that makes a connection to the broker.

    RabbitMQ lists it with the names of the command and of the configuration.  Raises ConfigError
    when there is no password.
    """
    file = credentials.find_file(files.directories())
    endpoint = credentials.complete(config.endpoint, file)
    if endpoint.password is None:
        line = str(endpoint).replace("@", ":PASSWORD@", 1)
        action = "add" if file.exists() else "no such file; make it, mode 0600, with"
        raise ConfigError(f"{file}: no password for {endpoint}; {action} the line: {line}")
    return partial(Broker, endpoint, f"sr_{config.component} {config.name}", _tls(config))


def _tls(config: BrokerConfig) -> ssl.SSLContext | None:
    if config.endpoint.scheme != "amqps":
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

    file = credentials.find_file(files.directories())
    endpoint = credentials.complete(config.destination, file)
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
