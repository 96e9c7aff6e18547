"""How much of xlog the reports of one user take."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING

import pytest

from sarra_lite.commands.user_shares import UserShares

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 1000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "shares.json"


def test_a_user_beyond_the_limit_takes_nothing_of_the_others(file: Path) -> None:
    shares = UserShares(LIMIT, file)
    assert [shares.take("bob", 400) for _ in range(4)] == [True, True, False, False]
    assert shares.take("earnest", 400)


def test_a_count_falls_by_the_limit_a_day(file: Path) -> None:
    file.parent.mkdir()
    half_a_day_ago = time.time() - 43200
    file.write_text(json.dumps({"bob": [LIMIT, half_a_day_ago]}))
    shares = UserShares(LIMIT, file)
    assert shares.take("bob", LIMIT // 2)
    assert not shares.take("bob", LIMIT // 10)


def test_a_restart_forgives_nothing(file: Path) -> None:
    first = UserShares(LIMIT, file)
    assert first.take("bob", LIMIT)
    first.save()
    assert not UserShares(LIMIT, file).take("bob", 100)


@pytest.mark.parametrize("text", ["{", "[]", '{"bob": 1}', '{"bob": ["x", 1]}', "\xff"])
def test_a_file_that_cannot_be_read_is_told_and_begun_anew(
    file: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    file.parent.mkdir()
    file.write_bytes(text.encode("latin-1"))
    with caplog.at_level(logging.WARNING):
        assert UserShares(LIMIT, file).take("bob", LIMIT)
    assert f"{file}: counting anew" in caplog.text


def test_a_directory_that_cannot_be_written_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").touch()
    shares = UserShares(LIMIT, tmp_path / "state" / "shares.json")
    with caplog.at_level(logging.WARNING):
        shares.save()
    assert "not saved" in caplog.text


def test_what_is_dropped_is_summed_up_once_an_hour(file: Path) -> None:
    shares = UserShares(LIMIT, file)
    assert shares.take("bob", LIMIT)
    assert not any([shares.take("bob", 100), shares.take("bob", 100)])
    [(user, text)] = shares.summaries()
    assert user == "bob"
    assert "2 reports of bob, 200 B, beyond 1000 B a day" in text
    assert not shares.take("bob", 100)
    assert list(shares.summaries()) == []


def test_no_limit_counts_nothing(file: Path) -> None:
    shares = UserShares(0, file)
    assert shares.take("bob", 10**12)
    shares.save()
    assert not file.exists()
