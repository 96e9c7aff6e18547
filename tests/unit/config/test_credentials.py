"""Passwords and keys are read from credentials.conf, in the format of sr3, mode 0600."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sarra_lite.commands import connections
from sarra_lite.config import credentials, files, schema
from sarra_lite.config.commands import LogConfig, PostConfig, SenderConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

# From a working installation of metpx-sr3 3.3.1.
OF_SR3 = """\
# credentials.conf
amqp://bunnymaster:adminpw@127.0.0.77/
amqp://uearnest:earnestpw@127.0.0.77/
ftp://someone:else@127.0.0.1/ passive,binary
sftp://root@127.0.0.1:32222/ ssh_keyfile={key}
"""


def endpoint(url: str) -> credentials.Endpoint:
    return credentials.parse_url(url, ["amqp", "amqps", "sftp"])


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    path = tmp_path / "sarra_lite" / "credentials.conf"
    path.parent.mkdir()
    return path


def write(file: Path, text: str, mode: int = 0o600) -> None:
    file.write_text(text)
    file.chmod(mode)


def password(file: Path, url: str) -> str | None:
    return credentials.complete(endpoint(url), file).password


def test_a_file_of_sr3_works_unchanged(file: Path, tmp_path: Path) -> None:
    key = tmp_path / "id_ed25519"
    key.touch()
    write(file, OF_SR3.format(key=key))
    assert password(file, "amqp://uearnest@127.0.0.77/") == "earnestpw"
    assert password(file, "amqp://bunnymaster@127.0.0.77") == "adminpw"
    sftp = credentials.complete(endpoint("sftp://root@127.0.0.1:32222/"), file)
    assert sftp.password is None
    assert sftp.options == {"ssh_keyfile": str(key)}
    assert list(credentials.file_problems(file)) == []
    config = SenderConfig(
        broker=parse_url("amqp://uearnest@127.0.0.77/", ["amqp", "amqps"]),
        sendTo=parse_url("sftp://root@127.0.0.1:32222", ["sftp"]),
    )
    connections.broker_factory(config)
    connections.sftp_factory(config)


def test_user_host_port_and_scheme_must_match(file: Path) -> None:
    write(file, "amqps://u:pw@host.example:5672/\n")
    assert password(file, "amqps://u@host.example:5672/") == "pw"
    assert password(file, "amqps://u@HOST.example:5672/") == "pw"
    for other in (
        "amqps://u@host.example/",
        "amqp://u@host.example:5672/",
        "amqps://v@host.example:5672/",
        "amqps://u@other.example:5672/",
    ):
        assert password(file, other) is None, other


def test_the_default_port_may_be_omitted(file: Path) -> None:
    write(file, "amqps://u:pw@h:5671\nsftp://u:pw@h:22\n")
    assert password(file, "amqps://u@h/") == "pw"
    assert password(file, "sftp://u@h/") == "pw"


def test_the_vhost_must_match_if_the_line_has_one(file: Path) -> None:
    write(file, "amqp://u:first@h/one\namqp://u:second@h/two\n")
    assert password(file, "amqp://u@h/two") == "second"
    assert password(file, "amqp://u@h/three") is None
    write(file, "amqp://u:any@h/\n")
    assert password(file, "amqp://u@h/three") == "any"


def test_passwords_are_percent_decoded(file: Path) -> None:
    write(file, "amqp://u:p%23%40%2F%C3%A9@h/\n")
    assert password(file, "amqp://u@h/") == "p#@/é"


def test_tabs_and_spaces_separate_url_and_options(file: Path) -> None:
    write(file, "  sftp://u@h/ \t ssh_keyfile = /k , tls,,\n")
    complete = credentials.complete(endpoint("sftp://u@h/"), file)
    assert complete.options == {"ssh_keyfile": "/k", "tls": ""}


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("amqp://u:geheim#x@h/", "write # in a password as %23"),
        ("amqp://u:geh/eim@h/", "its port is no number up to 65535"),
        ("amqp://h/", "user or host is missing; expected amqp://user@host/"),
        ("sftp://u@[::1/", "Invalid IPv6 URL"),
    ],
)
def test_an_invalid_line_is_reported_by_number_without_password(
    file: Path, line: str, text: str
) -> None:
    write(file, f"# one\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        password(file, "amqp://u@h/")
    assert str(caught.value) == f"{file}: line 2: {text}"
    assert "geh" not in str(caught.value).replace(str(file), "")


def test_all_invalid_lines_are_reported(file: Path) -> None:
    write(file, "amqp://u:a#@h/\nhttps://x#y\namqp://h/\n")
    assert list(credentials.file_problems(file)) == [
        f"{file}: line 1: write # in a password as %23",
        f"{file}: line 3: user or host is missing; expected amqp://user@host/",
    ]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_file_that_others_may_read_is_refused(file: Path, mode: int) -> None:
    write(file, "amqp://u:pw@h/\n", mode)
    with pytest.raises(ConfigError) as caught:
        password(file, "amqp://u@h/")
    assert str(caught.value) == (
        f"{file}: others may read it (mode {mode:04o}); do: chmod 600 {file}"
    )
    assert list(credentials.file_problems(file)) == [str(caught.value)]


def test_a_file_that_is_not_utf8_is_refused(file: Path) -> None:
    file.write_bytes(b"amqp://u:\xff@h/\n")
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="cannot be read"):
        password(file, "amqp://u@h/")


def test_a_missing_password_is_reported_with_the_line_to_add(file: Path) -> None:
    config = PostConfig(broker=parse_url("amqps://u@h.example/vh", ["amqp", "amqps"]))
    with pytest.raises(ConfigError) as caught:
        connections.broker_factory(config)
    assert str(caught.value) == (
        f"{file}: no password for amqps://u@h.example/vh; no such file; make it, mode 0600, with"
        " the line: amqps://u:PASSWORD@h.example/vh"
    )
    write(file, "")
    with pytest.raises(ConfigError, match="add the line: amqps://u:PASSWORD@"):
        connections.broker_factory(config)


def test_a_missing_key_file_is_reported(file: Path) -> None:
    write(file, "sftp://u@h/ ssh_keyfile=/nowhere/key\n")
    config = SenderConfig(
        broker=parse_url("amqp://u@h/", ["amqp", "amqps"]),
        sendTo=parse_url("sftp://u@h/", ["sftp"]),
    )
    with pytest.raises(ConfigError, match="ssh_keyfile of sftp://u@h/: no such file: /nowhere/key"):
        connections.sftp_factory(config)


def test_credentials_from_systemd_come_first_and_may_have_any_mode(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(file, "amqp://u:mine@h/\n")
    systemd = tmp_path / "systemd"
    systemd.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", f"{systemd}/")
    assert files.credentials_file() == file
    write(systemd / "credentials.conf", "amqp://u:systemds@h/\n", 0o440)
    assert files.credentials_file() == systemd / "credentials.conf"
    assert password(systemd / "credentials.conf", "amqp://u@h/") == "systemds"


def test_no_text_of_an_endpoint_contains_the_password() -> None:
    broker = endpoint("amqps://u:geheim@[::1]:5672/vh")
    assert broker.password == "geheim"
    assert str(broker) == "amqps://u@[::1]:5672/vh"
    assert "geheim" not in f"{broker!r} {broker} {[broker]}"


@pytest.mark.parametrize("url", ["amqp://u%2F%40@h/%2F", "amqps://u@[::1]:1/vh", "sftp://u@h/"])
def test_the_text_of_an_endpoint_is_its_url(url: str) -> None:
    assert str(endpoint(url)) == url


# NFKC makes "/" of a part of U+2100: urlsplit() puts the whole netloc into its ValueError.
@pytest.mark.parametrize("url", ["amqp://u:s3cret\u2100@h/", "amqp://u:s3cret@[h/"])
def test_a_url_that_cannot_be_read_is_not_repeated_with_its_password(
    tmp_path: Path, url: str
) -> None:
    assert "s3cret" not in str(schema.check(LogConfig, {"broker": url}, "F")[1])
    file = tmp_path / "credentials.conf"
    file.touch(mode=0o600)
    file.write_text(url, encoding="utf-8")
    (line,) = credentials.file_problems(file)
    assert "s3cret" not in line
    config = PostConfig(
        broker=parse_url("amqp://u@h/", ["amqp", "amqps"]), baseUrl=url.replace("amqp", "file")
    )
    assert "s3cret" not in str(list(config.problems()))


@pytest.mark.parametrize("url", ["sftp://hpfx", "sftp://hpfx/", "sftp://MyHost", "sftp://u@MyHost"])
def test_an_sftp_host_may_be_an_alias_and_keeps_its_capitals(url: str) -> None:
    assert str(endpoint(url)) == url.rstrip("/") + "/"


def test_an_alias_without_a_user_has_its_own_line(file: Path) -> None:
    write(file, "sftp://other@hpfx/ ssh_keyfile=/a\nsftp://HPFX/ ssh_keyfile=/b\n")
    completed = credentials.complete(endpoint("sftp://hpfx"), file)
    assert completed.options == {"ssh_keyfile": "/b"}
    assert completed.host == "hpfx"


def test_a_broker_needs_a_user() -> None:
    with pytest.raises(ValueError, match="user or host is missing"):
        endpoint("amqps://broker.example/")
