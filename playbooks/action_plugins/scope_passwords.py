"""Action of Ansible that adds missing passwords to a file, which ansible-vault may have encrypted.

Arguments: ``path`` of the file, ``users`` of the broker who need a password.  What the file says
already stays as it is, byte for byte.  An encrypted file is encrypted again with the same password
and vault id, or left alone: it is never written in plain text.

``state: renewed`` replaces the passwords of ``users``.  A copy of the file as it was stays beside
it until ``state: settled`` removes it: who has another password than in the copy has the new one,
so a run that was ended is completed by the next.
"""

from __future__ import annotations

import json
import os
import secrets
import string
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.parsing.vault import VaultLib, is_encrypted
from ansible.plugins.action import ActionBase

HEAD: Final = (
    "---\n# Made by playbooks/secrets.yml.  Encrypt it: ansible-vault encrypt this file.\n"
)
COOKIE: Final = "scope_erlang_cookie"
PASSWORDS: Final = "scope_broker_passwords"
LENGTH: Final = 32  # characters of a password
Node = yaml.nodes.Node
Edit = tuple[int, int, str]  # the text between two indices is replaced


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """The action."""

    TRANSFERS_FILES = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Add what is missing; return the names of users who got a password.

        Raises ``AnsibleActionFail`` if the file cannot be decrypted or edited.
        """
        result: dict[str, Any] = super().run(tmp, task_vars)
        path = Path(os.path.realpath(self._task.args["path"]))
        copy = path.with_name(f".{path.name}.before")  # Ansible reads no variables of hidden files
        state = str(self._task.args.get("state", "present"))
        if state == "settled":
            result["changed"] = copy.exists()
            if not self._task.check_mode:
                copy.unlink(missing_ok=True)
            return result
        raw = path.read_bytes() if path.exists() else HEAD.encode()
        text, secret, vault_id = self._opened(path, raw)
        try:
            if state == "renewed":
                before = self._opened(copy, copy.read_bytes())[0] if copy.exists() else text
                changed, added = renewed(text, before, list(self._task.args["users"]))
                if added and not copy.exists() and not self._task.check_mode:
                    replace(copy, raw)
            else:
                changed, added = completed(text, list(self._task.args["users"]))
        except (ValueError, yaml.YAMLError) as error:
            raise AnsibleActionFail(f"{path}: {error}") from error
        if changed != text and not self._task.check_mode:
            content = changed.encode()
            if secret:
                content = VaultLib().encrypt(content, secret=secret, vault_id=vault_id)
            replace(path, content)
        return result | {"changed": changed != text, "added": added}

    def _opened(self, path: Path, raw: bytes) -> tuple[str, Any, str | None]:
        """Return the text; of an encrypted file also the secret and the vault id in its header."""
        if not is_encrypted(raw):
            return raw.decode(), None, None
        vault = VaultLib(self._loader._vault.secrets)  # noqa: SLF001  ansible has no other way
        try:
            plain, _, secret = vault.decrypt_and_get_vault_id(raw)
        except AnsibleError as error:
            raise AnsibleActionFail(
                f"{path} is encrypted, and no given password opens it:"
                " say --vault-id or --ask-vault-pass"
            ) from error
        label = raw.split(b"\n", 1)[0].decode().split(";")[3:]
        return bytes(plain).decode(), secret, label[0] if label else None


def completed(text: str, users: list[str]) -> tuple[str, list[str]]:
    """Return a file's text with the missing secrets, and the users who got a password.

    Raises ``ValueError`` if the text has another form than secrets.yml can complete.
    """
    top = _entries(yaml.compose(text, yaml.SafeLoader))
    known = _entries(top.get(PASSWORDS))
    lacking = [user for user in dict.fromkeys(users) if _is_empty(known.get(user))]
    edits = [_filled(known[user]) for user in lacking if user in known]
    new = [f"{json.dumps(user)}: {_password()}" for user in lacking if user not in known]
    if new:
        edits.append(_inserted(top.get(PASSWORDS), new, len(text)))
    if _is_empty(top.get(COOKIE)):
        word = _password(string.ascii_uppercase)
        edits.append(
            _filled(top[COOKIE]) if COOKIE in top else (len(text), len(text), f"{COOKIE}: {word}\n")
        )
    changed = text if text.endswith("\n") or not edits else text + "\n"
    for start, end, part in sorted(edits, reverse=True):
        # What is added at the end comes after the line break that the last line may have lacked.
        at = len(changed) if start == len(text) else start
        changed = changed[:at] + part + changed[max(at, end) :]
    _check(text, changed, lacking)
    return changed, lacking


def renewed(text: str, before: str, users: list[str]) -> tuple[str, list[str]]:
    """Return a file's text with other passwords than before, and the users who got one now.

    Raises ``ValueError`` if a user has none, or one that is encrypted by itself.
    """
    there = _entries(_entries(yaml.compose(text, yaml.SafeLoader)).get(PASSWORDS))
    known = _entries(_entries(yaml.compose(before, yaml.SafeLoader)).get(PASSWORDS))
    old = [user for user in dict.fromkeys(users) if _value(there, user) == _value(known, user)]
    for user in old:
        if not (node := there.get(user)) or not str(node.tag).startswith("tag:yaml.org,2002:"):
            raise ValueError(f"{user}: no password, or encrypted by itself: encrypt the file")
    changed = text
    for node in sorted((there[user] for user in old), key=lambda one: -one.start_mark.index):
        start, end = node.start_mark.index, node.end_mark.index
        changed = changed[:start] + _password() + changed[end:]
    _check(text, changed, old, renew=True)
    return changed, old


def _value(entries: dict[str, Node], user: str) -> Any:
    return _content(entries.get(user))


def _inserted(node: Node | None, lines: list[str], end: int) -> Edit:
    """Return the edit that adds entries to the mapping of passwords."""
    if node is None:
        return end, end, "".join([f"{PASSWORDS}:\n", *(f"  {line}\n" for line in lines)])
    start = node.start_mark.index
    if _is_empty(node):
        return start, node.end_mark.index, "".join(f"\n  {line}" for line in lines)
    if isinstance(node, yaml.MappingNode) and node.flow_style:
        return start + 1, start + 1, ", ".join(lines) + (", " if node.value else "")
    indent = " " * node.start_mark.column
    return start, start, "".join(f"{line}\n{indent}" for line in lines)


def _filled(node: Node) -> Edit:
    return node.start_mark.index, node.end_mark.index, f" {_password()}"


def _entries(node: Node | None) -> dict[str, Node]:
    if node is None or _is_empty(node):
        return {}
    if not isinstance(node, yaml.MappingNode):
        where = f"line {node.start_mark.line + 1}"
        raise ValueError(f"{where}: not a mapping of names to values")  # noqa: TRY004  of a file
    return {str(key.value): value for key, value in node.value}


def _is_empty(node: Node | None) -> bool:
    return node is None or (
        isinstance(node, yaml.ScalarNode)
        and node.tag in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:str")
        and node.value in ("", "~", "null")
    )


def _password(letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(secrets.choice(letters) for _ in range(LENGTH))


def _check(before: str, after: str, users: list[str], *, renew: bool = False) -> None:
    """Raise ``ValueError`` unless nothing but the missing secrets differs."""
    old, new = (_content(yaml.compose(text, yaml.SafeLoader)) or {} for text in (before, after))
    passwords = (old.pop(PASSWORDS, None), new.pop(PASSWORDS, None))
    kept, all_of_them = ({k: v for k, v in (each or {}).items() if v} for each in passwords)
    if renew and any(kept.get(user) == all_of_them.get(user) for user in users):
        raise ValueError("the passwords cannot be replaced; simplify its form")
    new_cookie = new.pop(COOKIE, None)
    if (
        old.pop(COOKIE, None) not in (None, "", new_cookie)
        or old != new
        or all_of_them != kept | {user: all_of_them.get(user) for user in users}
    ):
        raise ValueError("cannot be completed; add the missing passwords, or simplify its form")


def _content(node: Node | None) -> Any:
    """Return a node's values as strings, also of tags such as ``!vault``."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _content(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_content(item) for item in node.value]
    return None if node is None or _is_empty(node) else node.value


def replace(path: Path, content: bytes) -> None:
    """Replace a file in one step; nobody but its owner may read it."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as new:
        new.write(content)
        new.flush()
        os.fsync(new.fileno())
    Path(new.name).replace(path)
