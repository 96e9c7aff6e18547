"""sr_config reports all errors at once, shows the values in effect, and prints an example."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING

import pytest

from sarra_lite import __version__
from sarra_lite.commands import config
from sarra_lite.config.commands import COMMANDS
from sarra_lite.config.schema import options
from sarra_lite.errors import EXIT_STATUSES

if TYPE_CHECKING:
    from pathlib import Path

BROKER = "amqps://uearnest@svrsftp.science.gc.ca/"
SECRET = "amqps://uearnest:geheim@svrsftp.science.gc.ca/\n"
SENDER = f'broker = "{BROKER}"\nsendTo = "sftp://ear001@sftp.science.gc.ca/"\n'

Output = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Directory of a user's configurations, with a password."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    folder = tmp_path / "sarra_lite"
    for component in COMMANDS:
        (folder / component).mkdir(parents=True)
    secrets(folder, SECRET)
    return folder


def secrets(home: Path, text: str, mode: int = 0o600) -> Path:
    file = home / "credentials.conf"
    file.write_text(text)
    file.chmod(mode)
    return file


def errors(capsys: Output, *argv: str) -> list[str]:
    """Return the errors of a check, which must end with status 78."""
    assert config.main(["check", *argv]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    return [line.partition(": error: ")[2] for line in err.splitlines()]


@pytest.mark.parametrize("component", COMMANDS)
def test_the_example_of_every_command_passes_the_check(
    home: Path, capsys: Output, component: str
) -> None:
    assert config.main(["example", component]) == 0
    text = capsys.readouterr().out
    file = home / component / "default.toml"
    file.write_text(text)
    assert config.main(["check", component, "default"]) == 0
    assert capsys.readouterr() == (f"{file}: ok\n", "")


@pytest.mark.parametrize("component", COMMANDS)
def test_the_example_has_every_option_and_sets_only_required_ones(
    capsys: Output, component: str
) -> None:
    config.main(["example", f"sr_{component}"])
    text = capsys.readouterr().out
    required = {option.key for option in options(COMMANDS[component]) if option.required}
    assert tomllib.loads(text).keys() == required
    for option in options(COMMANDS[component]):
        assert f"\n{'' if option.required else '#'}{option.key} = {option.example}\n" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_errors_of_configuration_and_credentials_are_reported_together(
    home: Path, capsys: Output
) -> None:
    file = home / "sender" / "bad.toml"
    file.write_text(
        SENDER + 'blokSize = 3\npermCopy = "x"\nflatten = ""\nrules = [{ accpt = 1 }]\n'
    )
    key = secrets(home, "sftp://ear001@sftp.science.gc.ca/ ssh_keyfile=/nowhere/key\n")
    assert errors(capsys, "sender", "bad") == [
        f"{file}: blokSize: unknown key; did you mean blockSize?",
        f"{file}: permCopy: expected true or false, got a text",
        f"{file}: rules: rule 1: accpt: unknown key; did you mean accept?",
        f"{file}: flatten: is empty",
        f"{key}: no password for {BROKER}; add the line: {BROKER.replace('@', ':PASSWORD@')}",
        f"{key}: ssh_keyfile of sftp://ear001@sftp.science.gc.ca/: no such file: /nowhere/key",
    ]


def test_an_sftp_key_is_checked_even_if_the_broker_is_wrong(home: Path, capsys: Output) -> None:
    (home / "sender" / "bad.toml").write_text(SENDER.replace("amqps:", "mqtt:"))
    secrets(home, "sftp://ear001@sftp.science.gc.ca/ ssh_keyfile=/nowhere/key\n")
    broker, key = errors(capsys, "sender", "bad")
    assert "broker: not a URL like" in broker
    assert "no such file: /nowhere/key" in key


def test_credentials_that_others_may_read_are_reported_once(home: Path, capsys: Output) -> None:
    (home / "sender" / "default.toml").write_text(SENDER)
    file = secrets(home, SECRET, 0o644)
    assert errors(capsys, "sender") == [
        f"{file}: others may read it (mode 0644); do: chmod 600 {file}"
    ]


def test_a_password_in_a_url_is_refused_and_not_repeated(home: Path, capsys: Output) -> None:
    file = home / "log" / "default.toml"
    file.write_text('broker = "amqps://u:geheim@h/"\n')
    lines = errors(capsys, "log", str(file))
    assert lines[0] == (
        f"{file}: broker: contains a password; passwords belong into credentials.conf only"
    )
    assert "geheim" not in "".join(lines)


def test_without_a_name_all_configurations_of_a_command_are_checked(
    home: Path, capsys: Output
) -> None:
    for name in ("one", "two"):
        (home / "sender" / f"{name}.toml").write_text(SENDER)
    assert config.main(["check", "sr_sender"]) == 0
    assert capsys.readouterr().out == (f"{home}/sender/one.toml: ok\n{home}/sender/two.toml: ok\n")
    (home / "sender" / "two.toml").write_text("")
    assert config.main(["check", "sender"]) == 78
    out, err = capsys.readouterr()
    assert out == f"{home}/sender/one.toml: ok\n"
    assert f"{home}/sender/two.toml: sendTo is missing" in err


def test_a_missing_configuration_is_reported_with_the_way_to_get_one(
    home: Path, capsys: Output
) -> None:
    (line,) = errors(capsys, "post")
    assert line.startswith(f"{home}/post/default.toml: no such configuration; sr_config example")


def test_show_prints_each_value_in_effect_and_its_origin(home: Path, capsys: Output) -> None:
    file = home / "sender" / "science.toml"
    file.write_text(SENDER + 'blockSize = "64Mi"\npermDefault = "0640"\nconnections = 4\n')
    assert config.main(["show", "sender", "science"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for line in (
        f'broker = "{BROKER}"  # from the file',
        'blockSize = "64Mi"  # from the file',
        'permDefault = "640"  # from the file',
        'permDirDefault = "775"  # default',
        'timeout = "1m"  # default',
        "prefetch = 0  # default, which makes 64",
        '# exchange = "xac_earnest"  # by default',
        '# queueName = "q_uearnest_science"  # by default',
        "# knownHosts is not set",
        "# topics bound to the queue: v03.post.# v03.block.# v03.finish.#",
        f"# {home}/credentials.conf has a password for {BROKER}",
        f"# {home}/credentials.conf has no password for sftp://ear001@sftp.science.gc.ca/",
    ):
        assert line in lines, line


@pytest.mark.parametrize("component", COMMANDS)
def test_the_output_of_show_is_a_valid_configuration(
    home: Path, capsys: Output, component: str
) -> None:
    file = home / component / "default.toml"
    rules = 'rules = [{ accept = "a" }, { reject = "b" }]\n'
    head = SENDER.splitlines()[0] + "\n"
    file.write_text({"sender": SENDER + rules, "post": head + rules}.get(component, head))
    config.main(["show", component])
    first = capsys.readouterr().out
    file.write_text(first)
    assert config.main(["check", component]) == 0
    capsys.readouterr()
    config.main(["show", component])
    assert capsys.readouterr().out.replace("from the file", "default") == first.replace(
        "from the file", "default"
    )


def test_show_never_prints_a_password(home: Path, capsys: Output) -> None:
    (home / "sender" / "default.toml").write_text(SENDER)
    key = "ssh_keyfile=/the/key,bearer_token=geheim"
    secrets(home, f"{SECRET}sftp://ear001:geheim@sftp.science.gc.ca/ {key}\n")
    assert config.main(["show", "sender"]) == 0
    out, err = capsys.readouterr()
    assert "has a password, and ssh_keyfile /the/key for sftp://ear001@" in out
    assert "geheim" not in out + err


def test_show_reports_errors_of_the_credentials(home: Path, capsys: Output) -> None:
    (home / "log" / "default.toml").write_text(SENDER.splitlines()[0])
    secrets(home, SECRET, 0o604)
    assert config.main(["show", "log"]) == 0
    out = capsys.readouterr().out
    assert "others may read it (mode 0604)" in out
    assert "geheim" not in out


def test_show_of_an_invalid_configuration_ends_with_status_78(home: Path, capsys: Output) -> None:
    (home / "log" / "default.toml").write_text("x = 1\n")
    assert config.main(["show", "log"]) == 78
    assert "x: unknown key" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["check"], ["check", "ftp"], ["mend"], ["convert"]])
def test_a_wrong_command_line_is_one_line_with_status_2(argv: list[str], capsys: Output) -> None:
    assert config.main(argv) == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.endswith("--help")


def test_help_prints_every_exit_status_and_version_prints_the_version(capsys: Output) -> None:
    for flag, texts in (("--help", EXIT_STATUSES.values()), ("--version", [__version__])):
        with pytest.raises(SystemExit) as caught:
            config.main([flag])
        assert caught.value.code == 0
        out = capsys.readouterr().out
        assert all(text in out for text in texts)


@pytest.mark.parametrize("module", ["config", *COMMANDS])
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_every_command_prints_a_completion_script(module: str, shell: str, tmp_path: Path) -> None:
    program = f"from sarra_lite.commands.{module} import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "--print-completion", shell],
        capture_output=True,
        text=True,
        check=True,
    )
    program = {"config": "sr_config"}.get(module, f"sr_{module}")
    assert program in done.stdout
    if shutil.which(shell):
        script = tmp_path / "script"
        script.write_text(done.stdout)
        subprocess.run([shell, "-n", script], check=True)


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ([""], {"check", "show", "example", "convert"}),
        (["check", ""], set(COMMANDS)),
        (["convert", "--component", "w"], {"watch"}),
    ],
)
def test_bash_completes_actions_and_commands(
    typed: list[str], offered: set[str], tmp_path: Path, capsys: Output
) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    with pytest.raises(SystemExit):
        config.main(["--print-completion", "bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out)
    words = " ".join(f"'{word}'" for word in ["sr_config", *typed])
    lines = f"""
        . {tmp_path}/script
        COMP_WORDS=({words}) COMP_CWORD={len(typed)}
        $(complete -p sr_config | sed 's/.*-F \\([^ ]*\\).*/\\1/')
        echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        [bash, "-c", lines], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert offered <= set(done.stdout.split())
