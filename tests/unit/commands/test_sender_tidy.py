"""Where --tidy searches."""

from __future__ import annotations

from typing import Any

from sarra_lite.commands.sender_tidy import directories
from sarra_lite.config.rules import Rule
from tests.lab.jobs import sender_config


def test_the_directories_of_a_sender_are_those_of_its_rules_up_to_the_first_variable() -> None:
    rule = Rule(accept="(.*)", directory="/b/${0}/c")
    sender = sender_config(directory="a/${BROKER_USER}/${%Y%m%d}", rules=[rule])
    assert directories(sender) == {"a/u", "/b"}
    assert directories(sender_config(directory="in/${source}")) == {"in/u"}
    others: dict[str, Any] = {"acceptUsers": ["v"], "baseDir": "/data"}
    assert directories(sender_config(directory="/${source}", **others)) == {"/"}
    assert directories(sender_config()) == {""}
