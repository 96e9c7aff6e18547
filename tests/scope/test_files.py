"""Homes run nothing, and secrets are read by their owners only."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scope.conftest import Scope

PROTECTED = {"fifos": "2", "hardlinks": "1", "regular": "2", "symlinks": "1"}
# Prints where a secret, a line of its input, can be read by others: as bytes, not as a pattern.
SEARCH = """
import os, pathlib, subprocess, sys
secrets = [line.encode() for line in sys.stdin.read().split()]
def tell(where, content):
    for number, secret in enumerate(secrets):
        if secret in content: print(f"secret {number} in {where}")
for process in pathlib.Path("/proc").glob("[0-9]*"):
    for name in ("cmdline", "environ"):
        try: tell(process / name, (process / name).read_bytes())
        except OSError: pass
journal = ["journalctl", "--namespace=*", "--output=cat", "--all"]
tell("journal", subprocess.run(journal, capture_output=True).stdout)
tops = "/etc /opt /root /home /run /srv/sftp/dev /tmp /usr/local /var".split()
for top in tops:
    for place, directories, files in os.walk(top):
        mode = os.stat(place).st_mode
        if not mode & 0o001: directories.clear(); continue
        for path in (os.path.join(place, name) for name in files):
            try:
                about = os.lstat(path)
                if (about.st_mode & 0o170004) == 0o100004 and about.st_size < 1 << 26:
                    tell(path, open(path, "rb").read())
            except OSError: pass
"""


def secrets(scope: Scope) -> list[str]:
    """Return all secrets of the scope: passwords, the cookie, and lines of private keys."""
    directory = Path(scope.var("scope_secrets_dir"))
    keys = [*directory.glob("pki/**/*.key"), directory / "ssh/ssh_host_ed25519_key"]
    keys.append(directory / "ssh/host_ca")
    bodies = [
        [line for line in key.read_text().splitlines() if not line.startswith("-----")]
        for key in keys
    ]
    # The first line of a key is the same in all of its kind.
    lines = [line for body in bodies for line in body[1:]]
    return [*scope.var("scope_broker_passwords").values(), scope.var("scope_erlang_cookie"), *lines]


def test_no_secret_is_in_a_command_line_an_environment_the_journal_or_a_public_file(
    scope: Scope,
) -> None:
    wanted = secrets(scope)
    for name in [*scope.group("scope"), *scope.group("sources")]:
        found = scope.feed(name, f"python3 -c {shlex.quote(SEARCH)}", "\n".join(wanted))
        assert found == "", name


def test_the_search_finds_a_secret_in_a_file_that_all_may_read(scope: Scope) -> None:
    name, secret = scope.group("scope")[0], scope.var("scope_erlang_cookie")
    scope.feed(name, "umask 022; cat > /var/tmp/test-secret", secret)
    try:
        found = scope.feed(name, f"python3 -c {shlex.quote(SEARCH)}", secret)
    finally:
        scope.host(name).check_output("rm /var/tmp/test-secret")
    assert found == "secret 0 in /var/tmp/test-secret\n"


def test_homes_hold_no_programs_devices_or_identities(scope: Scope) -> None:
    for name in scope.group("sftp_nodes"):
        host = scope.host(name)
        # As sessions see them: a local disk is not mounted a second time.
        main = host.check_output("systemctl show -p MainPID --value sshd-transfer")
        options = host.check_output(
            f"nsenter --target {main} --mount findmnt --noheadings --output VFS-OPTIONS"
            f" --target {scope.var('scope_homes')}"
        ).split(",")
        wanted = {"nosuid", "noexec"} | (
            {"nodev"} if scope.var("scope_shared_fs") != "local" else set()
        )
        assert wanted <= set(options), name


def test_the_kernel_protects_files_in_shared_directories(scope: Scope) -> None:
    for name in scope.group("scope"):
        host = scope.host(name)
        assert {
            key: host.check_output(f"cat /proc/sys/fs/protected_{key}") for key in PROTECTED
        } == PROTECTED
