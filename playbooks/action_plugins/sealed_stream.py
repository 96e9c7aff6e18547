"""Action of Ansible that streams between a command on a host and an encrypted file of this machine.

Arguments: ``command`` runs as root in bash on the host, ``path`` is the file.  With ``recipient``,
what the command prints is encrypted by age and written to the file; its SHA-256 is written beside
it, as ``path.sum``.  With ``identity``, a file, what the file holds is decrypted into the command.
``statuses`` are exit statuses of the command that are no failure.

Nothing is kept in memory, and nothing is written in plain text on this machine.  The connection is
that of Ansible, so no password can be asked for: neither by ssh nor by sudo.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any, Final

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

CHUNK: Final = 1 << 20
LINES: Final = 5  # of what a program says on its standard error
ROOT: Final = (
    'if [ "$(id -u)" = 0 ]; then exec /bin/bash -o pipefail -c {0};'
    " else exec sudo -n /bin/bash -o pipefail -c {0}; fi"
)


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    """The action."""

    TRANSFERS_FILES = False

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Stream; return the bytes and the SHA-256 of the encrypted file, or what the command said.

        Raises ``AnsibleActionFail`` if the command, the connection or age fails.
        """
        result: dict[str, Any] = super().run(tmp, task_vars)
        given = self._task.args
        path = Path(given["path"])
        statuses = [int(status) for status in given.get("statuses", [0])]
        if self._task.check_mode:
            return result | {"changed": True}
        words = self._words(ROOT.format(shlex.quote(str(given["command"]))))
        try:
            if "recipient" in given:
                return result | sealed(words, path, str(given["recipient"]), statuses)
            return result | opened(words, path, str(given["identity"]), statuses)
        except (OSError, ValueError) as error:
            raise AnsibleActionFail(f"{path.name}: {error}") from error

    def _words(self, command: str) -> list[str]:
        """Return the command line, on this machine, that runs a command on the host."""
        connection = self._connection
        if connection.transport == "local":
            return ["/bin/sh", "-c", command]
        if connection.transport != "ssh" or connection.get_option("password"):
            raise AnsibleActionFail("needs a connection by OpenSSH with a key, without a password")
        host = connection.get_option("host") or self._play_context.remote_addr
        program = connection.get_option("ssh_executable")
        # Ansible has no other way to a stream: exec_command keeps all of it in memory.
        built = connection._build_command(program, "ssh", host, command)  # noqa: SLF001
        return [os.fsdecode(word) for word in built]


def sealed(words: list[str], path: Path, recipient: str, statuses: list[int]) -> dict[str, Any]:
    """Write what a command prints to an encrypted file, and its SHA-256 beside it."""
    total, digest = 0, hashlib.sha256()
    path.with_name(f"{path.name}.sum").unlink(missing_ok=True)
    with tempfile.TemporaryFile() as said, path.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        command = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said
        )
        age = subprocess.Popen(
            ["age", "--encrypt", "-r", recipient],
            stdin=command.stdout,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        _own(command.stdout).close()  # age alone reads it, so that the command hears when age ends
        with _own(age.stdout) as output:
            while chunk := output.read(CHUNK):
                file.write(chunk)
                digest.update(chunk)
                total += len(chunk)
        _require([("age", age, [0]), ("the command", command, statuses)], said)
        file.flush()
        os.fsync(file.fileno())
    path.with_name(f"{path.name}.sum").write_text(digest.hexdigest())
    return {"changed": True, "bytes": total, "sha256": digest.hexdigest()}


def opened(words: list[str], path: Path, identity: str, statuses: list[int]) -> dict[str, Any]:
    """Feed what an encrypted file holds to a command; return what the command prints."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as told:
        age = subprocess.Popen(
            ["age", "--decrypt", "-i", identity, str(path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        )
        command = subprocess.Popen(words, stdin=age.stdout, stdout=told, stderr=said)
        _own(age.stdout).close()
        _require([("the command", command, statuses), ("age", age, [0])], said)
        told.seek(0)
        return {"changed": True, "stdout": told.read(CHUNK).decode(errors="replace")}


def _own(pipe: IO[bytes] | None) -> IO[bytes]:
    """Return a pipe that was asked for."""
    assert pipe is not None  # noqa: S101
    return pipe


def _require(ended: list[tuple[str, subprocess.Popen[bytes], list[int]]], said: IO[bytes]) -> None:
    """Wait for programs; raise ``ValueError`` with what they said if one of them has failed."""
    codes = [(name, process.wait(), statuses) for name, process, statuses in ended]
    failed = [f"{name} ended with status {code}" for name, code, good in codes if code not in good]
    if failed:
        said.seek(0)
        lines = said.read().decode(errors="replace").strip().splitlines()[-LINES:]
        raise ValueError("; ".join([*failed, *lines]))
