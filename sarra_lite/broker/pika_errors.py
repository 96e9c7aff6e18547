"""Translates pika's exceptions into BrokerError and BrokerRefused, with a message for users."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Final

from pika import exceptions
from pika.adapters.utils import connection_workflow as workflow

from sarra_lite.errors import BrokerError, BrokerRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

# While a connection is being made, pika puts what the broker said into a text, with its reply code.
_CLOSED_BY_BROKER: Final = re.compile(
    r"ConnectionClosedByBroker: \((\d+)\) ['\"](.*)['\"]", re.DOTALL
)
_LOGIN_REFUSED: Final = 403  # of AMQP 0.9.1, 1.2, as RabbitMQ uses them
_VHOST_REFUSED: Final = 530
_CUT_OFF: Final = "the connection was cut while it was made"
_TEXTS: Final[dict[type[BaseException], str]] = {
    exceptions.ConnectionOpenAborted: _CUT_OFF,
    exceptions.IncompatibleProtocolError: "ended the connection at once; is it a RabbitMQ broker,"
    " and is the port that of amqp or of amqps?",
    exceptions.ProbableAuthenticationError: _CUT_OFF,
    exceptions.ProbableAccessDeniedError: _CUT_OFF,
    exceptions.AMQPHeartbeatTimeout: "the broker gives no sign of life",
    exceptions.ConnectionBlockedTimeout: "the broker takes nothing for now",
    exceptions.ConsumerCancelled: "the queue was deleted",
    exceptions.ProtocolSyntaxError: "what it answers is not AMQP",
    exceptions.NoFreeChannels: "the broker allows no further channel",
    workflow.AMQPConnectorStackTimeout: "does not answer",
    workflow.AMQPConnectionWorkflowAborted: _CUT_OFF,
    workflow.AMQPConnectorAborted: _CUT_OFF,
    TimeoutError: "does not answer",
}


def translate_error(error: BaseException, url: str) -> BrokerError:
    """Return the BrokerError for an exception of pika's; its message begins with ``url``.

    When the broker closed a channel, ``code`` is AMQP's reply code.  pika's own words are left out.
    """
    causes = list(_with_causes(error))
    for cause in causes:
        if isinstance(cause, BrokerError):
            return cause
        if (answer := _answer_of_broker(cause, url)) is not None:
            return answer
    for cause in reversed(causes):
        if (text := _text(cause)) is not None:
            return BrokerError(f"{url}: {text}")
    return BrokerError(f"{url}: the connection was lost")


def _answer_of_broker(error: BaseException, url: str) -> BrokerError | None:  # noqa: PLR0911  a table
    """Return what the broker itself, or its certificate, said; None for all else."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return BrokerRefused(f"{url}: its certificate is not good: {error.verify_message}")
    if isinstance(error, exceptions.ChannelClosed):
        if "inaccessible" in error.reply_text:  # a queue whose node is starting up
            return BrokerError(f"{url}: {error.reply_text}")
        refused = BrokerRefused(f"{url}: {error.reply_text}")
        refused.code = error.reply_code
        return refused
    if isinstance(error, exceptions.AuthenticationError):
        return _login_refused(url)
    if isinstance(error, exceptions.ConnectionClosedByBroker):
        return BrokerError(f"{url}: closed by the broker: {error.reply_text}")
    if isinstance(error, exceptions.StreamLostError):
        return BrokerError(f"{url}: the connection was lost")
    match = _CLOSED_BY_BROKER.search(str(error))
    if match is None:
        return None
    if int(match[1]) == _LOGIN_REFUSED:
        return _login_refused(url)
    if int(match[1]) == _VHOST_REFUSED:
        return BrokerRefused(f"{url}: the broker does not let this user in: {match[2]}")
    return BrokerError(f"{url}: closed by the broker: {match[2]}")


def _login_refused(url: str) -> BrokerRefused:
    return BrokerRefused(f"{url}: user or password refused by the broker; check credentials.conf")


def _text(error: BaseException) -> str | None:
    """Return what an error of the network or of pika means; None if it says no more than others."""
    for kind, text in _TEXTS.items():
        if isinstance(error, kind):
            return text
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection: {error.reason or 'refused'}; is the port that of amqps?"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return None


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that caused it; pika keeps causes in attributes and arguments."""
    yield error
    inner = [*error.args, *getattr(error, "exceptions", ()), getattr(error, "exception", None)]
    for cause in inner:
        if isinstance(cause, BaseException):
            yield from _with_causes(cause)
