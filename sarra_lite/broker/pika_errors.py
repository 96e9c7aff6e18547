"""Errors of pika as errors of ours, in a line for people."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from pika.exceptions import (
    AMQPError,
    AMQPHeartbeatTimeout,
    AuthenticationError,
    ChannelClosed,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    StreamLostError,
)

from sarra_lite.errors import BrokerError, BrokerRefused

if TYPE_CHECKING:
    from collections.abc import Iterator


def translate_error(error: BaseException, url: str) -> BrokerError:  # noqa: C901, PLR0911  a table
    """Return an error of pika's as one of ours, in a line for people."""
    causes = [error, *_causes(error)]
    for cause in causes:
        if isinstance(cause, BrokerError):
            return cause
        if isinstance(cause, AuthenticationError | ProbableAuthenticationError):
            return BrokerRefused(
                f"{url}: user or password refused by the broker; check credentials.conf"
            )
        if isinstance(cause, ProbableAccessDeniedError):
            return BrokerRefused(f"{url}: the broker does not let this user into this vhost")
        if isinstance(cause, ChannelClosed):
            if "inaccessible" in cause.reply_text:  # a queue whose node is starting up
                return BrokerError(f"{url}: {cause.reply_text}")
            refused = BrokerRefused(f"{url}: {cause.reply_text}")
            refused.code = cause.reply_code
            return refused
        if isinstance(cause, ConnectionClosedByBroker):
            return BrokerError(f"{url}: closed by the broker: {cause.reply_text}")
        if isinstance(cause, ssl.SSLCertVerificationError):
            return BrokerRefused(f"{url}: its certificate is not good: {cause.verify_message}")
        if isinstance(cause, AMQPHeartbeatTimeout):
            return BrokerError(f"{url}: the broker gives no sign of life")
        if isinstance(cause, StreamLostError):
            return BrokerError(f"{url}: the connection was lost")
    last = causes[-1]
    text = str(last) if str(last) and not isinstance(last, AMQPError) else repr(last)
    return BrokerError(f"{url}: {text}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Errors that an error was made of: pika keeps them in attributes and arguments."""
    inner = [*error.args, *getattr(error, "exceptions", ()), getattr(error, "exception", None)]
    for cause in inner:
        if isinstance(cause, BaseException):
            yield cause
            yield from _causes(cause)
