"""Names of files and directories that hold keys or passwords, or that grant a login."""

from __future__ import annotations

from typing import Final

_NAMES: Final = frozenset(
    {
        ".ssh", ".shosts", ".rhosts", ".k5login", ".k5identity",
        ".gnupg", ".pki", ".password-store", ".keychain", ".age",
        ".netrc", "_netrc", ".pgpass", ".my.cnf", ".git-credentials", ".smbcredentials",
        ".aws", ".azure", ".boto", ".kube", ".docker", ".vault-token",
        ".npmrc", ".pypirc", "credentials.conf",
    }
)  # fmt: skip


def private_part(path: str) -> str | None:
    """Return a path up to its first part that is private; None if there is none.

    Case does not matter, since it does not on some file systems.
    """
    parts = path.split("/")
    for number, part in enumerate(parts, start=1):
        if part.lower() in _NAMES:
            return "/".join(parts[:number])
    return None
