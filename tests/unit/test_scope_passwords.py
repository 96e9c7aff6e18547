"""The action of secrets.yml that completes the file of passwords."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.lab.plugins import load

if TYPE_CHECKING:
    from types import ModuleType


@pytest.fixture(scope="module")
def action() -> ModuleType:
    found: ModuleType = load("playbooks/action_plugins/scope_passwords.py")
    return found


COMPLETE = "scope_erlang_cookie: C\nscope_broker_passwords: {uann: a, ubob: b}\n"
FORMS = {
    "nothing": "",
    "comments only": "---\n# ours\n",
    "only foreign keys": "---\nmine: 1  # kept\n",
    "no passwords": "scope_erlang_cookie: C\nmine: [1, 2]\n",
    "no passwords yet": "scope_broker_passwords:\nscope_erlang_cookie: C\n",
    "null": "scope_broker_passwords: ~  # none\nscope_erlang_cookie: C\n",
    "an empty mapping": "scope_erlang_cookie: C\nscope_broker_passwords: {}\n",
    "one line": "scope_erlang_cookie: C\nscope_broker_passwords: {uann: a, other: o}\nmine: 1\n",
    "indented by four": "scope_broker_passwords:\n    # A\n    uann: a\n\n    other: o\nmine: 1\n",
    "not indented at the end": "mine: 1\nscope_broker_passwords:\n  uann: a\n  other: o",
    "an empty password": "scope_broker_passwords:\n  uann:\n  ubob: ''\n  other: o\n",
    "encrypted values": (
        "scope_erlang_cookie: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n"
        "scope_broker_passwords:\n  uann: !vault |\n    $ANSIBLE_VAULT;1.1;AES256\n    6162\n"
        "mine: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6162\n"
    ),
    "other letters": "mine: käse 🧀\nscope_broker_passwords:\n  uann: ä🧀\n",
    "line breaks of another system": "mine: 1\r\nscope_broker_passwords:\r\n  uann: a\r\n",
}


class Loader(yaml.SafeLoader):
    """Takes an encrypted value for a string."""


Loader.add_constructor("!vault", lambda _, node: f"vault {node.value}")


def content(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(text, Loader) or {}  # noqa: S506  a safe loader
    return found


@pytest.mark.parametrize("form", FORMS)
def test_what_is_missing_is_added_and_all_else_stays(action: ModuleType, form: str) -> None:
    before = content(FORMS[form])
    text, _ = action.completed(FORMS[form], ["uann", "ubob"])
    after = content(text)
    passwords = after["scope_broker_passwords"]
    for name, password in (before.get("scope_broker_passwords") or {}).items():
        if password:
            assert passwords[name] == password
    assert all(len(passwords[user]) >= 32 or user in FORMS[form] for user in ("uann", "ubob"))
    assert passwords["uann"]
    assert passwords["ubob"]
    assert after["scope_erlang_cookie"]
    for key in before.keys() - {"scope_broker_passwords"}:
        assert after[key] == before[key]
    for line in FORMS[form].splitlines():
        if "#" in line:
            assert line.partition("#")[2] in text
    assert action.completed(text, ["uann", "ubob"]) == (text, [])


def test_a_complete_file_stays_as_it_is_though_it_names_others(action: ModuleType) -> None:
    assert action.completed(COMPLETE, ["uann"]) == (COMPLETE, [])


@pytest.mark.parametrize(
    "text", ["- a\n", "scope_broker_passwords: [a]\n", "a: 1\n...\n", "{a: 1}\n"]
)
def test_a_file_of_another_form_is_refused(action: ModuleType, text: str) -> None:
    with pytest.raises((ValueError, yaml.YAMLError)):
        action.completed(text, ["uann"])


RENEWED = [
    "scope_broker_passwords: {uann: a, ubob: b, other: o}\n",
    "scope_erlang_cookie: C\nscope_broker_passwords:\n  uann: 'a'  # hers\n  ubob: b\nmine: 1\n",
    "scope_broker_passwords:\n    ubob: b\n    'uann': \"a\"",
]


@pytest.mark.parametrize("text", RENEWED)
def test_passwords_are_replaced_and_all_else_stays(action: ModuleType, text: str) -> None:
    changed, users = action.renewed(text, text, ["uann"])
    assert users == ["uann"]
    before, after = content(text), content(changed)
    old, new = (each.pop("scope_broker_passwords") for each in (before, after))
    assert before == after
    assert len(new.pop("uann")) == 32
    del old["uann"]
    assert new == old
    assert changed.count("#") == text.count("#")


def test_who_has_another_password_than_before_keeps_it(action: ModuleType) -> None:
    half, _ = action.renewed(RENEWED[0], RENEWED[0], ["uann"])
    whole, users = action.renewed(half, RENEWED[0], ["uann", "ubob"])
    assert users == ["ubob"]
    passwords = [content(each)["scope_broker_passwords"] for each in (half, whole)]
    assert passwords[0]["uann"] == passwords[1]["uann"]
    assert action.renewed(whole, RENEWED[0], ["uann", "ubob"]) == (whole, [])


@pytest.mark.parametrize("text", ["mine: 1\n", FORMS["encrypted values"]])
def test_a_password_that_is_not_there_or_encrypted_by_itself_is_not_replaced(
    action: ModuleType, text: str
) -> None:
    with pytest.raises(ValueError, match="uann: no password, or encrypted by itself"):
        action.renewed(text, text, ["uann"])
