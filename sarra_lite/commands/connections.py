"""Where a configuration says to connect to, with passwords and keys: the broker, the SFTP host."""

from __future__ import annotations

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


def broker_factory(config: BrokerConfig, program: str) -> BrokerFactory:
    """Return what makes a connection to the broker; ConfigError when there is no password."""
    file = credentials.find_file(files.directories())
    where = credentials.complete(config.endpoint, file)
    if where.password is None:
        url = str(where).replace("@", ":PASSWORD@", 1)
        place = "add" if file.exists() else "no such file; make it, mode 0600, with"
        raise ConfigError(f"{file}: no password for {where}; {place} the line: {url}")
    return partial(Broker, where, f"{program} {config.name}", _tls(config))


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
    """Return what makes connections to the SFTP host."""
    # Here, since paramiko takes longer to import than all that sr_post needs.
    from sarra_lite.sftp.client import SftpClient  # noqa: PLC0415
    from sarra_lite.sftp.target import Target, ssh_installed  # noqa: PLC0415

    file = credentials.find_file(files.directories())
    where = credentials.complete(config.destination, file)
    key_file = where.options.get("ssh_keyfile")
    if key_file is not None and not Path(key_file).expanduser().is_file():
        raise ConfigError(f"{file}: ssh_keyfile of {where}: no such file: {key_file}")
    program = config.stream == "ssh" or (
        config.stream == "auto" and where.password is None and ssh_installed()
    )
    if config.stream == "ssh" and not ssh_installed():
        raise ConfigError("stream is ssh, but there is no ssh program on this host")
    if config.stream == "ssh" and where.password is not None:
        raise ConfigError(f"{file}: {where} has a password, which needs stream auto or paramiko")
    target = Target(
        endpoint=where,
        key_file=None if key_file is None else str(Path(key_file).expanduser()),
        known_hosts=config.knownHosts,
        program=program,
        timeout=config.timeout,
    )
    return partial(SftpClient, target)
