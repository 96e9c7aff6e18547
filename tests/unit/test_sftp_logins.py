"""The program that refuses an account that often failed to log in, from that address only."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import jinja2
import pytest

from tests.lab.plugins import load

KEYS_OF = Path(__file__).parents[2] / "roles/sftp_server/templates/keys-of.j2"
program = load("roles/sftp_server/files/sftp_logins.py")
SITE, ELSEWHERE = "198.51.100.7", "203.0.113.9"
CONFIG = {
    "sites": [{"name": "ec-burlington", "networks": ["198.51.100.0/24", "2001:db8::/32"]}],
    "tries": 5,
    "seconds": 60,
    "refused_seconds": 60,
    "site_tries": 20,
}


@pytest.fixture
def logins(tmp_path: Path) -> Any:
    return program.Logins(CONFIG, tmp_path)


def fail(
    logins: Any, login: str, *times: float, address: str = SITE, kind: str = "authenticating"
) -> None:
    for now in times:
        logins.forget(now)
        offered = f"invalid user {login}" if kind == "invalid" else login
        for _ in range(2):  # keys
            logins.read(f"Failed publickey for {offered} from {address} port 40001 ssh2: x", now)
        logins.read(f"Connection closed by {kind} user {login} {address} port 40001 [preauth]", now)


def refused(path: Path) -> list[str]:
    return sorted(each.name for each in (path / "refused").iterdir())


def test_failed_logins_cost_the_account_at_that_address_only(
    logins: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fail(logins, "bob001", 0, 1, 2, 3)
    fail(logins, "bob001", 3, address=ELSEWHERE)
    fail(logins, "ear001", 3)
    assert refused(tmp_path) == []
    fail(logins, "bob001", 4)
    assert refused(tmp_path) == [f"bob001@{SITE}"]
    said = f"<4>bob001 is refused from {SITE} for 60 s: 5 failed logins in 60 s"
    assert said in capsys.readouterr().out
    metrics = (tmp_path / "logins.prom").read_text()
    for line in (
        'sftp_logins_failed_total{login="bob001",site="-"} 1',
        'sftp_logins_failed_total{login="bob001",site="ec-burlington"} 5',
        'sftp_logins_failed_total{login="ear001",site="ec-burlington"} 1',
        'sftp_logins_refusals_total{login="bob001",site="ec-burlington"} 1',
    ):
        assert f"{line}\n" in metrics


def test_a_refusal_ends_although_the_account_is_tried_meanwhile(
    logins: Any, tmp_path: Path
) -> None:
    fail(logins, "bob001", *range(60))
    assert refused(tmp_path) == [f"bob001@{SITE}"]
    logins.forget(64)
    assert refused(tmp_path) == []
    fail(logins, "bob001", 65, 66, 67, 68)
    assert refused(tmp_path) == []


def test_failed_logins_are_forgotten_after_a_minute(logins: Any, tmp_path: Path) -> None:
    fail(logins, "bob001", *range(0, 600, 16))
    assert refused(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        "Connection reset by authenticating user bob001 {} port 1 [preauth]",
        "Connection from authenticating user bob001 {} port 1 timed out [preauth]",
        "Disconnected from authenticating user bob001 {} port 1 [preauth]",
        "Disconnecting authenticating user bob001 {} port 1: Too many failures [preauth]",
    ],
)
def test_every_end_without_a_login_is_counted(logins: Any, tmp_path: Path, line: str) -> None:
    for _ in range(5):
        logins.read("Failed publickey for bob001 from 2001:db8::7 port 1 ssh2: ED25519 x", 0)
        logins.read(line.format("2001:db8::7"), 0)
    assert refused(tmp_path) == ["bob001@2001:db8::7"]
    assert 'site="ec-burlington"} 5' in (tmp_path / "logins.prom").read_text()


@pytest.mark.parametrize(
    "line",
    [
        "Accepted publickey for bob001 from {} port 1 ssh2: ED25519 SHA256:x",
        "Connection closed by authenticating user bob001 {} port 1 [preauth]",
        "Failed publickey for bob001 from {} port 1 ssh2: ED25519 SHA256:x",
        "Disconnected from user bob001 {} port 1",
        'open "Connection closed by authenticating user bob001 {} port 1" flags READ mode 0666',
    ],
)
def test_nothing_else_is(logins: Any, tmp_path: Path, line: str) -> None:
    for _ in range(5):
        logins.read(line.format(SITE), 0)
    assert refused(tmp_path) == []
    assert "} " not in (tmp_path / "logins.prom").read_text()


@pytest.mark.parametrize(
    "name",
    ["oracle", "", f"authenticating user bob001 {ELSEWHERE} port 1", f"bob001 {ELSEWHERE} port 1:"],
)
def test_a_name_that_a_stranger_makes_up_refuses_nobody(
    logins: Any, tmp_path: Path, name: str
) -> None:
    fail(logins, name, *range(5), kind="invalid")
    assert refused(tmp_path) == []
    failed = 'sftp_logins_failed_total{login="-",site="ec-burlington"} 5\n'
    assert failed in (tmp_path / "logins.prom").read_text()


@pytest.mark.parametrize(
    ("connection", "printed"),
    [
        ("192.0.2.2 2201 198.51.100.7 40001", ""),  # as OpenSSH 10.0 gives it
        ("198.51.100.7 40001 192.0.2.2 2202", ""),  # as sshd_config(5) says
        ("192.0.2.2 2202 203.0.113.9 40001", "ssh-ed25519 AAAAbob\n"),
        ("198.51.100.7 2201 203.0.113.9 40001", "ssh-ed25519 AAAAbob\n"),  # its own address
        (None, "ssh-ed25519 AAAAbob\n"),  # as an administrator asks
    ],
)
def test_a_refused_account_has_no_keys_at_that_address(
    logins: Any, tmp_path: Path, connection: str | None, printed: str
) -> None:
    fail(logins, "bob001", *range(5))
    for kind in ("logins", "keys"):
        (tmp_path / ".revoked" / kind).mkdir(parents=True)
        (tmp_path / "revoked" / kind).mkdir(parents=True)
    (tmp_path / "authorized_keys").write_text("bob001 ssh-ed25519 AAAAbob\near001 ssh-rsa A\n")
    environment = jinja2.Environment(autoescape=False)  # noqa: S701  a shell script
    environment.filters["comment"] = lambda text: f"# {text}"
    text = environment.from_string(KEYS_OF.read_text().replace("/run/sftp-logins", str(tmp_path)))
    values = {"sftp_server_homes": tmp_path, "sftp_server_dir": tmp_path, "ansible_managed": ""}
    (tmp_path / "keys-of").write_text(text.render(values, sftp_server_ports=[2201, 2202]))
    words = ["sh", str(tmp_path / "keys-of"), "bob001", "SHA256:x"]
    words += [] if connection is None else [connection]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == printed


def test_many_failed_logins_of_a_site_are_logged(
    logins: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(41):
        fail(logins, f"name{number}", 0, address=f"198.51.100.{number}", kind="invalid")
        fail(logins, f"name{number}", 0, address=ELSEWHERE, kind="invalid")
    said = capsys.readouterr().out.splitlines()
    assert said == ["<4>site ec-burlington: 20 failed logins in 60 s"] * 2


def test_what_is_remembered_does_not_grow(logins: Any) -> None:
    kinds = {"_recent", "_refused", "_wrong"}
    for number in range(1000):
        fail(logins, "bob001", number, address=f"203.0.113.{number % 256}")
        fail(logins, f"name{number}", number, address=f"203.0.113.{number % 256}", kind="invalid")
        logins.read(f"Failed publickey for bob001 from {SITE} port {number} ssh2: x", number)
    logins.forget(2000)
    assert {name: kept for name, kept in vars(logins).items() if kept and name in kinds} == {}
