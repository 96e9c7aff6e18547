"""The first rule that matches decides; where files go never leaves the directory that is set."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sarra_lite.config import matching, rules
from sarra_lite.config.commands import PostConfig, SenderConfig
from sarra_lite.config.matching import Rejected
from sarra_lite.config.rules import Rule
from sarra_lite.messages.v03 import Announcement

PATH = "data/ocean/deep/wave.nc"


def config(*given_rules: Rule, **values: Any) -> SenderConfig:
    return SenderConfig(
        broker="amqp://uearnest@broker.example/",
        sendTo="sftp://ear001@host.example/",
        rules=list(given_rules),
        **values,
    )


def announcement(path: str = PATH, source: str | None = "uearnest") -> Announcement:
    return Announcement(
        pub_time="20261123T222859.5", base_url="file:/", rel_path=path, source=source
    )


def place(sender: SenderConfig, path: str = PATH, source: str | None = "uearnest") -> str:
    found = matching.destination_path(sender, announcement(path, source), path)
    assert isinstance(found, str)
    return found


def test_without_rules_all_is_taken_and_directories_are_mirrored() -> None:
    assert place(config()) == PATH
    assert place(config(directory="/in")) == f"/in/{PATH}"


def test_the_first_rule_that_matches_decides() -> None:
    sender = config(
        Rule(reject=".*[.]tmp"), Rule(accept=".*ocean", directory="a"), Rule(accept=".*")
    )
    assert place(sender) == f"a/{PATH}"
    assert place(sender, "data/other") == "data/other"
    assert matching.destination_path(sender, announcement(), "x") != Rejected("rejected by rule 1")
    assert matching.destination_path(
        sender, announcement("ocean/a.tmp"), "ocean/a.tmp"
    ) == Rejected("rejected by rule 1")


def test_rules_match_from_the_beginning_of_base_url_and_path() -> None:
    sender = config(Rule(accept="file:/data/"), acceptUnmatched=False)
    assert place(sender) == PATH
    assert matching.destination_path(
        sender, announcement("other/data/x"), "other/data/x"
    ) == Rejected("no rule accepts it")


def test_a_newline_in_a_name_does_not_get_around_a_rule() -> None:
    sender = config(Rule(reject=".*secret"))
    assert isinstance(
        matching.destination_path(sender, announcement("a\nsecret"), "a\nsecret"), Rejected
    )


@pytest.mark.parametrize(("unmatched", "taken"), [(True, True), (False, False)])
def test_what_no_rule_matches_is_taken_or_not(unmatched: bool, taken: bool) -> None:  # noqa: FBT001
    post = PostConfig(broker="amqp://u@h/", rules=[Rule(reject=".*x$")], acceptUnmatched=unmatched)
    assert matching.accepts(post, announcement("y")) is taken
    assert matching.accepts(post, announcement("x")) is False


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
def test_mirror_strip_and_flatten_shape_the_path(values: dict[str, Any], path: str) -> None:
    assert place(config(**values)) == path
    assert place(config(Rule(accept=".*", **values))) == path


def test_a_rule_overrides_what_the_configuration_says() -> None:
    rule = Rule(accept=".*", directory="", mirror=True, strip=0, flatten="/")
    sender = config(rule, directory="/in", mirror=False, strip=2, flatten="-")
    assert place(sender) == PATH


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
def test_variables_in_a_directory_are_filled_in(template: str, directory: str) -> None:
    sender = config(Rule(accept=".*/(ocean)/(deep)/", directory=template, mirror=False))
    assert place(sender) == f"{directory}wave.nc"


def test_the_broker_user_is_ours_not_the_source() -> None:
    assert place(config(directory="${BROKER_USER}", mirror=False), source="other") == (
        "uearnest/wave.nc"
    )


def test_a_source_that_is_not_announced_leaves_no_empty_directory() -> None:
    assert place(config(directory="/in/${source}", mirror=False), source=None) == "/in/wave.nc"


def test_a_variable_cannot_make_a_relative_directory_absolute() -> None:
    sender = config(directory="${source}", mirror=False)
    assert place(sender, source="/etc") == "etc/wave.nc"


@given(
    source=st.lists(st.sampled_from(["..", ".", "", "a", "/", "b..", "\0", "${0}"])).map("/".join),
    path=st.lists(st.sampled_from(["a", "..b", "c"]), min_size=1).map("/".join),
    template=st.sampled_from(["${source}", "in/${source}", "/in/${source}/x", "${0}${source}"]),
    mirror=st.booleans(),
)
def test_what_a_variable_brings_cannot_climb_out(
    source: str,
    path: str,
    template: str,
    mirror: bool,  # noqa: FBT001
) -> None:
    placed = place(
        config(Rule(accept="file:(.*)", directory=template), mirror=mirror), path, source
    )
    assert ".." not in placed.split("/")
    assert placed.startswith("/") == template.startswith("/")
    if template.startswith("/in"):
        assert placed.startswith("/in/")


@given(template=st.text(alphabet="${}%Yab/.source0", max_size=30), source=st.text(max_size=5))
def test_every_directory_that_passes_the_check_can_be_filled_in(template: str, source: str) -> None:
    if not list(rules.template_problems(template)):
        assert ".." not in place(config(directory=template), source=source).split("/")


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
        (Rule(accept="a", flatten=""), "flatten: is empty"),
        (Rule(accept="a", flatten="a/"), "flatten: contains /"),
    ],
)
def test_a_rule_that_is_none_is_told_by_its_number(rule: Rule, text: str) -> None:
    (line,) = rules.problems([Rule(accept="ok", directory="${%Y%m%d}/${0}"), rule])
    assert line.startswith(f"rule 2: {text}")
