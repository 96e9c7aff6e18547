"""Rules decide which files are accepted and where they go, never outside the directory set."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.config import rules
from sarra_lite.config.commands import PostConfig, SenderConfig
from sarra_lite.config.credentials import parse_url
from sarra_lite.config.rules import Rule
from sarra_lite.errors import TransferError
from sarra_lite.messages.v03 import Announcement

PATH = "data/ocean/deep/wave.nc"


def config(*sender_rules: Rule, **values: Any) -> SenderConfig:
    return SenderConfig(
        broker=parse_url("amqp://uearnest@broker.example/", ["amqp", "amqps"]),
        sendTo=parse_url("sftp://ear001@host.example/", ["sftp"]),
        rules=list(sender_rules),
        **values,
    )


def announcement(path: str = PATH, source: str | None = "uearnest") -> Announcement:
    return Announcement(
        pub_time="20261123T222859.5", base_url="file:/", rel_path=path, source=source
    )


def destination(sender: SenderConfig, path: str = PATH, source: str | None = "uearnest") -> str:
    return sender.destination_path(announcement(path, source), path)


def assert_refused(sender: SenderConfig, path: str, reason: str) -> None:
    with pytest.raises(TransferError, match=f"^{reason} of configuration default/") as caught:
        destination(sender, path)
    assert caught.value.code == 404


def test_without_rules_every_file_is_accepted_and_directories_are_mirrored() -> None:
    assert destination(config()) == PATH
    assert destination(config(directory="/in")) == f"/in/{PATH}"


def test_the_first_rule_that_matches_decides() -> None:
    sender = config(
        Rule(reject=".*[.]tmp"), Rule(accept=".*ocean", directory="a"), Rule(accept=".*")
    )
    assert destination(sender) == f"a/{PATH}"
    assert destination(sender, "data/other") == "data/other"
    assert_refused(sender, "ocean/a.tmp", "rejected by rule 1")


def test_rules_match_from_the_beginning_of_base_url_and_path() -> None:
    sender = config(Rule(accept="file:/data/"), acceptUnmatched=False)
    assert destination(sender) == PATH
    assert_refused(sender, "other/data/x", "no rule accepts it")


def test_a_newline_in_a_name_does_not_bypass_a_rule() -> None:
    sender = config(Rule(reject=".*secret"))
    assert_refused(sender, "a\nsecret", "rejected by rule 1")


@pytest.mark.parametrize("accepted", [True, False])
def test_a_file_that_no_rule_matches_is_accepted_or_not(accepted: bool) -> None:  # noqa: FBT001
    post = PostConfig(
        broker=parse_url("amqp://u@h/", ["amqp", "amqps"]),
        rules=[Rule(reject=".*x$")],
        acceptUnmatched=accepted,
    )
    assert post.accepts(announcement("y")) is accepted
    assert post.accepts(announcement("x")) is False


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"strip": 1}, "ocean/deep/wave.nc"),
        ({"strip": 9}, "wave.nc"),
        ({"mirror": False}, "wave.nc"),
        ({"flatten": "-"}, "data-ocean-deep-wave.nc"),
        ({"flatten": "-", "strip": 2}, "deep-wave.nc"),
        ({"flatten": "-", "mirror": False}, "data-ocean-deep-wave.nc"),
    ],
)
def test_mirror_strip_and_flatten_change_the_path(values: dict[str, Any], path: str) -> None:
    assert destination(config(**values)) == path
    assert destination(config(Rule(accept=".*", **values))) == path


def test_options_of_a_rule_override_those_of_the_configuration() -> None:
    rule = Rule(accept=".*", directory="", mirror=True, strip=0, flatten="/")
    sender = config(rule, directory="/in", mirror=False, strip=2, flatten="-")
    assert destination(sender) == PATH


@pytest.mark.parametrize(
    ("template", "directory"),
    [
        ("${%Y%m%d}/${%H}", "20261123/22/"),
        ("by/${source}", "by/uearnest/"),
        ("${BROKER_USER}", "uearnest/"),
        ("${0}/${1}", "ocean/deep/"),
        ("${7}", ""),
        ("/${0}", "/ocean/"),
    ],
)
def test_variables_in_a_directory_are_replaced(template: str, directory: str) -> None:
    sender = config(Rule(accept=".*/(ocean)/(deep)/", directory=template, mirror=False))
    assert destination(sender) == f"{directory}wave.nc"


def test_the_variable_broker_user_is_the_senders_own_user() -> None:
    assert destination(config(directory="${BROKER_USER}", mirror=False), source="other") == (
        "uearnest/wave.nc"
    )


def test_an_announcement_without_source_adds_no_empty_directory() -> None:
    assert (
        destination(config(directory="/in/${source}", mirror=False), source=None) == "/in/wave.nc"
    )


def test_a_variable_cannot_make_a_relative_directory_absolute() -> None:
    sender = config(directory="${source}", mirror=False)
    assert destination(sender, source="/etc") == "etc/wave.nc"


@given(
    source=st.lists(st.sampled_from(["..", ".", "", "a", "/", "b..", "\0", "${0}"])).map("/".join),
    path=st.lists(st.sampled_from(["a", "..b", "c"]), min_size=1).map("/".join),
    template=st.sampled_from(["${source}", "in/${source}", "/in/${source}/x", "${0}${source}"]),
    mirror=st.booleans(),
)
def test_the_value_of_a_variable_cannot_leave_the_directory(
    source: str,
    path: str,
    template: str,
    mirror: bool,  # noqa: FBT001
) -> None:
    result = destination(
        config(Rule(accept="file:(.*)", directory=template), mirror=mirror), path, source
    )
    assert ".." not in result.split("/")
    assert result.startswith("/") == template.startswith("/")
    if template.startswith("/in"):
        assert result.startswith("/in/")


@given(template=st.text(alphabet="${}%Yab/.source0", max_size=30), source=st.text(max_size=5))
def test_variables_can_be_replaced_in_every_directory_that_passes_the_check(
    template: str, source: str
) -> None:
    if not list(rules.path_problems(template)):
        assert ".." not in destination(config(directory=template), source=source).split("/")


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (Rule(), "needs either accept or reject"),
        (Rule(accept="a", reject="b"), "needs either accept or reject"),
        (Rule(accept="a("), "not a regular expression: missing ), unterminated subpattern"),
        (Rule(accept="a", directory="x/.."), "directory: .. is not allowed"),
        (Rule(accept="a", directory="${TODAY}"), "directory: unknown variable ${TODAY}"),
        (Rule(accept="a", directory="${%o-1d%Y}"), "directory: unknown variable ${%o-1d%Y}"),
        (Rule(accept="a", directory="${%}"), "directory: unknown variable ${%}"),
        (Rule(accept="a", directory="${%D}"), "directory: unknown variable ${%D}"),
        (Rule(accept="(a)", directory="${1}"), "directory: ${1}: no rule has so many groups"),
        (Rule(accept="a", directory="~/in"), "directory: only shells expand ~"),
        (Rule(accept="a", flatten=""), "flatten: is empty"),
        (Rule(accept="a", flatten="a/"), "flatten: contains /"),
    ],
)
def test_an_invalid_rule_is_reported_by_its_number(rule: Rule, text: str) -> None:
    (line,) = rules.problems([Rule(accept="(ok)", directory="${%Y%m%d}/${0}"), rule])
    assert line.startswith(f"rule 2: {text}")
