"""A backup is whole or none, and encrypted; damage is seen; a restore keeps what it replaces."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from playbooks.scope_backup import directory, inventory, records, sealing

ROOT: Final = Path(__file__).parents[2]
RECORDS: Final = {"numbers": {"ear001": 20001, "old001": 20900}, "logins": ["old001"], "keys": []}
ACCOUNTS: Final = """accounts:
  groups: []
  users:
    - {name: earnest, login: ear001, uid: 20001, keys: []}
"""


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("age-keygen"):
        pytest.skip("needs age")
    path = tmp_path_factory.mktemp("age") / "identity"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return path


@pytest.fixture(scope="session")
def recipient(identity: Path) -> str:
    done = subprocess.run(
        ["age-keygen", "-y", identity], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def places(tmp_path: Path) -> inventory.Places:
    """Secrets of an inventory: a key in a directory of its own, passwords, accounts."""
    secrets = tmp_path / "inventory/secrets"
    (secrets / "ssh").mkdir(parents=True)
    (secrets / "lab").mkdir()
    (secrets / "ssh/host_ca").write_text("the key")
    (secrets / "ssh/host_ca").chmod(0o600)
    (secrets / "lab/known_hosts").write_text("of the lab")
    variables = tmp_path / "inventory/group_vars"
    variables.mkdir()
    (variables / "secrets.yml").write_text("scope_broker_passwords:\n  uearnest: hush1\n")
    (variables / "accounts.yml").write_text(ACCOUNTS)
    return inventory.Places(
        secrets, variables / "secrets.yml", variables / "accounts.yml", ("lab",)
    )


def run(command: str, path: Path, *options: str, text: str = "") -> Any:
    return subprocess.run(
        [sys.executable, "-m", "playbooks.scope_backup", command, str(path), *options],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def options(places: inventory.Places) -> list[str]:
    given = {"secrets": places.secrets, "passwords": places.passwords, "accounts": places.accounts}
    return [*(f"--{name}={path}" for name, path in given.items()), f"--left={places.left[0]}"]


def back_up(
    backups: Path, places: inventory.Places, recipient: str, *, keep: int = 14, missing: str = ""
) -> Path:
    begun = run("begin", backups, f"--recipient={recipient}")
    assert begun.returncode == 0, begun.stderr
    made = Path(begun.stdout.strip())
    inner = run("seal_inventory", made, f"--recipient={recipient}", *options(places))
    assert inner.returncode == 0, inner.stderr
    name = ["--name=accounts.json.age", f"--recipient={recipient}"]
    assert run("seal", made, *name, text=json.dumps(RECORDS)).returncode == 0
    about = {"about": {"scope": "a.example"}, "expected": [[missing]] if missing else []}
    ended = run("finish", made, f"--keep={keep}", text=json.dumps(about))
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["missing"] == ([missing] if missing else [])
    return made


def plan(made: Path, places: inventory.Places, identity: Path, now: Any = None) -> Any:
    known = {"records": None, "definitions": None} | (now or {})
    given = [f"--identity={identity}", *options(places)]
    return run("plan", made, *given, text=json.dumps(known))


def test_nothing_in_a_backup_can_be_read_without_the_identity(
    tmp_path: Path, places: inventory.Places, recipient: str, identity: Path
) -> None:
    made = back_up(tmp_path / "backups", places, recipient)
    assert {path.name for path in made.iterdir()} == {
        "inventory.tar.age",
        "accounts.json.age",
        "manifest.json",
    }
    for path in made.iterdir():
        assert b"hush1" not in path.read_bytes()
        assert b"the key" not in path.read_bytes()
    assert made.stat().st_mode & 0o077 == 0
    files = inventory.unpacked(sealing.opened(made / "inventory.tar.age", identity))
    assert files["secrets/ssh/host_ca"] == (b"the key", 0o600)
    assert "secrets/lab/known_hosts" not in files


@pytest.mark.parametrize("damage", ["changed", "short", "plain", "absent", "added"])
def test_a_damaged_backup_is_refused(
    damage: str, tmp_path: Path, places: inventory.Places, recipient: str, identity: Path
) -> None:
    made = back_up(tmp_path / "backups", places, recipient)
    path = made / "inventory.tar.age"
    content = path.read_bytes()
    if damage == "changed":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "short":
        path.write_bytes(content[:-100])
    elif damage == "plain":
        path.write_text("not encrypted")
    elif damage == "absent":
        path.unlink()
    else:
        shutil.copy(path, made / "more.tar.age")
    for done in (run("verify", made), plan(made, places, identity)):
        assert done.returncode == 1
        assert "is refused: " in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_what_was_not_written_as_it_should_be_gets_no_manifest(
    tmp_path: Path, places: inventory.Places, recipient: str
) -> None:
    made = directory.begin(tmp_path / "backups")
    sealing.seal(inventory.packed(places), recipient, made / "inventory.tar.age")
    with (made / "inventory.tar.age").open("ab") as file:
        file.write(b"x")
    with pytest.raises(sealing.BackupError, match="written was"):
        directory.finish(made, {}, [])
    with pytest.raises(sealing.BackupError, match="no backup"):
        directory.manifest(made)


def test_the_oldest_are_removed_but_not_while_something_is_missing(
    tmp_path: Path, places: inventory.Places, recipient: str
) -> None:
    backups = tmp_path / "backups"
    old = [backups / f"2026010{day}T000000Z" for day in (1, 2, 3)]
    for path in old:
        path.mkdir(parents=True)
        (path / "manifest.json").write_text("{}")
    (backups / "notes").mkdir()
    back_up(backups, places, recipient, keep=2, missing="a.monitor.sqlite.age")
    assert all(path.exists() for path in old)
    made = back_up(backups, places, recipient, keep=2)
    left = sorted(path.name for path in backups.iterdir())
    assert left[-1] == "notes"
    assert made.name in left
    assert len(left) == 3


def test_what_a_killed_run_has_left_is_removed_but_not_what_is_being_written(
    tmp_path: Path,
) -> None:
    backups = tmp_path / "backups"
    killed, running = directory.begin(backups), directory.begin(backups)
    assert killed != running
    (killed / ".running").write_text(
        json.dumps({"host": os.uname().nodename, "pid": 2**22 + 1, "started": "1"})
    )
    directory.begin(backups)
    assert not killed.exists()
    assert running.exists()


def test_a_plan_names_what_differs_and_no_secret(
    tmp_path: Path, places: inventory.Places, recipient: str, identity: Path
) -> None:
    made = back_up(tmp_path / "backups", places, recipient)
    assert plan(made, places, identity).stdout == ""
    places.passwords.write_text("scope_broker_passwords:\n  uearnest: hush2\n  ubob: hush3\n")
    places.accounts.write_text(ACCOUNTS.replace("20001", "20005"))
    (places.secrets / "ssh/host_ca").unlink()
    (places.secrets / "ssh/new").write_text("since then")
    done = plan(made, places, identity, {"records": {"numbers": {}, "logins": [], "keys": []}})
    assert done.returncode == 0, done.stderr
    assert "hush" not in done.stdout + done.stderr
    for line in (
        "secrets.yml: differs, will be replaced (only here: ubob; other: uearnest)",
        "accounts.yml: differs, will be replaced (other: earnest)",
        "host_ca: is missing, will be written",
        "new: is not in the backup, stays",
        "nodes: the number 20900 of old001 is not recorded, will be",
        "nodes: old001 is not revoked, will be",
    ):
        assert line in done.stdout


def test_what_is_replaced_stays_beside_and_a_second_time_changes_nothing(
    tmp_path: Path, places: inventory.Places, recipient: str, identity: Path
) -> None:
    made = back_up(tmp_path / "backups", places, recipient)
    places.passwords.write_text("scope_broker_passwords: {}\n")
    shutil.rmtree(places.secrets)
    given = [f"--identity={identity}", *options(places)]
    done = run("unpack", made, *given)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        str(places.passwords),
        str(places.secrets / "ssh/host_ca"),
    ]
    assert "hush1" in places.passwords.read_text()
    (before,) = places.passwords.parent.glob("secrets.yml.before-*")
    assert before.read_text() == "scope_broker_passwords: {}\n"
    assert (places.secrets / "ssh/host_ca").stat().st_mode & 0o777 == 0o600
    assert places.secrets.stat().st_mode & 0o777 == 0o700
    assert run("unpack", made, *given).stdout == ""
    assert plan(made, places, identity).stdout == ""


def test_another_identity_opens_nothing(
    tmp_path: Path, places: inventory.Places, recipient: str
) -> None:
    made = back_up(tmp_path / "backups", places, recipient)
    other = tmp_path / "other"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
    done = plan(made, places, other)
    assert done.returncode == 1
    assert "no identity matched" in done.stderr


def test_a_recipient_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    if not shutil.which("age"):
        pytest.skip("needs age")
    done = run("begin", tmp_path / "backups", f"--recipient=age1{'q' * 58}")
    assert done.returncode == 1
    assert not (tmp_path / "backups").exists()


def test_a_record_that_the_accounts_contradict_is_told() -> None:
    accounts = {"earnest": ("ear001", 20002), "eve": ("eve001", 20900), "bob": ("bob001", 20003)}
    assert records.conflicts(RECORDS, accounts) == [
        "ear001 has the uid 20002 in the accounts file and 20001 on the nodes",
        "eve001 has the uid 20900, which was that of old001",
    ]


def test_names_in_an_archive_lead_nowhere_else(places: inventory.Places) -> None:
    for name in ("secrets/../../x", "/etc/passwd", "secrets", "other"):
        with pytest.raises(sealing.BackupError):
            places.path(name)
