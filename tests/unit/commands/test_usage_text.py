"""What sr_status says of quotas."""

from __future__ import annotations

import pytest

from sarra_lite import units
from sarra_lite.commands import usage_text
from sarra_lite.messages.usage import Usage, Used

END = ", as of 13:05 UTC"
GIB, MIB = 1 << 30, 1 << 20
TOLD = Usage(
    "20261130T130559.9",
    "uann",
    (
        Used("user", "uann", GIB, None, 3 * GIB, None, 95 * MIB, 100 * MIB),
        Used("group", "g\n", 2 * GIB, 10 * GIB, 20 * GIB, 40 * GIB),
    ),
)


def at(now: str) -> list[str]:
    return list(usage_text.lines(TOLD, units.nanoseconds(now) / 1e9))


def test_the_user_and_the_group_have_a_line_each() -> None:
    assert at("20261130T140000") == [
        "user uann: sent today 1.0 GiB, this month 3.0 GiB, disk 95.0 MiB of 100.0 MiB (95 %)"
        + END,
        "group g\\n: sent today 2.0 GiB of 10.0 GiB (20 %), this month 20.0 GiB of 40.0 GiB (50 %)"
        + END,
    ]


@pytest.mark.parametrize("now", ["20261201T000100", "20271130T140000"])
def test_what_was_told_on_another_day_says_which(now: str) -> None:
    assert at(now)[0].startswith("user uann: sent on 2026-11-30 1.0 GiB, in 2026-11 3.0 GiB, disk")
    assert at(now)[0].endswith("as of 2026-11-30 13:05 UTC")


def test_without_a_quota_nothing_is_said() -> None:
    assert list(usage_text.lines(None, 0.0)) == []
