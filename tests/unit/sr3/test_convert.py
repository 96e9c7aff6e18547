"""sr_config convert: configurations of sr3 become ours; lines without equivalent are listed."""

from __future__ import annotations

import socket
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from sarra_lite.commands import config
from sarra_lite.config import files
from sarra_lite.config.commands import COMMANDS
from sarra_lite.config.schema import build
from sarra_lite.config.shared import EVENTS
from sarra_lite.errors import ConfigError, UsageError
from sarra_lite.sr3 import convert

if TYPE_CHECKING:
    from pathlib import Path


# Configurations that work with metpx-sr3 3.3.1.
POST = """\
post_broker amqp://uearnest@127.0.0.77/
post_exchange xs_uearnest
post_baseUrl file:/
post_baseDir /
post_format v03
identity sha512
"""
SENDER = """\
broker amqp://uearnest@127.0.0.77/
exchange xs_uearnest
queueName q_uearnest.toscience
subtopic #
sendTo sftp://root@127.0.0.1:32222/
directory /data/dest
mirror True
accept .*
instances 1
"""
BESIDE_SR3 = {
    "exchangePrefix": "xs_",
    "userPrefix": "",
    "topicPrefix": "v03",
    "queueType": "classic",
    "events": list(EVENTS),
}
NEEDED = "broker amqp://u@h/\nsendTo sftp://u@h/\nqueueName q_u\n"


@pytest.fixture
def sr3(tmp_path: Path) -> Path:
    for component in ("post", "watch", "sender", "other"):
        (tmp_path / component).mkdir()
    return tmp_path


def converted(sr3: Path, text: str, component: str = "sender") -> convert.Converter:
    file = sr3 / component / "toscience.conf"
    file.write_text(text)
    return convert.convert(file)


def values(sr3: Path, text: str, component: str = "sender") -> dict[str, Any]:
    """Return the converted values, read from TOML and checked, without BESIDE_SR3."""
    result = converted(sr3, text, component)
    read = tomllib.loads(files.document(result.values, result.remarks))
    build(COMMANDS[result.component], read, "out")
    return {key: value for key, value in read.items() if BESIDE_SR3.get(key) != value}


def notes(sr3: Path, text: str, component: str = "sender") -> list[str]:
    """Return the notes without their file: line number, option and text."""
    return [note.partition(": line ")[2] for note in converted(sr3, text, component).notes]


def path_options(sr3: Path, text: str) -> dict[str, Any]:
    result = values(sr3, NEEDED + text)
    return {key: value for key, value in result.items() if f"{key} " not in NEEDED}


def test_a_post_of_sr3_is_converted(sr3: Path) -> None:
    assert values(sr3, POST, "post") == {
        "broker": "amqp://uearnest@127.0.0.77/",
        "exchange": "xs_uearnest",
        "baseUrl": "file:/",
        "baseDir": "/",
        "identity": "sha512",
    }
    assert notes(sr3, POST, "post") == ["5: post_format: nothing to do: messages are v03"]


def test_a_sender_of_sr3_is_converted(sr3: Path) -> None:
    assert values(sr3, SENDER) == {
        "broker": "amqp://uearnest@127.0.0.77/",
        "exchange": "xs_uearnest",
        "queueName": "q_uearnest.toscience",
        "subtopic": ["#"],
        "sendTo": "sftp://root@127.0.0.1:32222/",
        "directory": "/data/dest",
        "rules": [{"accept": ".*"}],
        "connections": 1,
    }
    assert notes(sr3, SENDER) == ["9: instances: one process with connections = 1 does their work"]


def test_exchange_topic_and_queue_remain_those_of_sr3(sr3: Path) -> None:
    result = converted(sr3, SENDER).values
    assert {key: result[key] for key in BESIDE_SR3} == BESIDE_SR3


def test_a_note_names_file_and_line_number(sr3: Path) -> None:
    note = "line 6: messageRateMax: the rate of announcements is not limited here"
    result = converted(sr3, NEEDED + "# comment\n\nmessageRateMax 5\n")
    assert result.notes == [f"{sr3}/sender/toscience.conf: {note}"]


