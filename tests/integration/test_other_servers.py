"""SFTP servers that can less than OpenSSH's, or are another one."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.lab.asyncssh_server import AsyncSsh
from tests.lab.site import Site
from tests.lab.sshd import Sshd
from tests.lab.trees import same

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.rabbitmq import Rabbit

OLD = 1_600_000_000
SIZE = 300_000
POSIX_RENAME = "posix-rename@openssh.com"
LIMITS = "limits@openssh.com"


@contextlib.contextmanager
def served(rabbit: Rabbit, directory: Path, server: Sshd) -> Iterator[Site]:
    """Yield a user of a server, with files to send: small, large, in a new directory."""
    with server:
        site = Site(rabbit, server, directory / "site")
        (site.source / "d").mkdir()
        for name, size in {"small": 10, "large": SIZE, "d/inner": 20, "empty": 0}.items():
            (site.source / name).write_bytes(os.urandom(size))
            (site.source / name).chmod(0o640)
            os.utime(site.source / name, (OLD, OLD))
        yield site


def openssh(directory: Path, *denied: str) -> Sshd:
    """Return OpenSSH's server, which denies some requests."""
    server = Sshd(directory / "sshd")
    config = server.directory / "sshd_config"
    options = f"internal-sftp -P {','.join(denied)}"
    config.write_text(config.read_text().replace("internal-sftp", options))
    return server


def refusing(directory: Path, kind: str) -> Sshd:
    """Return a server that refuses to set attributes."""
    if kind == "asyncssh":
        return AsyncSsh(directory / "asyncssh", "setstat")
    return openssh(directory, "setstat", "fsetstat")


def send(site: Site, *options: str) -> dict[str, str]:
    """Post all files, one of them in blocks, and send them; return what the reports say."""
    site.run("sr_post", "--block-size", "100k", site.source)
    site.drain("--block-size", "100k", *options)
    assert set(map(tuple, site.codes().values())) == {(201,)}
    return {report["relPath"]: report["message"] for report in site.reports()}


@pytest.mark.parametrize("refused", [(), (LIMITS, "statvfs@openssh.com", "fsync@openssh.com")])
@pytest.mark.parametrize("stream", ["ssh", "paramiko"])
def test_files_arrive_complete_at_asyncssh(
    rabbit: Rabbit, tmp_path: Path, stream: str, refused: tuple[str, ...]
) -> None:
    with served(rabbit, tmp_path, AsyncSsh(tmp_path / "server", *refused)) as site:
        said = send(site, "--stream", stream)
        assert same(site.source, site.dest)
        assert not any("refused" in message for message in said.values())
        assert site.leftovers() == []


@pytest.mark.parametrize("kind", ["openssh", "asyncssh"])
def test_the_content_arrives_where_attributes_are_refused_and_the_report_says_so(
    rabbit: Rabbit, tmp_path: Path, kind: str
) -> None:
    with served(rabbit, tmp_path, refusing(tmp_path, kind)) as site:
        said = send(site)
        for name in ("small", "large", "d/inner", "empty"):
            assert (site.dest / name).read_bytes() == (site.source / name).read_bytes()
            assert "refused to set: mode, modification time" in said[name]
        assert site.leftovers() == []


@pytest.mark.parametrize("kind", ["openssh", "asyncssh"])
def test_with_permcopy_and_timecopy_off_nothing_is_set(
    rabbit: Rabbit, tmp_path: Path, kind: str
) -> None:
    with served(rabbit, tmp_path, refusing(tmp_path, kind)) as site:
        options = ("--no-perm-copy", "--no-time-copy", "--perm-default", "600")
        said = send(site, *options)
        for name in ("small", "large", "d/inner", "empty"):
            assert (site.dest / name).read_bytes() == (site.source / name).read_bytes()
            assert stat.S_IMODE((site.dest / name).stat().st_mode) == 0o600
            assert "refused" not in said[name]


def test_what_is_refused_of_an_open_file_is_set_by_its_name(rabbit: Rabbit, tmp_path: Path) -> None:
    with served(rabbit, tmp_path, openssh(tmp_path, "fsetstat")) as site:
        said = send(site)
        assert same(site.source, site.dest)
        assert not any("refused" in message for message in said.values())


@pytest.mark.parametrize("kind", ["openssh", "asyncssh"])
def test_a_server_that_cannot_replace_a_file_by_renaming_is_refused_in_one_line(
    rabbit: Rabbit, tmp_path: Path, kind: str
) -> None:
    server = (
        AsyncSsh(tmp_path / "server", POSIX_RENAME)
        if kind == "asyncssh"
        else openssh(tmp_path, "posix-rename")
    )
    with served(rabbit, tmp_path, server) as site:
        site.run("sr_post", site.source)
        (site.dest / "small").write_bytes(b"old")
        done = site.drain(status=78)
        (line,) = [line for line in done.stderr.splitlines() if POSIX_RENAME in line]
        assert "cannot replace a file" in line
        assert (site.dest / "small").read_bytes() == b"old"
        assert site.codes() == {}
        assert site.queued() > 0


def test_limits_that_the_server_denies_are_assumed(rabbit: Rabbit, tmp_path: Path) -> None:
    with served(rabbit, tmp_path, openssh(tmp_path, "limits", "statvfs")) as site:
        send(site)
        assert same(site.source, site.dest)
