"""Limits of disk space in the accounts file, and the program that tells how much is used."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab.plugins import load

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1024**3


accounts_disk = load("playbooks/filter_plugins/accounts_disk.py")
usage = load("roles/accounts/files/sftp_disk_usage.py")
quotas = load("roles/shared_fs/library/disk_quotas.py")


def account(name: str, **more: str) -> dict[str, Any]:
    return {"name": name, "login": f"{name}1", "uid": 20001, **more}


def test_every_user_and_group_has_a_limit_or_none() -> None:
    accounts = {
        "groups": [{"name": "lab", "gid": 20000, "disk": "1.5 TiB"}, {"name": "b", "gid": 20001}],
        "users": [account("earnest", disk="20 GiB"), account("bob")],
    }
    found = [(each["directory"], each["bytes"]) for each in accounts_disk.accounts_disk(accounts)]
    assert found == [("lab", 1536 * GIB), ("b", 0), ("earnest1", 20 * GIB), ("bob1", 0)]


def test_a_file_is_no_larger_than_the_largest_limit_of_its_user() -> None:
    accounts = {
        "groups": [{"name": "lab", "gid": 20000, "disk": "2 GiB"}, {"name": "b", "gid": 20001}],
        "users": [
            account("a", disk="1 GiB", group="lab"),
            account("b", disk="3 GiB", group="lab"),
            account("c", disk="1 GiB", group="b"),
            account("d", disk="1 GiB"),
            account("e", group="lab"),
        ],
    }
    found = {
        login: kib / 1024**2 for login, kib in accounts_disk.accounts_file_sizes(accounts).items()
    }
    assert found == {"a1": 2, "b1": 3, "c1": 1, "d1": 1}


@pytest.mark.parametrize(
    ("limit", "percent"),
    [(1024**2, 1), (4 * GIB, 1), (5 * GIB, 20), (8 * GIB, 50), (1024 * GIB, 99)],
)
def test_glusterfs_looks_before_each_write_in_the_last_4_gib(limit: int, percent: int) -> None:
    assert quotas.watched_from(limit) == percent


@pytest.mark.parametrize(
    ("used", "above"), [(0, 0), (79.9, 0), (80, 80), (94.9, 80), (95, 95), (130, 95)]
)
def test_thresholds(used: float, above: int) -> None:
    limit = {"kind": "user", "name": "a", "bytes": GIB}
    assert usage.seen(limit, GIB, int(used * GIB / 100) + 1)["above"] == above


def test_a_quota_that_the_file_system_does_not_know_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = {"kind": "user", "name": "a", "directory": ".", "bytes": GIB}
    found = usage.measured(tmp_path, limit)
    assert not found["in_effect"]
    usage.write(tmp_path, [found])
    assert capsys.readouterr().out.startswith("<4>user a: the file system does not enforce")
    assert (
        'sftp_disk_quota_in_effect{kind="user",name="a"} 0' in (tmp_path / "usage.prom").read_text()
    )


def test_a_threshold_is_logged_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    limit = {"kind": "user", "name": "a", "bytes": GIB}
    for percent in (50, 81, 85, 96, 97, 10, 10):
        usage.write(tmp_path, [usage.seen(limit, GIB, GIB * percent // 100)])
    logged = capsys.readouterr().out.splitlines()
    assert [line[:3] for line in logged] == ["<4>", "<4>", "<5>"]
    assert "above 80 %" in logged[0]
    assert "above 95 %" in logged[1]
    assert json.loads((tmp_path / "usage.json").read_text())[0]["percent"] == 10


def test_statvfs_of_a_directory_with_a_quota_is_its_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = os.statvfs_result((4096, 4096, GIB // 4096, GIB // 8192, 0, 0, 0, 0, 0, 255))
    monkeypatch.setattr(os, "statvfs", lambda _path: answer)
    limit = {"kind": "user", "name": "a", "directory": ".", "bytes": GIB}
    found = usage.measured(tmp_path, limit)
    assert (found["in_effect"], found["percent"]) == (True, 50)
