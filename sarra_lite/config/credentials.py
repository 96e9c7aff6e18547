"""Passwords and key files: reads credentials.conf, in the format of sr3 (sr3_credentials(7)).

Each line is a URL with a password, followed by options: ``sftp://user@host/ ssh_keyfile=/path``.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PORTS: Final = {"amqp": 5672, "amqps": 5671, "sftp": 22}


class Endpoint(NamedTuple):
    """A host and user to log in as.  ``path`` is a broker's vhost without the leading slash.

    ``user`` is empty, and ``host`` may be an alias, where ssh_config(5) is to say the rest.
    """

    scheme: str
    user: str
    host: str
    port: int
    path: str = ""
    password: str | None = None
    options: dict[str, str] = {}  # noqa: RUF012  never changed

    def __str__(self) -> str:
        """Return the URL without the password."""
        port = "" if self.port == _PORTS.get(self.scheme) else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        user, path = quote(self.user, safe=""), quote(self.path, safe="")
        login = f"{user}@" if user else ""
        return f"{self.scheme}://{login}{host}{port}/{path}"

    def __repr__(self) -> str:
        """Keep the password out of tracebacks, too."""
        return f"Endpoint({self})"


def parse_url(url: str, schemes: Sequence[str]) -> Endpoint:
    """Parse the URL of a broker or SFTP host; raise ValueError with the reason if it is wrong."""
    expected = " or ".join(f"{scheme}://user@host/" for scheme in schemes)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        # Some texts repeat user and password.
        text = f"not a URL like {expected}" if "@" in str(error) else str(error)
        raise ValueError(text) from None
    if parts.scheme not in schemes:
        raise ValueError(f"not a URL like {expected}")
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise ValueError("its port is no number up to 65535") from None
    # Names of hosts have no case, but aliases of ssh_config(5) do.
    alias = parts.scheme == "sftp"
    host = _host(parts.netloc) if alias else parts.hostname
    if not host or not (parts.username or alias):
        raise ValueError(f"user or host is missing; expected {expected}")
    return Endpoint(
        scheme=parts.scheme,
        user=unquote(parts.username or ""),
        host=host,
        port=port,
        path=unquote(parts.path.removeprefix("/")),
        password=None if parts.password is None else unquote(parts.password),
    )


def _host(netloc: str) -> str:
    """Return the host as it is written."""
    host = netloc.rpartition("@")[2]
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def parse_public_url(url: str, schemes: Sequence[str]) -> Endpoint:
    """Return what ``parse_url`` returns; raise ValueError for a URL with a password, too."""
    endpoint = parse_url(url, schemes)
    if endpoint.password is not None:
        raise ValueError("contains a password; passwords belong into credentials.conf only")
    return endpoint


def complete(endpoint: Endpoint, file: Path) -> Endpoint:
    """Return the endpoint with its password and options from a credentials file.

    An endpoint without a line in the file is returned unchanged: an SSH key may be found without
    one.  Raises ConfigError when the file, or a line before the endpoint's, cannot be used.
    """
    for entry in _entries(file):
        if isinstance(entry, ConfigError):
            raise entry
        # The vhost must be the same only if the line has one.
        same_host = entry.host.lower() == endpoint.host.lower()
        expected = endpoint._replace(host=entry.host)
        if same_host and entry[:4] == expected[:4] and entry.path in ("", "/", endpoint.path):
            return endpoint._replace(password=entry.password, options=entry.options)
    return endpoint


def file_problems(file: Path) -> list[str]:
    """Return a message for each reason why a credentials file, or a line of it, cannot be used."""
    return [str(entry) for entry in _entries(file) if isinstance(entry, ConfigError)]


def _entries(file: Path) -> Iterator[Endpoint | ConfigError]:
    """Yield the entry of each line, or the error of the line or file; none if there is no file."""
    try:
        with file.open(encoding="utf-8") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            # systemd shows its files to the unit only, whatever their mode is.
            if mode & 0o077 and file.parent != Path(os.environ.get("CREDENTIALS_DIRECTORY", "/")):
                how = f"others may read it (mode {mode:04o}); do: chmod 600 {file}"
                yield ConfigError(f"{file}: {how}")
                return
            lines = opened.read().splitlines()
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        yield ConfigError(f"{file}: cannot be read: {error}")
        return
    for number, line in enumerate(lines, start=1):
        try:
            entry = _parse(line)
        except ValueError as error:
            yield ConfigError(f"{file}: line {number}: {error}")
        else:
            if entry is not None:
                yield entry


def _parse(line: str) -> Endpoint | None:
    """Return the entry of a line, None for comments and schemes not used here (ftp, https …)."""
    url, *rest = line.split(maxsplit=1) or [""]
    scheme = url.partition(":")[0]
    if scheme not in _PORTS:
        return None
    if "#" in url:
        raise ValueError("write # in a password as %23")
    # As in "ssh_keyfile=/path,tls": an option without a value gets an empty text.
    pairs = (part.partition("=") for part in "".join(rest).split(","))
    options = {key.strip(): value.strip() for key, _, value in pairs if key.strip()}
    return parse_url(url, [scheme])._replace(options=options)
