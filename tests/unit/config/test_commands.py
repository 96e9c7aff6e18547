"""Derived values and checks of configurations, and their assembly from file and command line."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sarra_lite.commands import arguments, post, sender
from sarra_lite.config import files
from sarra_lite.config.commands import COMMANDS, LogConfig, PostConfig, SenderConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.config.schema import check, options
from sarra_lite.config.src2log import Src2logConfig
from sarra_lite.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from sarra_lite.config.shared import BrokerConfig

BROKER = "amqps://uearnest@broker.example/"
SEND_TO = "sftp://ear001@host.example/"


def post_config(**values: Any) -> PostConfig:
    return PostConfig(broker=parse_url(BROKER, ["amqps"]), **values)


def sender_config(**values: Any) -> SenderConfig:
    broker, destination = parse_url(BROKER, ["amqps"]), parse_url(SEND_TO, ["sftp"])
    return SenderConfig(broker=broker, sendTo=destination, **values)


def problems(config: type[BrokerConfig], **values: Any) -> list[str]:
    return [text.removeprefix("F: ") for _, text in check(config, values, "F")[1]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "sarra_lite"
    (folder / "sender").mkdir(parents=True)
    return folder


def test_names_on_the_broker_are_derived_from_user_and_configuration() -> None:
    config = sender_config(name="science")
    assert config.exchange_name == "xac_earnest"
    assert config.queue == "q_uearnest_science"
    assert config.report_stream == "q_uearnest_reports"
    assert config.binding_keys == ["v03.post.#", "v03.block.#", "v03.finish.#"]
    assert LogConfig(broker=parse_url(BROKER, ["amqps"])).queue == "q_uearnest_reports"


def test_checksum_needs_checksums_and_is_not_force() -> None:
    send = "checksum: force sends whatever the content is: leave one of them out"
    values: dict[str, Any] = {"broker": BROKER, "checksum": True}
    assert problems(PostConfig, **values) == []
    assert problems(PostConfig, **values, force=True) == [send]
    for identity in ("cod", "none"):
        (problem,) = problems(PostConfig, **values, identity=identity)
        assert problem == f"checksum: needs a checksum, but identity is {identity}"


def test_an_exchange_of_sr3_has_the_whole_user_name() -> None:
    config = sender_config(exchangePrefix="xs_", userPrefix="", topicPrefix="v03")
    assert config.exchange_name == "xs_uearnest"
    assert config.binding_keys == ["v03.#"]


def test_the_name_of_an_exchange_contains_its_owner() -> None:
    config = Src2logConfig(broker=parse_url(BROKER, ["amqps"]))
    assert config.owner_of("xac_earnest") == "uearnest"
    assert config.owner_of("xac_") is None
    assert config.owner_of("other") is None


def test_the_base_directory_is_the_path_of_the_base_url() -> None:
    assert post_config().base_dir == "/"
    assert post_config(baseUrl="file:/home/a%20b").base_dir == "/home/a b"
    assert post_config(baseUrl="file:/home", baseDir="/srv").base_dir == "/srv"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"baseUrl": "sftp://host/x"}, "baseUrl: not file:, so baseDir must tell which"),
        ({"baseUrl": "http://[x/", "baseDir": "/x"}, "baseUrl: not a URL: "),
        ({"baseUrl": "sftp://u:geheim@h/", "baseDir": "/"}, "baseUrl: contains a password"),
        ({"header": {"size": "1"}}, "header: size: set by sr_post itself"),
        ({"topicPrefix": ""}, "topicPrefix: is empty"),
        ({"reportMaxAge": "30"}, "reportMaxAge: not an age like"),
        ({"reportMaxAge": ""}, "reportMaxAge: not an age like"),
        ({"tlsCaFile": "/nowhere/ca.pem"}, "tlsCaFile: no such file: /nowhere/ca.pem"),
    ],
)
def test_a_post_configuration_that_cannot_work_is_refused(
    values: dict[str, Any], text: str
) -> None:
    (line,) = problems(PostConfig, **{"broker": BROKER, **values})
    assert line.startswith(text)
    assert "geheim" not in line


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"broker": "amqps://u:geheim@h/"}, "broker: contains a password; passwords belong into"),
        ({"sendTo": "sftp://u:geheim@h/"}, "sendTo: contains a password; passwords belong into"),
        ({"broker": "mqtt://u@h/"}, "broker: not a URL like amqps://user@host/ or amqp://user"),
        ({"broker": "amqps://h/"}, "broker: user or host is missing"),
        ({"sendTo": "sftp://u@h:99999/"}, "sendTo: its port is no number up to 65535"),
        ({"sendTo": "sftp://u@h/incoming"}, "sendTo: must end after the host"),
        ({"directory": "a/../b"}, "directory: .. is not allowed"),
        ({"directory": "${HOME}"}, "directory: unknown variable ${HOME}"),
        ({"flatten": ""}, "flatten: is empty"),
        ({"flatten": "a/"}, "flatten: contains /"),
    ],
)
def test_a_sender_configuration_that_cannot_work_is_refused(
    values: dict[str, Any], text: str
) -> None:
    (line,) = problems(SenderConfig, **{"broker": BROKER, "sendTo": SEND_TO, **values})
    assert line.startswith(text)
    assert "geheim" not in line


@pytest.mark.parametrize(
    "flags",
    [["--tidy", "--drain"], ["--dry-run"], ["--older-than", "1d"], ["--declare", "--drain"]],
)
def test_flags_of_a_sender_that_contradict_each_other_are_one_line_with_status_2(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sender.main(flags) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("component", COMMANDS)
def test_every_command_makes_a_parser_with_a_flag_for_every_option(component: str) -> None:
    parser = importlib.import_module(f"sarra_lite.commands.{component}").make_parser()
    assert parser.prog == f"sr_{component}"
    text = parser.format_help()
    for option in options(COMMANDS[component]):
        for flag in option.flag.split("/"):
            assert f"{flag} " in text or f"{flag}," in text, option.key


def test_the_command_line_overrides_the_file(home: Path) -> None:
    file = home / "sender" / "science.toml"
    file.write_text(
        f'broker = "{BROKER}"\nsendTo = "{SEND_TO}"\nconnections = 3\nsubtopic = ["a"]\n'
        'permCopy = true\nblockSize = "1Mi"\nrules = [{ accept = "x" }]\n'
    )
    _, config = arguments.configured(
        sender.make_parser(),
        [
            *("-c", "science", "-v", "--connections", "5", "--subtopic", "b.#"),
            *("--subtopic", "c.#", "--no-perm-copy", "--timeout", "2m", "--perm-default", "600"),
            *("--reject", ".*tmp", "--accept", ".*", "--block-size", "10Mi"),
        ],
        SenderConfig,
    )
    assert config.name == "science"
    assert config.connections == 5
    assert config.subtopic == ["b.#", "c.#"]
    assert config.permCopy is False
    assert config.timeout == 120
    assert config.permDefault == 0o600
    assert [(rule.accept, rule.reject) for rule in config.rules] == [(None, ".*tmp"), (".*", None)]
    assert config.blockSize == 10 * 1024**2
    assert config.logLevel == "debug"


@pytest.mark.usefixtures("home")
def test_a_command_line_without_a_file_can_be_sufficient() -> None:
    argv = ["--broker", BROKER, "--header", "a=b", "--header", "c=d=e"]
    _, config = arguments.configured(post.make_parser(), argv, PostConfig)
    assert config.header == {"a": "b", "c": "d=e"}
    assert config.name == "default"


def test_an_error_names_the_flag_or_the_file_and_key(home: Path) -> None:
    file = home / "sender" / "science.toml"
    file.write_text(f'broker = "{BROKER}"\nsendTo = "{SEND_TO}"\nstrip = "x"\n')
    argv = ["-c", "science", "--block-size", "big", "--accept", "*"]
    with pytest.raises(ConfigError) as caught:
        arguments.configured(sender.make_parser(), argv, SenderConfig)
    assert str(caught.value).splitlines() == [
        f"{file}: strip: expected a whole number, got a text",
        "--block-size: not a size like 64Mi: 'big'",
        "--accept/--reject: rule 1: not a regular expression: nothing to repeat at position 0",
    ]


@pytest.mark.usefixtures("home")
def test_without_file_and_flags_one_line_names_both_and_how_to_begin() -> None:
    with pytest.raises(ConfigError) as caught:
        arguments.configured(sender.make_parser(), [], SenderConfig)
    file = files.find("sender", "default")
    assert str(caught.value) == (
        f"{file}: no such configuration, and no --broker and --send-to given; begin with:"
        f" mkdir -p {file.parent} && sr_config example sender > {file}"
    )


def test_a_named_configuration_must_exist_and_be_toml(home: Path) -> None:
    with pytest.raises(ConfigError, match="no such configuration"):
        arguments.configured(sender.make_parser(), ["-c", "nosuch"], SenderConfig)
    (home / "sender" / "bad.toml").write_text("broker = \n")
    with pytest.raises(ConfigError, match=r"bad\.toml: Invalid value .at line 1"):
        arguments.configured(sender.make_parser(), ["-c", "bad"], SenderConfig)


@pytest.mark.parametrize(
    "argv", [["--connections", "many"], ["--stream", "telnet"], ["--nosuch"], ["--conn", "1"]]
)
def test_a_wrong_command_line_is_one_line_with_status_2(argv: list[str]) -> None:
    with pytest.raises(UsageError, match=r"^[^\n]*; see sr_sender --help$"):
        sender.make_parser().parse_args(argv)


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("argv", "text"),
    [
        ([], "no PATH given; see sr_post --help"),
        (["--dry-run", "--watch", "x"], "--dry-run announces nothing"),
        (["--timeout", "soon", "x"], "argument --timeout: not a duration like 5m: 'soon'"),
    ],
)
def test_the_command_line_is_checked_before_the_configuration(
    argv: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert post.main(argv) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert text in line


def test_a_user_without_a_home_directory_has_the_configurations_of_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    # systemd assigns such a number, which has no entry in passwd.
    monkeypatch.setattr("os.getuid", lambda: 61_999)
    assert files.directories() == [Path("/etc/sarra_lite")]


def test_configurations_of_the_user_come_before_those_of_the_host(home: Path) -> None:
    assert files.directories() == [home, Path("/etc/sarra_lite")]