def test_a_password_is_left_out_and_never_printed(sr3: Path) -> None:
    text = (
        "broker amqp://u:geheim#/x@h/\nsendTo sftp://u:geheim@h/\nreport_broker amqp://u:geheim@h"
    )
    result = converted(sr3, text)
    assert result.values["broker"] == "amqp://u@h/"
    assert result.values["sendTo"] == "sftp://u@h/"
    assert "geheim" not in str((result.values, result.remarks, result.notes))
    assert notes(sr3, text)[0] == (
        "1: broker: its password is left out; write it into credentials.conf, mode 0600"
    )


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("destination sftp://v@h/", "sendTo", "sftp://v@h/"),
        ("remoteUrl sftp://v@h/", "sendTo", "sftp://v@h/"),
        ("document_root /srv", "baseDir", "/srv"),
        ("base_dir /srv", "baseDir", "/srv"),
        ("queue_name q_u_x", "queueName", "q_u_x"),
        ("exchange_suffix old", "exchange", "xs_u_old"),
        ("byteRateMax 10Mi", "limit", "10Mi"),
        ("blocksize 10Mi", "blockSize", "10Mi"),
        ("preserve_mode off", "permCopy", False),
        ("preserve_time False", "timeCopy", False),
        ("chmod 0640", "permDefault", "640"),
        ("permDirDefault 2775", "permDirDefault", "2775"),
        ("accept_unmatched no", "acceptUnmatched", False),
        ("timeout 2m", "timeout", "2m"),
        ("retry_ttl 1d", "retry_ttl", "1d"),
        ("prefetch 1k", "prefetch", 1000),
        ("loglevel CRITICAL", "logLevel", "error"),
        ("debug", "logLevel", "debug"),
        ("topic_prefix v03/post", "topicPrefix", "v03.post"),
        ("subtopic data/ocean/#", "subtopic", ["data.ocean.#"]),
        ("instances 4", "connections", 4),
        ("sum s", "identity", "sha512"),
        ("sum d", "identity", "md5"),
        ("sum n", "identity", "none"),
        ("sum 0", "identity", "none"),
        ("sum z,s", "identity", "cod"),
        ("identity cod,sha512", "identity", "cod"),
        ("integrity md5", "identity", "md5"),
    ],
)
def test_old_names_and_values_are_converted(sr3: Path, line: str, key: str, value: object) -> None:
    text, component = (POST, "post") if key == "identity" else (NEEDED, "sender")
    assert values(sr3, f"{text}{line}\n", component)[key] == value


def test_a_later_line_overrides_an_earlier_one(sr3: Path) -> None:
    assert values(sr3, f"{NEEDED}timeout 5m\ntimeout 2m\n")["timeout"] == "2m"


def test_an_option_with_post_prefix_overrides_the_one_without(sr3: Path) -> None:
    text = "post_broker amqp://u@h/\nbroker amqp://other@h/\nexchange a\npost_exchange b\n"
    assert values(sr3, text, "post") == {"broker": "amqp://u@h/", "exchange": "b"}
    assert notes(sr3, text, "post") == ["2: broker: post_broker is what counts"]


def test_a_base_url_that_is_no_file_gets_the_base_directory_of_sr3(sr3: Path) -> None:
    text = "post_broker amqp://u@h/\npost_base_url {}\n"
    assert values(sr3, text.format("sftp://u@h/srv"), "post")["baseDir"] == "/srv"
    assert values(sr3, text.format("https://h/srv"), "post")["baseDir"] == "/"


def test_headers_of_all_lines_are_collected(sr3: Path) -> None:
    text = f"{POST}header project=ocean\nheader a=b=c\nheader wrong\n"
    assert values(sr3, text, "post")["header"] == {"project": "ocean", "a": "b=c"}
    assert notes(sr3, text, "post")[-1] == "9: header: not a field and its value, joined by ="


def test_path_options_apply_to_the_accept_lines_after_them(sr3: Path) -> None:
    text = """
directory /one
strip 2
accept .*one
reject .*tmp
directory /two
strip 0
flatten -
mirror off
accept .*two
directory /three
mirror on
flatten /
accept .*three
"""
    assert path_options(sr3, text) == {
        "directory": "/three",
        "rules": [
            {"accept": ".*one", "directory": "/one", "strip": 2},
            {"reject": ".*tmp"},
            {"accept": ".*two", "directory": "/two", "mirror": False, "flatten": "-"},
            {"accept": ".*three"},
        ],
    }


def test_without_a_directory_files_go_below_the_root_directory_as_in_sr3(sr3: Path) -> None:
    assert path_options(sr3, "accept a\ndirectory in\n") == {
        "directory": "in",
        "rules": [{"accept": "a", "directory": "/"}],
    }
    assert path_options(sr3, "post_base_dir /srv\n") == {"directory": "/srv"}


