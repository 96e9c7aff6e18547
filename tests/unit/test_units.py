"""Times, sizes and durations in the notation of Sarracenia, and text for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite import units


@given(st.integers(-62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1))
def test_parsing_a_written_time_returns_the_same_time(moment: int) -> None:
    assert units.nanoseconds(units.time_string(moment)) == moment


@pytest.mark.parametrize("seconds", [-62_135_596_801, 253_402_300_800, 2**63, -(2**63)])
def test_a_time_outside_of_the_years_1_to_9999_is_refused(seconds: int) -> None:
    with pytest.raises(ValueError, match="not in the years 1 to 9999"):
        units.time_string(seconds * 10**9)


@pytest.mark.parametrize("text", ["", "yesterday", "20261301T000000", "2026", "20260101T000000Zx"])
def test_a_text_that_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  the text does not matter
        units.nanoseconds(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), (1024, 1024), ("5k", 5000), ("5Ki", 5120), ("10Mi", 10 * 1024**2), ("64MiB", 2**26),
     ("1.5G", 1_500_000_000), ("3 b", 3)],
)  # fmt: skip
def test_sizes_may_have_units(text: str | int, count: int) -> None:
    assert units.parse_size(text) == count


@pytest.mark.parametrize(
    ("text", "seconds"), [("300", 300), ("5m", 300), ("1.5h", 5400), ("2d", 172800), ("1w", 604800)]
)
def test_durations_may_have_units(text: str, seconds: float) -> None:
    assert units.parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "many", "5x", "-1", "1e9"])
def test_a_text_that_is_neither_size_nor_duration_is_refused(text: str) -> None:
    for parse in (units.parse_size, units.parse_duration):
        with pytest.raises(ValueError):  # noqa: PT011  the text does not matter
            parse(text)


@given(st.binary(max_size=40))
def test_any_name_becomes_one_printable_line(raw: bytes) -> None:
    shown = units.printable(raw.decode(errors="surrogateescape"))
    assert shown.isprintable() or not shown
    shown.encode()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0 s"), (59.9, "59 s"), (60, "1 min"), (3599, "59 min"), (7200, "2 h"),
     (4860, "1 h 21 min"), (86400, "1 d"), (200_000, "2 d 7 h"), (86460, "1 d")],
)  # fmt: skip
def test_durations_are_shown_in_their_largest_units(seconds: float, text: str) -> None:
    assert units.show_duration(seconds) == text


def test_times_of_messages_are_shown_for_people() -> None:
    assert units.show_time("20261123T222859.5") == "2026-11-23 22:28:59"
    assert units.show_time("20261123222859") == "2026-11-23 22:28:59"


def test_sizes_are_shown_with_binary_units() -> None:
    assert units.show_size(0) == "0 B"
    assert units.show_size(1.5 * 1024**3) == "1.5 GiB"
