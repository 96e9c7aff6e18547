"""Ansible module that records revoked logins and keys on an SFTP node, and ends their sessions."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import signal
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: scope_revoked
short_description: Record revoked logins and keys, and end sessions
description:
  - A record is a directory with one empty file for each revoked login (C(logins)) and key
    (C(keys)).  sshd's command that looks up keys reads it at each login.  Names in a directory are
    the same on all nodes of a shared file system at once; the content of a file need not be.
options:
  records: {description: Directories of records., type: list, elements: path, required: true}
  logins: {description: Logins to record., type: list, elements: str, default: []}
  keys: {description: Fingerprints to record., type: list, elements: str, default: []}
  restored_logins: {description: Logins to remove., type: list, elements: str, default: []}
  restored_keys: {description: Fingerprints to remove., type: list, elements: str, default: []}
  end_sessions_of: {description: Uids of the sessions., type: list, elements: int, default: []}
  mount: {description: "Where a file system must be mounted, for the records below.", type: path}
  create: {description: Whether to create the directories., type: bool, default: true}
"""
READER = "nogroup"  # the group of sshd's command, which runs as nobody


class Record:
    """A directory of revoked logins and keys."""

    def __init__(self, directory: Path, *, check: bool) -> None:
        """With ``check`` nothing is changed."""
        self._directory = directory
        self._check = check
        self.changed: list[str] = []

    def create(self) -> None:
        """Create the directories, which only root may write to and only sshd's command may read."""
        group = grp.getgrnam(READER).gr_gid
        for path in (self._directory, self._directory / "logins", self._directory / "keys"):
            if not path.is_dir():
                self.changed.append(str(path))
                if not self._check:
                    path.mkdir(mode=0o700, parents=True, exist_ok=True)
                    os.chown(path, 0, group)
                    path.chmod(0o750)

    def names(self, kind: str) -> list[str]:
        """Return what is recorded: logins, or fingerprints."""
        with contextlib.suppress(FileNotFoundError):
            found = sorted(path.name for path in (self._directory / kind).iterdir())
            return found if kind == "logins" else [fingerprint(name) for name in found]
        return []

    def add(self, kind: str, name: str) -> None:
        """Record a login or a fingerprint."""
        path = self._path(kind, name)
        if not path.exists():
            self.changed.append(f"revoked: {name}")
            if not self._check:
                path.touch(mode=0o644)

    def remove(self, kind: str, name: str) -> None:
        """Remove a login or a fingerprint."""
        path = self._path(kind, name)
        if path.exists():
            self.changed.append(f"restored: {name}")
            if not self._check:
                path.unlink(missing_ok=True)

    def _path(self, kind: str, name: str) -> Path:
        return self._directory / kind / (name if kind == "logins" else file_name(name))


def file_name(fingerprint: str) -> str:
    """Return a fingerprint as the name of a file: a name has no slash."""
    return fingerprint.removeprefix("SHA256:").translate(str.maketrans("/+", "_-"))


def fingerprint(name: str) -> str:
    """Return the fingerprint with that name of a file."""
    return "SHA256:" + name.translate(str.maketrans("_-", "/+"))


def end_sessions(uids: set[int], *, check: bool) -> list[int]:
    """Send SIGTERM to the processes of these users; return the uids of those that had any."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            uid = process.stat().st_uid
            if uid in uids:
                found.add(uid)
                if not check:
                    os.kill(int(process.name), signal.SIGTERM)
    return sorted(found)


def require_mounted(record: str, mount: str | None) -> None:
    """Raise ``OSError`` if a record is below a directory where nothing is mounted."""
    if mount and Path(record).is_relative_to(mount) and not os.path.ismount(mount):
        raise OSError(errno.ENODEV, f"nothing is mounted at {mount}")


def apply(record: Record, given: dict[str, Any]) -> None:
    """Change a record as the options of the module say."""
    if given["create"]:
        record.create()
    for kind in ("logins", "keys"):
        for name in given[kind]:
            record.add(kind, name)
        for name in given[f"restored_{kind}"]:
            record.remove(kind, name)


def main() -> None:
    """Run as a module of Ansible."""
    texts = {"type": "list", "elements": "str", "default": []}
    module = AnsibleModule(
        argument_spec={
            "records": {"type": "list", "elements": "path", "required": True},
            "logins": texts,
            "keys": {**texts, "no_log": False},
            "restored_logins": texts,
            "restored_keys": {**texts, "no_log": False},
            "end_sessions_of": {"type": "list", "elements": "int", "default": []},
            "mount": {"type": "path"},
            "create": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    given: dict[str, Any] = module.params
    records = [Record(Path(path), check=module.check_mode) for path in given["records"]]
    known: dict[str, set[str]] = {"logins": set(), "keys": set()}
    failed = []
    for path, record in zip(given["records"], records, strict=True):
        try:
            require_mounted(path, given["mount"])
            apply(record, given)
        except OSError as error:
            failed.append(f"{path}: {error.strerror}")
        for kind, names in known.items():
            names.update(record.names(kind))
    ended = end_sessions(set(given["end_sessions_of"]), check=module.check_mode)
    done = sorted({line for record in records for line in record.changed})
    result = {"done": done, "ended": ended, **{kind: sorted(all_) for kind, all_ in known.items()}}
    if failed:
        module.fail_json(msg=f"not recorded: {'; '.join(failed)}", **result)
    module.exit_json(changed=bool(done or ended), **result)


if __name__ == "__main__":
    main()