def test_groups_of_an_expression_are_renumbered_from_zero(sr3: Path) -> None:
    text = "directory /${1}/${2}\naccept .*/(a)/(b)/(c)/\n"
    assert path_options(sr3, text)["directory"] == "/${0}/${1}"
    old = "sundew_compat_regex_first_match_is_zero True\n"
    assert path_options(sr3, text + old)["directory"] == "/${1}/${2}"
    assert notes(sr3, NEEDED + "directory /${0}\naccept a\n") == [
        "4: directory: ${0}: put the whole regular expression into ( ) for this"
    ]


def test_variables_in_a_directory_are_converted(sr3: Path) -> None:
    text = "directory /${YYYYMMDD}/${HH}/${JJJ}/${SOURCE}/${%Y}/${BROKER_USER}\n"
    assert path_options(sr3, text)["directory"] == "/${%Y%m%d}/${%H}/${%j}/${source}/${%Y}/u"


@pytest.mark.parametrize("name", ["YYYYMMDD-1D", "%o-1d%Y", "T1", "NOSUCH"])
def test_an_unknown_variable_in_a_directory_is_noted(sr3: Path, name: str) -> None:
    assert notes(sr3, f"{NEEDED}directory /${{{name}}}\n") == [
        f"4: directory: unknown variable ${{{name}}}; change it by hand"
    ]


def test_declared_variables_and_the_user_name_are_replaced_by_their_values(sr3: Path) -> None:
    text = "declare env SITE=burlington\nqueueName q_${BROKER_USER}.${SITE}.${PROGRAM}.${CONFIG}\n"
    assert values(sr3, NEEDED + text)["queueName"] == "q_u.burlington.sender.toscience"


def test_a_line_with_an_unknown_variable_is_left_out_with_a_note(sr3: Path) -> None:
    text = "broker amqp://u@h/\nsendTo sftp://u@h/\nqueueName q_u_${RAND8}\naccept .*${X}\n"
    assert "queueName" not in values(sr3, text)
    assert notes(sr3, text) == [
        "3: queueName: ${RAND8} is not known here; write what it stands for",
        "4: accept: ${X} is not known here; write what it stands for",
    ]
    assert any("queueName = that name" in remark for remark in converted(sr3, text).remarks)


def test_included_files_are_read_where_they_are_included(sr3: Path) -> None:
    (sr3 / "sender" / "beside.inc").write_text("timeout 2m\nbatch 3\n")
    (sr3 / "above.inc").write_text("include above.inc\nstrip 1\n")
    text = f"{NEEDED}timeout 1m\ninclude beside.inc\ninclude above.inc\ninclude nowhere.inc\n"
    assert values(sr3, text)["timeout"] == "2m"
    assert values(sr3, text)["strip"] == 1
    assert [note.removeprefix(f"{sr3}/") for note in converted(sr3, text).notes] == [
        "sender/beside.inc: line 2: batch: nothing to do: connections are kept",
        "above.inc: line 1: include: above.inc includes itself",
        "sender/toscience.conf: line 7: include: no such file: nowhere.inc",
    ]


def test_default_conf_is_read_first(sr3: Path) -> None:
    (sr3 / "default.conf").write_text("timeout 2m\nstrip 1\n")
    result = values(sr3, NEEDED + "strip 2\n")
    assert (result["timeout"], result["strip"]) == ("2m", 2)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("callback report", "plugins are not run here; sr_log --follow"),
        ("on_message msg_log", "plugins are not run here; sr_log --follow"),
        ("strip .*data", "only a number of directories can be left out"),
        ("accept ( ", "not a regular expression, so sr3 passes over it"),
        ("accept .* NAME", "NAME is left out: files keep their name"),
        ("sendTo ftp://u@h/", "not a URL like sftp://user@host/"),
        ("sendTo sftp://u@h/in/", "/in/ is left out; directory alone says where files go"),
        ("broker mqtt://u@h/", "not a URL like amqps://user@host/ or amqp://user@host/"),
        ("topicPrefix v02.post", "v02 is not spoken here"),
        ("permDefault 0", "0 leaves the mode to the SFTP host; left at the default"),
        ("permDefault o", "invalid literal for int() with base 8: 'o'; left at the default"),
        ("timeout 0", "0 stands for without end; left at the default"),
        ("retry_ttl 1x", "not a duration like 5m: '1x'; left at the default"),
        ("instances 100", "one process has between 1 and 64 connections"),
        ("logLevel loud", "loud is no level here; left at the default"),
        ("queueName", "has no value"),
        ("declare source u", "accounts and exchanges are made by whoever runs the broker"),
        ("post_exchange x", "nothing to do: a sender posts no announcements"),
        ("inflight .tmp", "nothing to do: files get their name when they are complete"),
        ("expire 5m", "not kept: the queue lives"),
        ("neverHeardOf it", "has no equivalent here"),
    ],
)
def test_a_line_without_equivalent_is_noted(sr3: Path, line: str, text: str) -> None:
    (note,) = notes(sr3, f"{NEEDED}{line}\n")
    assert note.startswith(f"4: {line.split(maxsplit=1)[0]}: {text}")
    values(sr3, f"{NEEDED}{line}\n")


