"""What backup and restore do on hosts: streams through Ansible's connection, stores, homes."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.lab.sshd import Sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
COPY: Final = ROOT / "roles/sarra_lite/files/store_copy.py"
RESTORE: Final = ROOT / "roles/sarra_lite/files/store_restore.py"
MERGE: Final = ROOT / "roles/accounts/files/merge_homes.py"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """An identity of age, and its recipient."""
    if not shutil.which("age-keygen"):
        pytest.skip("needs age")
    path = tmp_path_factory.mktemp("age") / "identity"
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    shown = subprocess.run(["age-keygen", "-y", path], check=True, capture_output=True, text=True)
    return path, shown.stdout.strip()


@pytest.fixture(scope="module")
def inventories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """This machine as a host, without ssh and by a real sshd."""
    directory = tmp_path_factory.mktemp("hosts")
    server = Sshd(directory / "sshd")
    server.start()
    known = directory / "known_hosts"
    known.write_text(f"{server.host_key_line}\n")
    made = {}
    for name, line in {
        "local": "host ansible_connection=local",
        "ssh": f"host ansible_host={server.address} ansible_port={server.port}"
        f" ansible_user={server.user} ansible_ssh_private_key_file={server.user_key}"
        f" ansible_ssh_common_args='-o UserKnownHostsFile={known}'",
    }.items():
        made[name] = directory / f"{name}.ini"
        made[name].write_text(f"{line} ansible_python_interpreter={sys.executable}\n")
    yield made
    server.stop()


def stream(inventory: Path, **arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the action sealed_stream; its command is no root's where the tests are not."""
    words = " ".join(f"{key}={value!r}" for key, value in arguments.items())
    return subprocess.run(
        ["ansible", "host", "-i", str(inventory), "-m", "sealed_stream", "-a", words],
        cwd=ROOT,
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_CALLBACKS_ENABLED": "none",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        capture_output=True,
        text=True,
        check=False,
    )


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="the command runs as root")


@needs_root
@pytest.mark.parametrize("kind", ["local", "ssh"])
def test_what_a_host_prints_crosses_encrypted_and_back(
    kind: str, inventories: dict[str, Path], keys: tuple[Path, str], tmp_path: Path
) -> None:
    identity, recipient = keys
    content = os.urandom(3 << 20)
    source, path, target = tmp_path / "source", tmp_path / "x.age", tmp_path / "target"
    source.write_bytes(content)
    host = inventories[kind]
    done = stream(host, command=f"cat {source}", path=str(path), recipient=recipient)
    assert done.returncode == 0, done.stdout + done.stderr
    assert path.read_bytes().startswith(b"age-encryption.org/v1\n")
    written = (tmp_path / "x.age.sum").read_text()
    assert written == hashlib.sha256(path.read_bytes()).hexdigest()
    back = stream(host, command=f"cat > {target}", path=str(path), identity=str(identity))
    assert back.returncode == 0, back.stdout + back.stderr
    assert target.read_bytes() == content


@needs_root
@pytest.mark.parametrize("kind", ["local", "ssh"])
def test_a_command_that_fails_leaves_no_checksum(
    kind: str, inventories: dict[str, Path], keys: tuple[Path, str], tmp_path: Path
) -> None:
    path = tmp_path / "x.age"
    command = "echo half; echo no disk >&2; exit 3"
    done = stream(inventories[kind], command=command, path=str(path), recipient=keys[1])
    assert done.returncode != 0
    assert "ended with status 3" in done.stdout + done.stderr
    assert "no disk" in done.stdout + done.stderr
    assert not (tmp_path / "x.age.sum").exists()


@needs_root
def test_what_is_damaged_does_not_count_as_written(
    inventories: dict[str, Path], keys: tuple[Path, str], tmp_path: Path
) -> None:
    path = tmp_path / "x.age"
    command = "head -c 1000000 /dev/zero"
    stream(inventories["local"], command=command, path=str(path), recipient=keys[1])
    path.write_bytes(path.read_bytes()[:-10])
    done = stream(inventories["local"], command="cat", path=str(path), identity=str(keys[0]))
    assert done.returncode != 0
    assert "age ended with status 1" in done.stdout + done.stderr


