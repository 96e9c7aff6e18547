"""Translates pika's exceptions into BrokerError and BrokerRefused, with a message for users."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

from pika import exceptions

from sarra_lite.errors import BrokerError, BrokerRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

_CONNECTION_FORCED: Final = 320  # AMQP 0.9.1, 1.2: an operator or a shutdown closed it


def translate_error(error: BaseException, url: str) -> BrokerError:  # noqa: C901, PLR0911  a table
    """Return the BrokerError for an exception of pika's; its message begins with ``url``.

    When the broker closed a channel, ``code`` is AMQP's reply code.
    """
    causes = list(_with_causes(error))
    for cause in causes:
        if isinstance(cause, BrokerError):
            return cause
        if isinstance(
            cause, exceptions.AuthenticationError | exceptions.ProbableAuthenticationError
        ):
            return BrokerRefused(
                f"{url}: user or password refused by the broker; check credentials.conf"
            )
        # pika takes any end of the connection at this point for a refusal.
        if isinstance(cause, exceptions.ProbableAccessDeniedError) and not any(
            getattr(inner, "reply_code", 0) == _CONNECTION_FORCED for inner in causes
        ):
            return BrokerRefused(f"{url}: the broker does not let this user into this vhost")
        if isinstance(cause, exceptions.ChannelClosed):
            if "inaccessible" in cause.reply_text:  # a queue whose node is starting up
                return BrokerError(f"{url}: {cause.reply_text}")
            refused = BrokerRefused(f"{url}: {cause.reply_text}")
            refused.code = cause.reply_code
            return refused
        if isinstance(cause, exceptions.ConnectionClosedByBroker):
            return BrokerError(f"{url}: closed by the broker: {cause.reply_text}")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return BrokerRefused(f"{url}: its certificate is not good: {cause.verify_message}")
        if isinstance(cause, exceptions.AMQPHeartbeatTimeout):
            return BrokerError(f"{url}: the broker gives no sign of life")
        if isinstance(cause, exceptions.StreamLostError):
            return BrokerError(f"{url}: the connection was lost")
    last = causes[-1]
    is_text = str(last) and not isinstance(last, exceptions.AMQPError)
    return BrokerError(f"{url}: {last if is_text else repr(last)}")


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that caused it; pika keeps causes in attributes and arguments."""
    yield error
    inner = [*error.args, *getattr(error, "exceptions", ()), getattr(error, "exception", None)]
    for cause in inner:
        if isinstance(cause, BaseException):
            yield from _with_causes(cause)
