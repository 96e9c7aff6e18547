"""Rates of groups in the accounts file, and the marks by which hosts tell each other the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sarra_lite.config import quota, schema
from tests.lab.plugins import load

if TYPE_CHECKING:
    from pathlib import Path

accounts_filter = load("roles/accounts/filter_plugins/accounts.py")
accounts_rates = load("playbooks/filter_plugins/accounts_rates.py")
program = load("roles/haproxy/files/sftp_rates.py")


def accounts(*gids: int, rate: str = "100 Mbit/s") -> dict[str, list[dict[str, Any]]]:
    return {"groups": [{"name": f"g{gid}", "gid": gid, "rate": rate} for gid in gids], "users": []}


def marks(*gids: int) -> dict[str, int]:
    return {each["name"]: each["mark"] for each in accounts_rates.accounts_rates(accounts(*gids))}


def test_marks_stay_when_groups_come_and_go() -> None:
    before = marks(20000, 20005, 20030)
    assert before.items() <= marks(20001, 20000, 20040, 20005, 20030).items()
    assert marks(20005, 20030).items() <= before.items()


def test_every_group_has_a_mark_of_its_own_as_long_as_there_are_marks() -> None:
    gids = range(20000, 20000 + 62 * 62, 62)  # all want the same one
    found = marks(*gids)
    assert sorted(found.values()) == list(range(1, 63))
    assert accounts_rates.accounts_rates_mistakes(accounts(*gids)) == []
    assert accounts_rates.accounts_rates_mistakes(accounts(*gids, 59999)) == [
        "accounts.groups: 63 groups have a rate, at most 62 can"
    ]


@pytest.mark.parametrize(
    ("text", "bits"), [("500 kbit/s", 500_000), ("1.5 Mbit/s", 1_500_000), ("10 Gbit/s", 10**10)]
)
def test_rates_are_read(text: str, bits: int) -> None:
    assert accounts_rates.accounts_rates(accounts(20000, rate=text))[0]["bits"] == bits


def test_a_group_without_a_rate_has_no_class() -> None:
    assert accounts_rates.accounts_rates({"groups": [{"name": "g", "gid": 20000}]}) == []


@pytest.mark.parametrize(("closed", "classes"), [(False, {"1:c"}), (True, {"1:c", "1:40"})])
def test_only_a_closed_scope_holds_sessions_whose_group_is_not_known(
    *, closed: bool, classes: set[str]
) -> None:
    config = {"nodes": [], "groups": [{"name": "g", "mark": 12, "bits": 10**8}], "closed": closed}
    assert program.wanted(config).keys() == classes


def test_classes_change_without_a_new_queue_and_go_with_their_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(program, "has_ours", lambda _interface: True)
    monkeypatch.setattr(program, "classes", lambda _interface: {"1:1", "1:2"})
    changed, removed = program.batch("eth0", {"1:2": 10**8}, {})
    assert changed.startswith("class replace dev eth0 parent 1: classid 1:2 htb rate 100000000bit")
    assert removed == "class del dev eth0 classid 1:1"
    assert program.batch("eth0", {}, {}) == ["qdisc del dev eth0 root"]


@pytest.mark.parametrize(
    ("burst", "size"),
    [({}, 656_250), ({"burst": "2 s"}, 26_250_000), ({"burst": "99 s"}, 1_299_375_000)],
)
def test_a_group_may_save_as_much_at_the_load_balancers_as_in_grants(
    monkeypatch: pytest.MonkeyPatch, burst: dict[str, str], size: int
) -> None:
    monkeypatch.setattr(program, "has_ours", lambda _interface: True)
    monkeypatch.setattr(program, "classes", lambda _interface: {"1:1"})
    group = {"name": "g", "gid": 20000 - 20000 % 62, "rate": "100 Mbit/s", **burst}
    groups = accounts_rates.accounts_rates({"groups": [group]})
    config = {"nodes": [], "groups": groups, "closed": False}
    (line,) = program.batch("eth0", program.wanted(config), program.bursts(config))
    assert f" burst {size} cburst {size} " in line


def test_what_is_missing_is_told_and_is_a_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    group = {"name": "g", "mark": 12, "bits": 10**8}
    config = {"nodes": ["192.0.2.1"], "groups": [group], "closed": False}
    monkeypatch.setattr(program, "interfaces", lambda _config: {"eth0"})
    monkeypatch.setattr(program, "classes", lambda _interface: set())
    monkeypatch.setattr(program, "counters", dict)
    assert not program.check(config, tmp_path)
    assert "<3>the rates of groups are not held: eth0 has no class 1:c" in capsys.readouterr().out
    assert "sftp_rates_enforced 0\n" in (tmp_path / "rates.prom").read_text()


def test_sessions_without_a_mark_are_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"nodes": [], "groups": [{"name": "g", "mark": 1, "bits": 10**8}], "closed": True}
    monkeypatch.setattr(program, "counters", lambda: {"unmarked": 2_000_000})
    assert program.check(config, tmp_path)
    assert program.check(config, tmp_path)
    text = "sessions whose group is not known sent 2000000 bytes, held at 1 Mbit/s in all"
    assert capsys.readouterr().out == f"<4>{text}\n"


METERED = {"name": "metered", "gid": 20010, "rate": "40 Mbit/s"}
MEMBER = {"name": "bob", "group": "metered", "groups": ["free"]}


def given(group: dict[str, Any], *users: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {"groups": [{"name": "free", "gid": 20000}, group], "users": list(users)}


def test_members_of_a_group_with_a_rate_take_grants_from_its_queue() -> None:
    others: list[dict[str, Any]] = [
        {"name": "free", "group": "free"},
        {"name": "guest", "groups": ["metered"]},
        {"name": "gone", "group": "metered", "revoked": "2026-01-01"},
        {"name": "lone"},
    ]
    found = accounts_rates.accounts_grant_queues(given(METERED, MEMBER, *others))
    assert found == {"bob": "grant_metered"}


@pytest.mark.parametrize(("burst", "length"), [({}, 20), ({"burst": "5 s"}, 100)])
def test_a_queue_of_grants_is_as_long_as_sr_quota_would_make_it(
    burst: dict[str, str], length: int
) -> None:
    volumes = {"daily_volume": "2 TiB", "monthly_volume": "1.5 PiB"}
    (entry,) = accounts_rates.accounts_grants(given({**METERED, **burst, **volumes}, MEMBER))
    options = {option: {entry["name"]: text} for option, text in entry["options"].items()}
    values = {"broker": "amqp://u@h/", "member": {"ubob": "metered"}, **options}
    config = schema.build(quota.QuotaConfig, values, "accounts", {}, name="default")
    assert config.burst_grants == {"metered": length} == {entry["name"]: entry["length"]}
    assert config.byte_rates == {"metered": 5_000_000}
    assert config.volume_bytes["dailyVolume"] == {"metered": 2 * 2**40}
    assert config.grant_queue("metered") == entry["queue"]


def test_a_group_without_members_has_no_volume() -> None:
    (entry,) = accounts_rates.accounts_grants(given({**METERED, "daily_volume": "1 GiB"}))
    assert entry["options"] == {"rate": "40 Mbit/s", "burst": "1 s"}


def test_a_rate_that_sr_quota_cannot_give_is_told() -> None:
    assert accounts_rates.accounts_rates_mistakes(accounts(20000, rate="7 kbit/s")) == [
        "accounts.groups: rate 7 kbit/s of g20000 is below 8 kbit/s"
    ]


@pytest.mark.parametrize(
    ("key", "value"), [("burst", "5 s"), ("daily_volume", "1 TiB"), ("monthly_volume", "1 TiB")]
)
def test_what_only_grants_can_hold_needs_a_rate(key: str, value: str) -> None:
    free = {"name": "free", "gid": 20000, key: value}
    found = accounts_filter.accounts_mistakes({"groups": [free], "users": []}, [], [])
    assert found == [f"accounts.groups[0]: 'rate' is a dependency of '{key}'"]
    limited = {**free, "rate": "1 Gbit/s"}
    assert accounts_filter.accounts_mistakes({"groups": [limited], "users": []}, [], []) == []
