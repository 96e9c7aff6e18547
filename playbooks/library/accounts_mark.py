"""Ansible module that marks an entry of the accounts file as revoked, and changes nothing else."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml
from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: accounts_mark
short_description: Mark a user, or a user's key, as revoked in the accounts file
description:
  - Runs on the control machine.  Adds C(revoked) or C(revoked_keys) to the user's entry.
    Comments, order, templates and lookups stay as they are.  If the file is encrypted, or the entry
    is not written out in it, the file stays, and the error says what an operator must write.
options:
  path: {description: File with the variable accounts., type: path, required: true}
  user: {description: Name of the user., type: str, required: true}
  day: {description: Day of the revocation., type: str, required: true}
  key: {description: Fingerprint of a key; without it the account is marked., type: str}
"""
ENCRYPTED: Final = "$ANSIBLE_VAULT"


class UneditableError(Exception):
    """Says why the file cannot be edited safely."""


def marked(text: str, user: str, day: str, key: str | None = None) -> str:
    """Return the text of an accounts file with the mark; the same text if it has the mark.

    Raises ``UneditableError`` if the entry is not found, or more than the mark would change.
    """
    entry = _entry(_root(text), user)
    name = "revoked_keys" if key else "revoked"
    known = _pair(entry, name)
    if known and (not key or key in [getattr(item, "value", None) for item in known[1].value]):
        return text
    new = _longer(text, known[1], key) if known and key else _inserted(text, entry, mark(day, key))
    if not _only_added(text, new, user, name):
        raise UneditableError(f"the entry of {user} is written in a way that is not understood")
    return new


def mark(day: str, key: str | None) -> str:
    """Return the line that marks a user, or a key, as revoked."""
    return f'revoked_keys: ["{key}"]' if key else f"revoked: {day}"


def _root(text: str) -> Any:
    """Return the node of a YAML document."""
    if text.startswith(ENCRYPTED):
        raise UneditableError("the file is encrypted by ansible-vault")
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        said = " ".join(str(error).split())
        raise UneditableError(f"the file is not a YAML document: {said}") from error


def _entry(root: Any, user: str) -> Any:
    """Return the node of a user's entry."""
    accounts = _pair(root, "accounts")
    users = _pair(accounts[1], "users") if accounts else None
    if not users or not isinstance(users[1], yaml.SequenceNode):
        raise UneditableError("the file has no list accounts.users")
    named = ((entry, _pair(entry, "name")) for entry in users[1].value)
    found = [entry for entry, name in named if name and name[1].value == user]
    if len(found) != 1:
        raise UneditableError(f"accounts.users has {len(found)} entries with the name {user}")
    return found[0]


def _pair(node: Any, name: str) -> tuple[Any, Any] | None:
    """Return the nodes of a mapping's key and value, or None."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next(((key, value) for key, value in pairs if key.value == name), None)


def _inserted(text: str, entry: Any, field: str) -> str:
    """Return the text with a field after the name of an entry."""
    pair = next(pair for pair in entry.value if pair[0].value == "name")
    if entry.flow_style:
        at = pair[1].end_mark.index
        return f"{text[:at]}, {field}{text[at:]}"
    return _line_after(text, pair[1], pair[0].start_mark.column, field)


def _longer(text: str, known: Any, key: str | None) -> str:
    """Return the text with another item in a list of fingerprints."""
    if not isinstance(known, yaml.SequenceNode):
        raise UneditableError("revoked_keys is not a list")
    if known.flow_style:
        at = known.end_mark.index - 1
        return f'{text[:at]}{", " if known.value else ""}"{key}"{text[at:]}'
    return _line_after(text, known.value[-1], known.start_mark.column, f'- "{key}"')


def _line_after(text: str, node: Any, column: int, line: str) -> str:
    """Return the text with another line after the one in which a node ends."""
    end = text.find("\n", node.end_mark.index)
    end = len(text) if end < 0 else end
    carriage_return = "\r" if text[end - 1] == "\r" else ""
    return f"{text[:end]}\n{' ' * column}{line}{carriage_return}{text[end:]}"


def _only_added(text: str, new: str, user: str, name: str) -> bool:
    """Return whether a text differs from the former one only by that field of the user's entry."""
    before = _root(text)
    try:
        after = _root(new)
        entry = _entry(after, user)
    except UneditableError:
        return False
    added = _pair(entry, name)
    if added and _pair(_entry(before, user), name):
        added[1].value.pop()
    elif added:
        entry.value.remove(added)
    return bool(_tree(after) == _tree(before))


def _tree(node: Any) -> Any:
    """Return a node as plain tuples, which can be compared."""
    if isinstance(node, yaml.MappingNode):
        return node.tag, [(_tree(key), _tree(value)) for key, value in node.value]
    if isinstance(node, yaml.SequenceNode):
        return node.tag, [_tree(item) for item in node.value]
    return node.tag, node.value


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "user": {"type": "str", "required": True},
            "day": {"type": "str", "required": True},
            "key": {"type": "str", "no_log": False},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    path = Path(given["path"]).resolve()
    line = mark(given["day"], given["key"])
    try:
        text = path.read_bytes().decode()
        new = marked(text, given["user"], given["day"], given["key"])
    except (OSError, UnicodeError, UneditableError) as error:
        module.fail_json(msg=f"{path}: {error}; write in the entry of {given['user']}: {line}")
    if new != text and not module.check_mode:
        with tempfile.NamedTemporaryFile("wb", dir=path.parent, delete=False) as file:
            file.write(new.encode())
        Path(file.name).chmod(path.stat().st_mode & 0o7777)
        os.replace(file.name, path)  # noqa: PTH105  one call replaces the file
    wrote = f"in {path}, entry of {given['user']}: {line}"
    module.exit_json(changed=new != text, wrote=wrote)


if __name__ == "__main__":
    main()
