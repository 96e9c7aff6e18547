"""Options of sr_web."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import platformdirs

from sarra_lite.config import expected
from sarra_lite.config.base_url import is_web
from sarra_lite.config.schema import option
from sarra_lite.config.shared import BrokerConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.config.expected import Expected

_MAX_PORT: Final = 65535


class WebConfig(BrokerConfig):
    """Options of sr_web.

    listenAddress: Address and port of the page.
    tlsCertFile: File with the certificate of the page and those that lead to its authority.
        Without it the page speaks plain HTTP, which is possible on a loopback address only.
        A name without a directory is a credential of the systemd unit.
    tlsKeyFile: File with the private key of the certificate, or such a name.
    proxies: Addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto are believed.
    netops: Broker users who see the files of all users.
    member: Group of each broker user.
    groupsShare: Members of a group see each other's files.
    sessionLifetime: How long after the login a user must log in again.
    prometheusUrl: Prometheus of the scope, from which netops see the health of hosts. Default:
        none, and the page says so.
    runbooks: What is put before docs/runbooks/NAME.md in links, such as the URL of a checkout,
        with a slash at its end. Without it they are no links.
    expectFile: File with the files that are expected of users and groups, the same as sr_monitor
        has.
    quotaConfig: Configuration of an sr_quota on this host; the page shows the volumes and the disk
        space that it has counted.
    historyFile: Store of sr_monitor. Default: the one of its configuration default, in
        sarra_lite in the user's directory for state ($XDG_STATE_HOME or ~/.local/state).
    """

    component: ClassVar[str] = "web"
    borrows: ClassVar[tuple[str, ...]] = ("monitor",)
    listenAddress: str = option(default="127.0.0.1:9443", example='"0.0.0.0:443"')
    tlsCertFile: str | None = option(default=None, example='"/etc/sarra_lite/web.pem"', kind="file")
    tlsKeyFile: str | None = option(default=None, example='"/etc/sarra_lite/web.key"', kind="file")
    proxies: list[str] = option(default=[], example='["192.0.2.1"]')
    netops: list[str] = option(default=[], example='["unetops"]')
    member: dict[str, str] = option(default={}, example='{ uearnest = "cloudmech" }')
    groupsShare: bool = option(default=False)
    sessionLifetime: float = option(default=8 * 3600.0, example='"1h"')
    prometheusUrl: str | None = option(default=None, example='"http://127.0.0.1:9090"', kind="URL")
    runbooks: str = option(default="", example='"https://git.example.org/sarra_lite/blob/main/"')
    expectFile: str | None = option(
        default=None, example='"/etc/sarra_lite/expected.toml"', kind="file"
    )
    quotaConfig: str | None = option(
        default=None, example='"/etc/sarra_lite/quota/default.toml"', kind="file"
    )
    historyFile: str | None = option(
        default=None, example='"/var/lib/sr_monitor/monitor-default.sqlite"', kind="file"
    )

    @property
    def history_file(self) -> Path:
        """Store of sr_monitor."""
        if self.historyFile is not None:
            return Path(self.historyFile)
        return Path(platformdirs.user_state_path("sarra_lite")) / "monitor-default.sqlite"

    def expectations(self) -> list[Expected]:
        """Return what is expected; raise ConfigError with one line for each mistake."""
        return [] if self.expectFile is None else expected.read(Path(self.expectFile))

    @property
    def endpoint(self) -> tuple[str, int]:
        """Address and port of the page."""
        host, _, port = self.listenAddress.rpartition(":")
        return host.strip("[]"), int(port)

    @property
    def certificate(self) -> tuple[str, str] | None:
        """Files of the certificate and of its key; None without them.

        A name without a directory is of the unit's LoadCredential= (systemd.exec(5)).
        """
        if self.tlsCertFile is None or self.tlsKeyFile is None:
            return None
        unit = os.environ.get("CREDENTIALS_DIRECTORY", "")
        return os.path.join(unit, self.tlsCertFile), os.path.join(unit, self.tlsKeyFile)  # noqa: PTH118  a path stays as it is written

    def problems(self) -> Iterator[tuple[str, str]]:
        """Add addresses and files that cannot be used."""
        yield from super().problems()
        host, _, port = self.listenAddress.rpartition(":")
        if not (_is_address(host.strip("[]")) and port.isdecimal() and 0 < int(port) <= _MAX_PORT):
            yield "listenAddress", f"not like 127.0.0.1:9443: {self.listenAddress}"
        elif self.tlsCertFile is None and not ipaddress.ip_address(host.strip("[]")).is_loopback:
            yield "listenAddress", "without tlsCertFile only a loopback address is possible"
        for proxy in self.proxies:
            if not _is_address(proxy):
                yield "proxies", f"not an address: {proxy}"
        if self.sessionLifetime <= 0:
            yield "sessionLifetime", "is not above 0"
        yield from self._sources()

    def _sources(self) -> Iterator[tuple[str, str]]:
        """Yield files and URLs that cannot be used."""
        if (self.tlsCertFile is None) != (self.tlsKeyFile is None):
            yield "tlsKeyFile", "tlsCertFile and tlsKeyFile need each other"
        for key in ("tlsCertFile", "tlsKeyFile", "quotaConfig"):
            file = getattr(self, key)
            if file is not None and "/" in file and not Path(file).is_file():
                yield key, f"no such file: {file}"
        yield from (("expectFile", line) for line in expected.problems(self.expectFile))
        for key in ("prometheusUrl", "runbooks"):
            if (url := getattr(self, key)) and not is_web(url):
                yield key, f"not a URL of http or https: {url}"


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
