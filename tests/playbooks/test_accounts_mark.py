"""A revocation is written into the accounts file, and nothing else in the file changes."""

from __future__ import annotations

from typing import Final

import pytest
import yaml

from tests.lab.plugins import load

DAY: Final = "2026-11-27"
KEY: Final = "SHA256:5Vb/9+Zx0uJ8cVYyS2bTqk0i3p1J4o0cVvJ0dJm7R0w"
OTHER: Final = "SHA256:kq0QyJ2Zb3bqYpX5m8r3h3v1H0tqg9e6uJb4p2N7q1c"


MARK: Final = load("playbooks/library/accounts_mark.py")

BLOCK: Final = """---
# Who may send files.
accounts:
  groups: []      # none yet
  users:
    # The first.
    - name: "earnest"   # at EC
      login: ear001
      uid: 20001
      keys:
        - "{{ lookup('ansible.builtin.file', 'earnest.pub') }}"

    - {name: bob, login: bob001, uid: 20002, keys: []}   # one line
    - login: bob002
      name: bobby
      keys: [ssh-ed25519 AAAA bobby]
      contact: !vault |
        $ANSIBLE_VAULT;1.1;AES256
        6162
# The end.
"""
PLACES: Final = {
    "earnest": ('    - name: "earnest"   # at EC\n', "      {}\n"),
    "bob": ("    - {name: bob", ", {}"),
    "bobby": ("      name: bobby\n", "      {}\n"),
}


@pytest.mark.parametrize("user", PLACES)
@pytest.mark.parametrize("key", [None, KEY])
def test_the_mark_is_added_and_all_else_stays(user: str, key: str | None) -> None:
    before, added = PLACES[user]
    line = f'revoked_keys: ["{key}"]' if key else f"revoked: {DAY}"
    wanted = BLOCK.replace(before, before + added.format(line))
    assert MARK.marked(BLOCK, user, DAY, key) == wanted


def test_a_mark_is_made_once() -> None:
    once = MARK.marked(BLOCK, "bob", DAY)
    assert MARK.marked(once, "bob", "2027-01-01") == once
    key = MARK.marked(BLOCK, "bob", DAY, KEY)
    assert MARK.marked(key, "bob", DAY, KEY) == key


@pytest.mark.parametrize(
    "known", [f'      revoked_keys: ["{KEY}"]\n', f'      revoked_keys:\n        - "{KEY}"\n']
)
def test_a_second_key_is_added_to_the_list(known: str) -> None:
    text = BLOCK.replace("      uid: 20001\n", f"      uid: 20001\n{known}")
    new = yaml.safe_load(MARK.marked(text, "earnest", DAY, OTHER).replace("!vault ", ""))
    assert new["accounts"]["users"][0].pop("revoked_keys") == [KEY, OTHER]
    assert new == yaml.safe_load(BLOCK.replace("!vault ", ""))


def test_line_ends_of_another_system_stay() -> None:
    text = BLOCK.replace("\n", "\r\n")
    new = MARK.marked(text, "earnest", DAY)
    assert new.replace("\r\n", "") == text.replace("\r\n", "").replace(
        "# at EC", f"# at EC      revoked: {DAY}"
    )


UNEDITABLE: Final = {
    "$ANSIBLE_VAULT;1.1;AES256\n6162\n": "encrypted by ansible-vault",
    'accounts: \'{{ lookup("file", "accounts.json") | from_json }}\'\n': "no list accounts.users",
    "accounts:\n  users: '{{ team + guests }}'\n": "no list accounts.users",
    "accounts:\n  users:\n    - name: '{{ boss }}'\n": "0 entries with the name bob",
    "accounts:\n  users: [{name: bob}, {name: bob}]\n": "2 entries with the name bob",
    "accounts: {users: [{name: bob}]}\n---\nmore: 1\n": "not a YAML document",
    "accounts: [\n": "not a YAML document",
    "who: &bob bob\naccounts: {users: [{name: *bob}]}\n": "not understood",
    "": "no list accounts.users",
}


@pytest.mark.parametrize("text", UNEDITABLE)
def test_what_cannot_be_edited_safely_is_told(text: str) -> None:
    with pytest.raises(MARK.UneditableError, match=UNEDITABLE[text]):
        MARK.marked(text, "bob", DAY)