def store(path: Path, *days: str, offset: int = 7) -> Path:
    """Make a store as that of sr_monitor, with a write-ahead log."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE progress (stream TEXT, offset INTEGER)")
        database.execute("INSERT INTO progress VALUES ('q_xlog', ?)", (offset,))
        database.execute("CREATE TABLE chains (writer TEXT)")
        database.execute("INSERT INTO chains VALUES ('w')")
        for day in days:
            database.execute(f"CREATE TABLE file_{day} (id INTEGER)")
    return path


def rows(path: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute(query).fetchall()


def put(what: str, new: Path, old: Path, *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(RESTORE), what, str(new), str(old), *options]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_a_copy_is_consistent_while_the_store_is_written(tmp_path: Path) -> None:
    path = store(tmp_path / "private/sr_monitor/monitor.sqlite")
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE pair (a INTEGER, b INTEGER)")
        database.execute("INSERT INTO pair VALUES (0, 0)")
        database.commit()
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(path, timeout=30)) as database:
            while not stop.is_set():
                database.execute("UPDATE pair SET a = a + 1")
                database.execute("UPDATE pair SET b = b + 1")
                database.commit()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            copy = tmp_path / f"copy{number}"
            with copy.open("wb") as file:
                subprocess.run(
                    [sys.executable, "-c", COPY.read_text(), str(path)], stdout=file, check=True
                )
            ((a, b),) = rows(copy, "SELECT a, b FROM pair")
            assert a == b
            assert rows(copy, "PRAGMA integrity_check") == [("ok",)]
    finally:
        stop.set()
        writer.join()
    assert [path.name for path in (tmp_path / "private").iterdir()] == ["sr_monitor"]


def test_a_store_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    words = [sys.executable, "-c", COPY.read_text(), str(tmp_path / "x/y/none")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/x/y/none is not there\n"


@pytest.mark.parametrize(("same", "left"), [(True, 1), (False, 0)])
def test_a_store_forgets_how_far_streams_were_read_that_are_gone(
    same: bool,  # noqa: FBT001
    left: int,
    tmp_path: Path,
) -> None:
    new = store(tmp_path / "new.sqlite", "20260101")
    old = store(tmp_path / "sr_monitor/monitor.sqlite", "20260202", offset=9)
    done = put("install", new, old, *(["--same-streams"] if same else []))
    assert done.returncode == 0, done.stderr
    assert len(rows(old, "SELECT * FROM progress")) == left
    assert len(rows(old, "SELECT * FROM chains")) == left
    assert rows(old, "SELECT count(*) FROM file_20260101") == [(0,)]
    assert not new.exists()
    (before,) = old.parent.glob("*.before-*")
    assert rows(before, "SELECT offset FROM progress") == [(9,)]


def test_a_store_with_newer_days_is_replaced_only_if_told(tmp_path: Path) -> None:
    new = store(tmp_path / "new.sqlite", "20260101", "20260102")
    today = f"{datetime.now(UTC) - timedelta(days=0):%Y%m%d}"
    fresh = store(tmp_path / "a/fresh.sqlite", today)
    assert put("check", new, fresh).returncode == 0
    assert put("check", new, tmp_path / "a/none.sqlite").returncode == 0
    old = store(tmp_path / "a/old.sqlite", "20260102", "20260103", today)
    refused = put("check", new, old)
    assert refused.returncode == 1
    assert "has 1 days that the backup lacks, from 20260103" in refused.stderr
    assert put("check", new, old, "--force").returncode == 0
    new.write_bytes(new.read_bytes()[:5000] + b"\xff" * 3000)
    assert put("check", new, fresh).returncode == 1


@needs_root
def test_files_come_back_with_owners_and_attributes_and_replace_none(tmp_path: Path) -> None:
    """With the command lines of the role; attributes where the file system has them."""
    homes, back = tmp_path / "homes", tmp_path / "back"
    (homes / "ear001/incoming").mkdir(parents=True)
    (homes / "ear001/incoming/a").write_text("old a")
    (homes / "ear001/incoming/b").write_text("old b")
    os.chown(homes / "ear001/incoming/b", 20001, 20002)
    os.utime(homes / "ear001/incoming/b", (1, 1))
    (homes / "ear001/link").symlink_to("incoming/b")
    (back / "ear001/incoming").mkdir(parents=True)
    (back / "ear001/incoming/a").write_text("new a")
    staged = back / ".restore-files"
    staged.mkdir()
    tasks = {
        name: (ROOT / f"roles/accounts/tasks/{name}.yml").read_text()
        for name in ("backup_files", "restore_files")
    }
    words = {}
    for name, text in tasks.items():
        line = " ".join(text.partition("command: >-")[2].partition("path:")[0].split())
        words[name] = line.replace(
            "{{ accounts_homes }}", str({"backup_files": homes}.get(name, back))
        )
    subprocess.run(
        [
            "/bin/bash",
            "-o",
            "pipefail",
            "-c",
            f"{words['backup_files']} | ({words['restore_files']})",
        ],
        check=True,
    )
    done = subprocess.run(
        [sys.executable, MERGE, staged, back], check=True, capture_output=True, text=True
    )
    assert "1 files or directories were left, since there is one of the name" in done.stdout
    assert (back / "ear001/incoming/a").read_text() == "new a"
    found = (back / "ear001/incoming/b").stat()
    assert (found.st_uid, found.st_gid, found.st_mtime) == (20001, 20002, 1)
    assert (back / "ear001/link").readlink() == Path("incoming/b")
    assert not staged.exists()
