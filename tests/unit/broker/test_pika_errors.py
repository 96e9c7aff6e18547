"""What of pika's exceptions is a refusal, and what may be tried again."""

from __future__ import annotations

import pytest
from pika import exceptions

from sarra_lite.broker.pika_errors import translate_error
from sarra_lite.errors import BrokerError, BrokerRefused


def closed(code: int) -> exceptions.ConnectionClosedByBroker:
    return exceptions.ConnectionClosedByBroker(code, "text of the broker")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (exceptions.ProbableAccessDeniedError(closed(530)), BrokerRefused),
        (exceptions.ProbableAuthenticationError(closed(403)), BrokerRefused),
        (exceptions.ProbableAccessDeniedError(closed(320)), BrokerError),
        (closed(320), BrokerError),
        (exceptions.AMQPConnectionError(exceptions.StreamLostError("reset")), BrokerError),
    ],
)
def test_a_connection_that_is_closed_by_force_is_not_refused(
    error: Exception, kind: type[BrokerError]
) -> None:
    assert type(translate_error(error, "amqp://u@h/")) is kind
