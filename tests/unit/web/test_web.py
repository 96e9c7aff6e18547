"""Who may see whose files, who may try to log in, and how long a session lasts."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.config.schema import build
from sarra_lite.config.web import WebConfig
from sarra_lite.errors import ConfigError
from sarra_lite.monitor import overview
from sarra_lite.monitor.history import Wanted
from sarra_lite.monitor.records import Record
from sarra_lite.monitor.store import Batch, Store
from sarra_lite.web import display
from sarra_lite.web.login import usable
from sarra_lite.web.records import Records, visible_users
from sarra_lite.web.sessions import Attempts, FormTokens, Sessions

if TYPE_CHECKING:
    from pathlib import Path


def config(**values: Any) -> WebConfig:
    return build(WebConfig, {"broker": "amqp://umonitor@127.0.0.1/"} | values, "web.toml")


MEMBERS = {"ua": "g", "ub": "g", "uc": "h", "ud": ""}


@pytest.mark.parametrize(
    ("user", "shares", "seen"),
    [
        ("ua", False, {"ua"}),
        ("ua", True, {"ua", "ub"}),
        ("uc", True, {"uc"}),
        ("ud", True, {"ud"}),
        ("unknown", True, {"unknown"}),
        ("UN", False, {"UN"}),
        ("un", False, None),
    ],
)
def test_a_user_sees_his_own_or_his_groups_files(
    user: str, shares: object, seen: set[str] | None
) -> None:
    assert visible_users(config(netops=["un"], member=MEMBERS, groupsShare=shares), user) == seen


def test_nobody_is_seen_by_who_may_see_nobody(tmp_path: Path) -> None:
    now = time.time_ns() // 10**6
    file = tmp_path / "store.sqlite"
    with closing(Store(file, 90, {})) as store:
        store.take(Batch([Record("ua", b"f", now - 9_000_000, 10, block=False)]))
    for users, count in ((frozenset[str](), 0), (frozenset({"ub"}), 0), (frozenset({"ua"}), 1)):
        records = Records(file, users)
        assert len(records.late()) == len(records.unfinished(0)) == count
        assert len(records.of_path("ua", "f")[0]) == count
        assert records.history(Wanted(users=None)) == ([], None)
        assert overview.sums(file, users, 0, 10) == []


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"listenAddress": "0.0.0.0:443"}, "only a loopback address"),
        ({"listenAddress": "localhost:443"}, "not like 127.0.0.1:9443"),
        ({"listenAddress": "127.0.0.1:0"}, "not like 127.0.0.1:9443"),
        ({"tlsCertFile": "/dev/null"}, "no such file"),
        ({"tlsKeyFile": "/none"}, "need each other"),
        ({"proxies": ["any"]}, "not an address"),
        ({"sessionLifetime": 0}, "not above 0"),
        ({"prometheusUrl": "127.0.0.1:9090"}, "not a URL of http or https"),
        ({"prometheusUrl": "http://[::1/"}, "not a URL of http or https"),
        ({"runbooks": "javascript:alert(1)//"}, "not a URL of http or https"),
    ],
)
def test_what_cannot_be_used_is_named(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        config(**values)


def test_an_address_of_ipv6_is_understood() -> None:
    assert config(listenAddress="[::1]:8443").endpoint == ("::1", 8443)


def test_a_session_ends_by_time_by_logout_and_by_many_others() -> None:
    sessions = Sessions(10.0)
    cookie = sessions.begin("ua", 0.0)
    assert sessions.find(cookie, 9.9) is not None
    assert sessions.find(cookie, 10.0) is None
    assert sessions.find(None, 0.0) is sessions.find("", 0.0) is None
    other = sessions.begin("ub", 1.0)
    sessions.end(cookie)
    assert sessions.find(cookie, 1.0) is None
    cookies = [sessions.begin("ua", 2.0) for _ in range(25)]
    assert [sessions.find(cookie, 2.0) is not None for cookie in cookies] == 5 * [False] + 20 * [
        True
    ]
    assert sessions.find(other, 2.0) is not None


def test_a_token_of_a_form_fits_its_cookie_only() -> None:
    tokens = FormTokens()
    token = tokens.token("a")
    assert tokens.fits("a", token)
    assert not tokens.fits("b", token)
    assert not tokens.fits("", tokens.token(""))
    assert not tokens.fits(None, token)
    assert not tokens.fits("a", "\udcff")
    assert not FormTokens().fits("a", token)


def test_failures_count_for_one_user_and_address_and_are_forgotten() -> None:
    attempts = Attempts()
    assert [attempts.begin("192.0.2.1", "ua", float(second)) for second in range(5)] == [0.0] * 5
    assert attempts.begin("192.0.2.1", "ua", 5.0) == 295.0
    assert attempts.begin("192.0.2.1", "ub", 5.0) == 0.0
    assert attempts.begin("192.0.2.2", "ua", 5.0) == 0.0
    assert attempts.begin("192.0.2.1", "ua", 300.0) == 0.0
    attempts.forget("192.0.2.1", "ua")
    assert [attempts.begin("192.0.2.1", "ua", 301.0) for _ in range(6)][4:] == [0.0, 300.0]


def test_one_network_of_ipv6_is_one_address() -> None:
    attempts = Attempts()
    for number in range(5):
        assert attempts.begin(f"2001:db8::{number}", "ua", 0.0) == 0.0
    assert attempts.begin("2001:db8::ffff", "ua", 0.0) > 0
    assert attempts.begin("2001:db8:0:1::1", "ua", 0.0) == 0.0


def test_many_users_from_one_address_are_limited_too() -> None:
    attempts = Attempts()
    waits = [attempts.begin("192.0.2.1", f"u{number}", 0.0) for number in range(31)]
    assert (waits[:30], waits[30]) == ([0.0] * 30, 300.0)


@given(st.integers(0, 20_000))
def test_memory_for_attempts_is_bounded(first: int) -> None:
    attempts = Attempts()
    for number in range(first, first + 50):
        attempts.begin(f"192.0.2.{number % 7}", f"u{number}", float(number))
    assert len(attempts._failures) <= 10_000  # noqa: SLF001


@given(st.text(), st.text())
def test_what_the_broker_would_read_as_another_user_is_refused(user: str, password: str) -> None:
    if "\0" in user + password or not user or not password:
        assert not usable(user, password)


@given(st.text(st.characters(codec="utf-8")))
def test_a_link_is_of_letters_that_any_browser_sends_as_they_are(name: str) -> None:
    link = display.link("/file", user="u", path=name, code=None)
    assert link.startswith("/file?user=u&path=")
    assert link.isascii()
    assert not set(link) & set("<>\"' \n")


@given(st.dictionaries(st.integers(0, 30), st.tuples(st.integers(0, 2**62), st.integers(0, 9))))
def test_the_bars_of_a_plot_are_inside_it(hours: dict[int, tuple[int, int]]) -> None:
    plot = display.volume_plot(3, 24, hours)
    assert len(plot.bars) == 24
    assert all(0 <= bar.y <= 100 and 0 <= bar.height <= 100 for bar in plot.bars)


def test_the_time_left_is_told_if_something_is_done() -> None:
    assert display.left(100, 25, 1_000_000, 1010.0) == "30 s"
    assert display.left(100, 0, None, 1010.0) == "-"
