"""What sr_quota tells a user is read as it was written; of anything else nothing is believed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.errors import MessageError
from sarra_lite.messages import usage
from sarra_lite.messages.usage import Usage, Used
from sarra_lite.transfers.latest_usage import LatestUsage

BYTES = st.integers(0, 2**63 - 1)
LIMITS = st.none() | BYTES
NAMES = st.text(st.characters(codec="utf-8"), max_size=100)
USED = st.builds(
    Used, st.sampled_from(["user", "group"]), NAMES, BYTES, LIMITS, BYTES, LIMITS, LIMITS, LIMITS
)
TIME = "20261128T130500.5"


@given(st.builds(Usage, st.just(TIME), NAMES, st.lists(USED, max_size=3).map(tuple)))
def test_a_usage_is_read_as_it_was_written(told: Usage) -> None:
    assert usage.decode(usage.encode(told)) == told


@given(st.binary(max_size=200))
def test_what_is_no_usage_is_refused(body: bytes) -> None:
    with pytest.raises(MessageError):
        usage.decode(body)


ROW = {"kind": "user", "name": "u", "day": 0, "dayLimit": None, "month": 0, "monthLimit": None}


@pytest.mark.parametrize(
    "change",
    [
        {"time": "noon"},
        {"user": "u" * 256},
        {"used": [ROW] * 11},
        {"used": [ROW | {"day": -1}]},
        {"used": [ROW | {"month": 2**63}]},
        {"used": [ROW | {"kind": "all"}]},
        {"used": [ROW | {"name": "\udcff"}]},
    ],
)
def test_a_usage_beyond_limits_is_refused(change: dict[str, object]) -> None:
    whole = {"time": TIME, "user": "u", "used": [ROW]}
    assert usage.decode(json.dumps(whole).encode())
    with pytest.raises(MessageError):
        usage.decode(json.dumps(whole | change).encode())


@pytest.mark.parametrize(
    ("user", "author", "believed"),
    [
        ("uann", "uquota", True),
        ("uann", "uann", False),
        ("uann", None, False),
        ("ubob", "uquota", False),
    ],
)
def test_only_what_another_account_tells_of_the_user_is_believed(
    user: str, author: str | None, *, believed: bool
) -> None:
    latest = LatestUsage("uann")
    latest.take(usage.encode(Usage(TIME, user, ())), author)
    assert (latest.usage is not None) is believed
