"""What of pika's exceptions is a refusal, and what may be tried again."""

from __future__ import annotations

import inspect
import socket

import pytest
from pika import exceptions
from pika.adapters.utils import connection_workflow as workflow

from sarra_lite.broker.pika_errors import translate_error
from sarra_lite.errors import BrokerError, BrokerRefused


def closed(code: int) -> exceptions.ConnectionClosedByBroker:
    return exceptions.ConnectionClosedByBroker(code, "text of the broker")


LOST = exceptions.StreamLostError("Stream connection lost: ConnectionResetError(104, 'reset')")


def all_of_pika() -> list[Exception]:
    """Return one of each exception of pika's, as pika makes them."""
    errors: list[Exception] = []
    for module in (exceptions, workflow):
        for kind in vars(module).values():
            if not (inspect.isclass(kind) and issubclass(kind, Exception)):
                continue
            if issubclass(kind, exceptions.ConnectionClosed | exceptions.ChannelClosed):
                errors.append(kind(541, "text of the broker"))
            elif issubclass(kind, workflow.AMQPConnectorPhaseErrorBase):
                inner = TimeoutError("timed out: ''/(<AddressFamily.AF_INET: 2>, 6, '')")
                errors.append(kind(inner, "prev_state=TUNE"))
            elif issubclass(kind, exceptions.UnroutableError):
                errors.append(kind([]))
            else:
                errors.append(kind("prev_state=TUNE"))
    return errors


@pytest.mark.parametrize("error", all_of_pika(), ids=lambda error: type(error).__name__)
def test_pikas_own_words_reach_nobody(error: Exception) -> None:
    line = str(translate_error(exceptions.AMQPConnectionError(error), "amqp://u@h/"))
    assert line.startswith("amqp://u@h/: ")
    for word in ("prev_state", "AddressFamily", "pika", "Error(", type(error).__name__):
        assert word not in line


def test_errors_of_the_network_are_told_in_the_words_of_the_system() -> None:
    refused = workflow.AMQPConnectorSocketConnectError(ConnectionRefusedError(111, "refused"))
    assert str(translate_error(refused, "h")) == "h: refused"
    unknown = workflow.AMQPConnectorSocketConnectError(socket.gaierror(-2, "Name not known"))
    assert str(translate_error(unknown, "h")) == "h: Name not known"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (closed(320), BrokerError),
        # pika puts what it knows into a text while the connection is made.
        (exceptions.ProbableAuthenticationError(repr(closed(403))), BrokerRefused),
        (exceptions.ProbableAccessDeniedError(repr(closed(530))), BrokerRefused),
        (exceptions.ProbableAccessDeniedError(repr(closed(320))), BrokerError),
        (exceptions.ProbableAuthenticationError(repr(LOST)), BrokerError),
        (exceptions.ProbableAccessDeniedError(repr(LOST)), BrokerError),
        (exceptions.IncompatibleProtocolError(repr(LOST)), BrokerError),
        (exceptions.AMQPConnectionError(exceptions.StreamLostError("reset")), BrokerError),
    ],
)
def test_a_connection_that_is_closed_by_force_is_not_refused(
    error: Exception, kind: type[BrokerError]
) -> None:
    assert type(translate_error(error, "amqp://u@h/")) is kind
