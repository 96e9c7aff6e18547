"""Users are told what is new about their quotas, and now and then what is not."""

from __future__ import annotations

from typing import Any

from sarra_lite.messages.usage import AT_LEAST_EVERY, Used
from sarra_lite.quota.teller import News

HOUR = AT_LEAST_EVERY.total_seconds()
MEMBER = {"uann": "g", "ubob": "g"}


def used(kind: Any, name: str, day: int, limit: int | None = None, **disk: int) -> Used:
    return Used(kind, name, day, limit, day, None, **disk)


def table(ann: int, bob: int, **disk: int) -> list[Used]:
    total = used("group", "g", ann + bob, 10_000)
    return [
        total,
        used("user", "uann", ann),
        used("user", "ubob", bob, **disk),
        used("user", "uc", 7),
    ]


def told(news: News, rows: list[Used], now: float = 0.0) -> list[str]:
    return [user for user, _ in news.due(rows, now)]


def test_everybody_is_told_at_first_of_himself_and_of_his_own_group() -> None:
    rows = table(1, 2)
    group, ann, bob, other = rows
    assert News(MEMBER).due(rows, 0.0) == [
        ("uann", (ann, group)),
        ("ubob", (bob, group)),
        ("uc", (other,)),
    ]


def test_who_has_sent_something_is_told_and_others_when_a_per_cent_of_the_group_is_used() -> None:
    news = News(MEMBER)
    told(news, table(0, 0))
    assert told(news, table(0, 0)) == []
    assert told(news, table(5, 0)) == ["uann"]
    assert told(news, table(99, 0)) == ["uann"]
    assert told(news, table(100, 0)) == ["uann", "ubob"]


def test_of_disk_space_each_per_cent_is_told() -> None:
    news = News(MEMBER)
    told(news, table(0, 0, disk=790, diskLimit=1000))
    assert told(news, table(0, 0, disk=799, diskLimit=1000)) == []
    assert told(news, table(0, 0, disk=800, diskLimit=1000)) == ["ubob"]
    assert told(news, table(0, 0)) == ["ubob"]


def test_who_was_told_nothing_for_an_hour_is_told_again() -> None:
    news = News(MEMBER)
    told(news, table(0, 0))
    assert told(news, table(5, 0), 10.0) == ["uann"]
    assert told(news, table(5, 0), HOUR) == ["ubob", "uc"]
    assert told(news, table(5, 0), HOUR + 10) == ["uann"]
    news.forget()
    assert told(news, table(5, 0), HOUR + 11) == ["uann", "ubob", "uc"]
