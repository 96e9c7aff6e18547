"""How the ssh program is called."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sarra_lite.errors import ConfigError, DestinationDown, DestinationRefused
from sarra_lite.sftp import openssh, ssh_command
from sarra_lite.sftp.ssh_command import prefers_aes, ssh_settings
from tests.lab.scripted import target

# Stands for "ssh -G": with -F the default ciphers, without it those that the test sets.
SCRIPT = """#!/bin/sh
case "$*" in
    *"-F /dev/null"*) echo "ciphers chacha20,aes" ;;
    *) echo "ciphers {set}" ;;
esac
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of a program called ssh that is found before the real one."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    ssh_command._default_ciphers.cache_clear()  # noqa: SLF001
    return tmp_path / "ssh"


@pytest.mark.skipif(
    " aes " not in Path("/proc/cpuinfo").read_text(),
    reason="this processor has no instructions for AES",
)
@pytest.mark.parametrize(("configured", "preferred"), [("chacha20,aes", True), ("ctr", False)])
def test_aes_is_preferred_unless_ssh_config_sets_ciphers(
    program: Path, configured: str, *, preferred: bool
) -> None:
    program.write_text(SCRIPT.format(set=configured))
    program.chmod(0o755)
    assert prefers_aes(ssh_settings(target())) is preferred


@pytest.mark.parametrize("name", ["a b", "100%", 'say "x"', "back\\slash", "%h#", "a 'b'"])
def test_paths_reach_ssh_as_they_are(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    settings = ssh_settings(target()._replace(key_file=path, known_hosts=path))
    for option in ("identityfile", "userknownhostsfile"):
        (value,) = settings[option]
        assert value.replace("%%", "%") == path  # ssh may print what it has not expanded yet


def test_a_path_that_ssh_would_change_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give the file another"):
        ssh_settings(target()._replace(key_file=str(tmp_path / "${HOME}")))


def test_ssh_that_does_not_answer_about_its_settings_is_an_outage(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_command, "_SETTINGS_TIMEOUT", 0.1)
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    with pytest.raises(DestinationDown, match="Match exec"):
        ssh_settings(target())


LINES = {
    "u@host: Permission denied (publickey,password).": DestinationRefused,
    "jump@gate: Permission denied (publickey).\nConnection closed by UNKNOWN": DestinationRefused,
    "Received disconnect from ::1 port 22:2: Too many authentication failures": DestinationRefused,
    'Load key "/home/u/.ssh/other": Permission denied\nConnection reset': DestinationDown,
    "no such identity: /x: Permission denied\nConnection closed": DestinationDown,
    "Permission denied is what intruders get here\nConnection closed": DestinationDown,
    "Could not chdir to home directory /x: Permission denied": DestinationDown,
    "ssh: connect to host h port 22: Connection refused": DestinationDown,
}


@pytest.mark.parametrize("said", LINES)
def test_only_what_ssh_says_of_the_login_is_a_refusal(program: Path, said: str) -> None:
    program.write_text(f"#!/bin/sh\ncase $1 in -G) ;; *) cat >&2 <<'E'\n{said}\nE\nesac\n")
    program.chmod(0o755)
    stream = openssh.OpenSshStream(target())
    try:
        assert type(stream.close_reason()) is LINES[said]
        stream.logged_in()
        assert "the connection was closed" in str(stream.close_reason())
    finally:
        stream.close()
