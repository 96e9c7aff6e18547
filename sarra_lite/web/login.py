"""Whether a password is that of a broker user: the broker itself says so."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from sarra_lite.broker.client import Broker
from sarra_lite.errors import BrokerError, BrokerRefused
from sarra_lite.runtime import log
from sarra_lite.units import printable

if TYPE_CHECKING:
    import ssl

    from sarra_lite.config.credentials import Endpoint

_MAX_LOGINS: Final = 10  # that ask the broker at the same time
_MAX_USER: Final = 255  # bytes
_MAX_PASSWORD: Final = 1000  # bytes


class Passwords:
    """Asks the broker."""

    def __init__(self, broker: Endpoint, tls: ssl.SSLContext | None) -> None:
        """``broker``: where to log in, whatever its user is."""
        self._broker = broker
        self._tls = tls
        self._logins = asyncio.Semaphore(_MAX_LOGINS)

    async def fits(self, user: str, password: str) -> bool:
        """Return whether a user may log in; raise BrokerError when the broker does not answer."""
        if not usable(user, password):
            return False
        endpoint = self._broker._replace(user=user, password=password)
        async with self._logins:
            try:
                async with Broker(endpoint, "sr_web login", self._tls):
                    return True
            except BrokerRefused as error:
                log.info("%s: login refused: %s", printable(user), error)
                return False
            except BrokerError as error:
                log.warning("%s: cannot check a password: %s", printable(user), error)
                raise


def usable(user: str, password: str) -> bool:
    """Return whether a broker can know this user.

    A null byte divides user from password on the way: who could write one would be somebody else
    to the broker than to the page.
    """
    try:
        sizes = len(user.encode()), len(password.encode())
    except UnicodeEncodeError:
        return False
    return (
        0 < sizes[0] <= _MAX_USER
        and 0 < sizes[1] <= _MAX_PASSWORD
        and "\0" not in user + password
        and user.isprintable()
    )
