"""backup.yml and restore.yml as an operator runs them; this machine is the host of the scope."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parents[2]
SETTINGS: Final = """\
ansible_connection: local
scope_homes: {0}/homes
scope_chroot: {0}
alertmanager_netops: [netops@one.example]
alertmanager_smarthost: 127.0.0.1:25
"""
RABBITMQCTL: Final = """\
#!/bin/sh
case "$*" in
    *export_definitions*) cat "{0}/definitions" ;;
    *eval*) echo '["__q_xlog_1",none]' ;;
    *) exit 1 ;;
esac
"""

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("age-keygen"), reason="needs root and age"
)


class Site(NamedTuple):
    """An inventory, an identity of age, its recipient."""

    directory: Path
    identity: Path
    recipient: str

    @property
    def inventory(self) -> Path:
        return self.directory / "inventory"

    def run(self, playbook: str, *words: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.directory}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["ansible-playbook", "-i", self.inventory, f"playbooks/{playbook}.yml", *words],
            cwd=ROOT,
            env=os.environ
            | {
                "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
                "ANSIBLE_CALLBACKS_ENABLED": "none",
                "PATH": path,
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def back_up(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("backup", "-e", f"backup_recipient={self.recipient}", *words)

    def backups(self) -> list[Path]:
        return sorted((self.inventory / "backups").glob("2*"))

    def compare(self, made: Path, *words: str) -> subprocess.CompletedProcess[str]:
        given = ["-e", f"backup={made}", "-e", f"backup_identity={self.identity}"]
        return self.run("restore", *given, *words)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    directory = tmp_path_factory.mktemp("site")
    ignored = shutil.ignore_patterns("secrets", "secrets.yml", "20-lab.yml", "lab-hosts.yml")
    inventory = directory / "inventory"
    shutil.copytree(ROOT / "inventories/single", inventory, ignore=ignored)
    (inventory / "group_vars/all/30.yml").write_text(SETTINGS.format(directory))
    (inventory / "secrets/lab").mkdir(parents=True)
    for name in ("lab/earnest_key", "lab/bob_key", "lab/bobby_key", "id_ed25519"):
        path = inventory / "secrets" / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    # The scope of this inventory has no canary, but an account of it.
    (inventory / "secrets/canary").mkdir()
    (inventory / "secrets/id_ed25519.pub").rename(inventory / "secrets/canary/id_ed25519.pub")
    (directory / "bin").mkdir()
    program = directory / "bin/rabbitmqctl"
    program.write_text(RABBITMQCTL.format(directory))
    program.chmod(0o755)
    (directory / "definitions").write_text(
        json.dumps({"users": [{"name": "byhand", "password_hash": "aGFzaA==", "tags": []}]})
    )
    (directory / "homes/ear001").mkdir(parents=True)
    (directory / "homes/ear001/file").write_text("content")
    (directory / "homes/.accounts.json").write_text('{"ear001": 20001, "old001": 20900}')
    identity = directory / "identity"
    subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True)
    shown = subprocess.run(
        ["age-keygen", "-y", identity], check=True, capture_output=True, text=True
    )
    made = Site(directory, identity, shown.stdout.strip())
    done = made.run("secrets")
    assert done.returncode == 0, done.stdout
    return made


@pytest.fixture(scope="module")
def made(site: Site) -> Path:
    """A backup; the stores are missing, since nothing of the scope runs here."""
    done = site.back_up("-e", "backup_files=true")
    assert done.returncode == 2, done.stdout
    said = " ".join(done.stdout.split())
    assert "lacks svrone.quota.sqlite.age, svrone.monitor.sqlite.age: see above why" in said
    assert "is not there" in said
    (path,) = site.backups()
    return path


def test_a_backup_has_all_that_could_be_read_and_says_what_not(made: Path) -> None:
    known = json.loads((made / "manifest.json").read_text())
    assert set(known["files"]) == {
        "inventory.tar.age",
        "accounts.json.age",
        "svrone.definitions.json.age",
        "files.tar.age",
    }
    assert known["missing"] == ["svrone.quota.sqlite.age", "svrone.monitor.sqlite.age"]
    assert known["streams"] == '["__q_xlog_1",none]'
    assert any(line.startswith("base-files ") for line in known["packages"]["svrone"])


def test_restore_shows_the_difference_and_changes_nothing(site: Site, made: Path) -> None:
    variables = site.inventory / "group_vars/all"
    kept = {name: (variables / name).read_bytes() for name in ("accounts.yml", "secrets.yml")}
    password = re.search(r'"uearnest": (\w+)', kept["secrets.yml"].decode())
    assert password
    for name in kept:
        (variables / name).unlink()
    (site.directory / "homes/.accounts.json").write_text('{"ear001": 20001}')
    (site.directory / "definitions").write_text("{}")
    done = site.compare(made)
    assert done.returncode == 0, done.stdout
    said = " ".join(done.stdout.split())
    for line in (
        "accounts.yml: is missing, will be written",
        "secrets.yml: is missing, will be written",
        "nodes: the number 20900 of old001 is not recorded, will be",
        "broker: user byhand: is missing, will be made",
        "nothing was changed: say -e go=true",
    ):
        assert line in said
    assert password[1] not in done.stdout
    assert "aGFzaA" not in done.stdout
    assert not (variables / "accounts.yml").exists()
    for name, content in kept.items():
        (variables / name).write_bytes(content)


def test_a_damaged_backup_and_wrong_arguments_are_refused(
    site: Site, made: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(made, tmp_path / made.name)
    with (copy / "files.tar.age").open("ab") as file:
        file.write(b"x")
    done = site.compare(copy, "-e", "go=true")
    assert done.returncode == 2
    assert "files.tar.age has another SHA-256 than in manifest.json" in " ".join(
        done.stdout.split()
    )
    for words in (["--limit", "svrone"], ["-e", "backup=backups"], ["--check", "-e", "go=true"]):
        refused = site.compare(made, *words)
        assert refused.returncode == 2
        assert "say -e backup=DIR" in refused.stdout
    assert site.run("backup").returncode == 2
    assert site.backups() == [made]


def test_check_mode_writes_no_backup(site: Site, made: Path) -> None:
    done = site.back_up("--check")
    assert done.returncode == 0, done.stdout
    assert site.backups() == [made]
