"""Writes the directory of a private RabbitMQ node and returns its environment variables."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.lab import Unavailable
from tests.lab.processes import SYSTEM_PATH, free_port

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.lab.authority import Certificate

# Not /usr/sbin/rabbitmq-server, which switches to the user of the system's service.
SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")

CONFIG = """\
listeners.tcp.1 = {self.address}:{self.port}
default_user = admin
default_pass = {self.admin_password}
loopback_users = none
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.absolute = 1GB
log.file = false
log.console = true
log.console.use_colors = off
"""
TLS_CONFIG = """\
listeners.ssl.1 = {self.address}:{self.tls_port}
ssl_options.cacertfile = {ca_file}
ssl_options.certfile = {server.cert_file}
ssl_options.keyfile = {server.key_file}
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
"""
MANAGEMENT_CONFIG = """\
management.tcp.ip = {self.address}
management.tcp.port = {self.management_port}
"""
# A channel checks for late acknowledgements at each tick, by default once a minute.
TICK_CONFIG = "[{rabbit, [{channel_tick_interval, 100}]}].\n"


@dataclass
class RabbitHome:
    """The directory of one node; the node reads the files of `write` at its next start."""

    directory: Path
    address: str
    port: int
    tls_port: int
    management_port: int
    admin_password: str

    def __post_init__(self) -> None:
        """Choose a port for epmd, and name the node after its AMQP port."""
        if not SERVER.exists():
            raise Unavailable("rabbitmq-server is not installed")
        self.epmd_port = free_port()
        self.node = f"lab{self.port}@localhost"

    def write(
        self,
        *,
        tls: tuple[Path, Certificate] | None,
        management: bool,
        consumer_timeout_ms: int | None,
    ) -> None:
        """Write all files that the node needs to start."""
        self.directory.mkdir(parents=True, exist_ok=True)
        config = CONFIG.format(self=self)
        if tls:
            config += TLS_CONFIG.format(self=self, ca_file=tls[0], server=tls[1])
        if management:
            config += MANAGEMENT_CONFIG.format(self=self)
        if consumer_timeout_ms is not None:
            config += f"consumer_timeout = {consumer_timeout_ms}\n"
        plugins = ["rabbitmq_management"] if management else []
        self._write("rabbitmq.conf", config)
        self._write("advanced.config", "[].\n" if consumer_timeout_ms is None else TICK_CONFIG)
        self._write("enabled_plugins", f"[{','.join(plugins)}].\n")
        self._write("env.conf", "")
        cookie = self.directory / ".erlang.cookie"
        if not cookie.exists():
            cookie.touch(mode=0o600)
            cookie.write_text(secrets.token_hex(20))
            cookie.chmod(0o400)  # Erlang refuses a cookie that other users may read
        self._link_installation(["rabbit", *plugins])

    def program(self, name: str) -> str:
        """Return the path of rabbitmq-server, rabbitmqctl or another script of this node."""
        return str(self.directory / "sbin" / name)

    def env(self) -> dict[str, str]:
        """Return all environment variables of the node; it inherits none from the caller."""
        directory = self.directory
        return {
            "PATH": SYSTEM_PATH,
            "LANG": "C.UTF-8",
            "HOME": str(directory),  # where Erlang looks for the cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(self.epmd_port),
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_SCRIPTS_DIR": str(directory / "sbin"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "env.conf"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(directory / "advanced.config"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(directory / "data"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            # The command-line tools listen above this port + 10000.
            "RABBITMQ_DIST_PORT": str(free_port()),
            # The lab runs its own epmd; one that Erlang starts would outlive the tests.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_ERL_ARGS": "-start_epmd false"
            " -kernel inet_dist_use_interface {127,0,0,1}",
            # Below the ephemeral ports, and wide enough for many tools at once.
            "RABBITMQ_CTL_DIST_PORT_MIN": "32000",
            "RABBITMQ_CTL_DIST_PORT_MAX": "32700",
        }

    def _write(self, name: str, text: str) -> None:
        (self.directory / name).write_text(text)

    def _link_installation(self, applications: Iterable[str]) -> None:
        """Link the scripts and the libraries needed; with all 80, the start takes 6 s, not 3."""
        installed = SERVER.resolve().parent.parent
        libraries = self.directory / "plugins"
        libraries.mkdir(exist_ok=True)
        for name in ("sbin", "escript"):
            _link(self.directory / name, installed / name)
        for library in _with_dependencies(applications, installed / "plugins"):
            _link(libraries / library.name, library)


def _link(path: Path, target: Path) -> None:
    if not path.is_symlink():
        path.symlink_to(target)


def _with_dependencies(names: Iterable[str], plugins: Path) -> list[Path]:
    """Return the directories of these Erlang applications and of all that they depend on."""
    files = {app.stem: app for app in plugins.glob("*/ebin/*.app")}
    pending, directories = list(names), dict[str, Path]()
    while pending:
        name = pending.pop()
        if name in files and name not in directories:  # Erlang's own have no file here
            directories[name] = files[name].parent.parent
            dependencies = re.search(r"{applications,\s*\[([^]]*)\]", files[name].read_text())
            pending += re.findall(r"\w+", dependencies[1]) if dependencies else []
    return list(directories.values())
