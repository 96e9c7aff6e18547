"""Rates and bursts of groups."""

from __future__ import annotations

from typing import Any

import pytest

from sarra_lite.config import schema
from sarra_lite.config.quota import QuotaConfig
from sarra_lite.errors import ConfigError

BROKER = {"broker": "amqp://uquota@localhost/"}


def build(**values: Any) -> QuotaConfig:
    return schema.build(QuotaConfig, BROKER | values, "quota.toml")


def test_rates_are_bytes_a_second_and_bursts_numbers_of_grants() -> None:
    config = build(
        rate={"a": "100 Mbit/s", "b": "12.5 MB/s", "c": "8kbit/s"}, burst={"a": "5s", "c": "0"}
    )
    assert config.byte_rates == {"a": 12_500_000, "b": 12_500_000, "c": 1000}
    assert config.burst_grants == {"a": 100, "b": 20, "c": 1}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"rate": {"a": "100"}}, "rate: a: not a rate like 100 Mbit/s"),
        ({"rate": {"a": "100 Mb/s"}}, "rate: a: not a rate like 100 Mbit/s"),
        ({"rate": {"a": "1 kbit/s"}}, "rate: a: 1 kbit/s is too small"),
        ({"rate": {"a": "1 Mbit/s"}, "burst": {"a": "x"}}, "burst: a: not a duration"),
        ({"rate": {"a": "1 Mbit/s"}, "burst": {"a": "2h"}}, "burst: a: 2h is too much"),
        ({"burst": {"b": "1s"}}, "burst: b has no rate"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        build(**values)
    assert f"quota.toml: {told}" in str(raised.value)