def test_topics_of_two_exchanges_are_noted(sr3: Path) -> None:
    text = "exchange a\nsubtopic x.#\nexchange b\nsubtopic y.#\n"
    assert notes(sr3, NEEDED + text) == [
        "7: subtopic: all topics are bound with the last exchange and topicPrefix here"
    ]


def test_an_exchange_of_other_users_gives_a_remark(sr3: Path) -> None:
    remarks = converted(sr3, NEEDED + "exchange xpublic\n").remarks[1:]
    assert any("acceptUsers" in remark for remark in remarks)


@pytest.mark.parametrize(
    ("line", "events"),
    [
        ("", EVENTS),
        ("fileEvents create,delete,link,mkdir,modify,rename,rmdir", EVENTS),
        ("events create|modify", None),
        ("events create,modify", ("create", "modify", "attributes")),
        ("fileEvents create, link", ("create", "link")),
        ("fileEvents -delete,-rmdir", EVENTS[:-1]),
        ("fileEvents create\nfileEvents +mkdir", ("create", "mkdir")),
        ("fileEvents None", ()),
    ],
)
@pytest.mark.parametrize("component", ["sender", "watch"])
def test_the_events_are_those_of_sr3_and_removals_are_told(
    sr3: Path, line: str, events: tuple[str, ...] | None, component: str
) -> None:
    text = f"{NEEDED if component == 'sender' else POST}{line}\n"
    result = converted(sr3, text, component)
    if events is None:
        events = ()
        assert "no such event here" in result.notes[-1]
    assert result.values["events"] == list(events)
    told = [remark for remark in result.remarks if remark.startswith("Removals will be made: ")]
    assert told == result.events.warnings
    assert bool(told) == bool({"rename", "remove"} & set(events))


def test_mirror_of_a_watch_of_sr3_asks_for_no_removals(sr3: Path) -> None:
    result = converted(sr3, f"{POST}mirror True\nfileEvents create\n", "watch")
    assert "mirror" not in result.values
    assert "only senders say where files go" in result.notes[-1]


