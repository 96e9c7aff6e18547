"""Which pages there are beside those of files, and who finds them in the navigation."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sarra_lite.prometheus import Prometheus
from sarra_lite.web import health, unusual
from sarra_lite.web.calendars import Calendars
from sarra_lite.web.people import People
from sarra_lite.web.quotas import Quotas

if TYPE_CHECKING:
    from sarra_lite.config.web import WebConfig
    from sarra_lite.web.pages import Content


class MorePages:
    """The pages that need more than the store."""

    def __init__(self, config: WebConfig) -> None:
        """Raise ConfigError when a file that the configuration names cannot be used."""
        self._netops = frozenset(config.netops)
        url = config.prometheusUrl
        self._prometheus = None if url is None else Prometheus(url, config.tlsCaFile)
        self._runbooks = config.runbooks
        self._people = People(Quotas(config))
        self._calendars = Calendars(config.expectations(), config.member)

    def contents(self) -> dict[str, Content]:
        """Return the content of each address."""
        return {
            "/people": self._people.page,
            "/unusual": unusual.page,
            "/expected": self._calendars.page,
            "/health": partial(health.page, self._prometheus, self._runbooks),
        }

    def links(self, user: str) -> list[tuple[str, str, str]]:
        """Return address, template and text of each page that the navigation shows to a user."""
        links = [("/unusual", "unusual.html", "Unusual")]
        if self._calendars.any:
            links.append(("/expected", "expected.html", "Expected"))
        if user in self._netops:
            links.append(("/health", "health.html", "Health"))
        return links