def test_convert_says_in_its_output_that_removals_will_be_made(
    sr3: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sr3 / "sender" / "toscience.conf"
    file.write_text(NEEDED)
    assert config.main(["convert", str(file)]) == 0
    output = capsys.readouterr()
    assert f"{file}: Removals will be made: what is removed or renamed" in output.err
    assert "# Removals will be made: " in output.out


def test_a_watch_becomes_a_post_with_a_remark_how_to_run_it(sr3: Path) -> None:
    text = f"{POST}path /data/one\ndirectory /x\n"
    result = converted(sr3, text, "watch")
    assert result.component == "post"
    assert "Run it as: sr_post --watch -c toscience DIRECTORY" in result.remarks
    assert notes(sr3, text, "watch")[1:] == [
        "7: path: goes onto the command line: sr_post --watch -c toscience /data/one",
        "8: directory: only senders say where files go",
    ]


def test_the_component_is_that_of_the_directory_or_of_the_option(sr3: Path) -> None:
    with pytest.raises(UsageError, match="say --component"):
        converted(sr3, POST, "other")
    assert convert.convert(sr3 / "other" / "toscience.conf", "post").component == "post"


def test_a_missing_file_is_told_before_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert config.main(["convert", str(tmp_path / "nosuch.conf")]) == 2
    assert "nosuch.conf: no such file\n" in capsys.readouterr().err


def test_an_unreadable_file_is_an_error_that_names_it(sr3: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        convert.convert(sr3 / "sender" / "nosuch.conf")
    (sr3 / "sender" / "bad.conf").write_bytes(b"broker \xff\n")
    with pytest.raises(ConfigError, match=r"bad\.conf: "):
        convert.convert(sr3 / "sender" / "bad.conf")


def test_the_command_prints_toml_and_lists_notes_on_standard_error(
    sr3: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sr3 / "sender" / "toscience.conf"
    file.write_text(SENDER)
    assert config.main(["convert", str(file)]) == 0
    out, err = capsys.readouterr()
    assert tomllib.loads(out)["sendTo"] == "sftp://root@127.0.0.1:32222/"
    assert f"warning: {file}: line 9: instances: " in err


def test_an_incomplete_configuration_ends_with_status_1(
    sr3: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sr3 / "sender" / "toscience.conf"
    file.write_text("broker amqp://u@h/\n")
    assert config.main(["convert", str(file)]) == 1
    assert "error: toscience.toml: sendTo is missing" in capsys.readouterr().err


def test_a_written_configuration_is_found_by_name_and_passes_the_check(
    sr3: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(sr3))
    home = sr3 / "sarra_lite"
    for component, text in (("post", POST), ("sender", SENDER)):
        (sr3 / component / "toscience.conf").write_text(text)
        given = ["convert", str(sr3 / component / "toscience.conf"), "--output", str(home)]
        assert config.main(given) == 0
        assert config.main(given) == 2, "an existing file is not overwritten"
    secrets = home / "credentials.conf"
    secrets.write_text("amqp://uearnest:earnestpw@127.0.0.77/\n")
    secrets.chmod(0o600)
    capsys.readouterr()
    for component in ("post", "sender"):
        assert config.main(["check", component, "toscience"]) == 0
        assert capsys.readouterr().out == f"{home}/{component}/toscience.toml: ok\n"


def test_variables_of_the_environment_are_replaced_as_sr3_does(
    sr3: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/earnest")
    monkeypatch.setenv("PROJECT", "ocean")
    text = f"{NEEDED}baseDir ${{HOME}}/data\nqueueName q_${{HOSTNAME}}_${{PROJECT}}\n"
    result = converted(sr3, f"{text}directory ${{HOME}}/${{PROJECT}}\n")
    assert result.notes == []
    assert result.values["baseDir"] == "/home/earnest/data"
    assert result.values["queueName"] == f"q_{socket.gethostname()}_ocean"
    assert result.values["directory"] == "/home/earnest/ocean"


def test_none_leaves_an_option_unset(sr3: Path) -> None:
    assert path_options(sr3, "post_baseDir /x\npost_baseDir None\n")["directory"] == "/"
    unset = converted(sr3, f"{NEEDED}baseDir /x\nbaseDir None\nqueueName None\n")
    assert not {"baseDir", "queueName"} & unset.values.keys()
    assert unset.notes == []
    assert "baseDir" not in values(sr3, f"{POST}post_baseDir None\n", "post")


def test_an_alias_of_ssh_config_is_a_destination(sr3: Path) -> None:
    result = converted(sr3, "broker amqp://u@h/\nsendTo sftp://Science\n")
    assert (result.values["sendTo"], result.notes) == ("sftp://Science", [])


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ("accept .* NAME", 1),
        ("callback mine", 1),
        ("fileAgeMax 1d", 1),
        ("messageAgeMax 1d", 1),
        ("neverHeardOf it", 1),
        ("include nosuch.inc", 1),
        ("permDefault 0", 1),
        ("directory /${NOSUCH}", 1),
        ("strip .*data", 1),
        ("broker amqp://u:secret@h/", 0),
        ("accept ( ", 0),
        ("batch 100", 0),
        ("expire 5m", 0),
        ("instances 4", 0),
        ("logFormat x", 0),
        ("tlsRigour lax", 0),
        ("fileEvents create", 0),
    ],
)
def test_convert_ends_with_status_1_when_what_is_sent_may_differ(
    sr3: Path, line: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = sr3 / "sender" / "toscience.conf"
    file.write_text(f"{NEEDED}{line}\n")
    assert config.main(["convert", str(file)]) == status
    err = capsys.readouterr().err
    assert (": error: " in err) == (status == 1)
    assert ("what is sent may differ" in err) == (status == 1)
