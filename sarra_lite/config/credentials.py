"""Passwords and keys: credentials.conf in the format of sr3 (sr3_credentials(7))."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PORTS: Final = {"amqp": 5672, "amqps": 5671, "sftp": 22}


class Endpoint(NamedTuple):
    """Where to connect, and as whom.  ``path`` is a broker's vhost, without its leading slash."""

    scheme: str
    user: str
    host: str
    port: int
    path: str = ""
    password: str | None = None
    options: dict[str, str] = {}  # noqa: RUF012  never changed

    def __str__(self) -> str:
        """URL without password."""
        port = "" if self.port == _PORTS.get(self.scheme) else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{self.user}@{host}{port}/{self.path}"

    def __repr__(self) -> str:
        """Keep the password out of traces, too."""
        return f"Endpoint({self})"


def parse_url(url: str, schemes: Sequence[str]) -> Endpoint:
    """Read a URL of a broker or SFTP host; ValueError says what is wrong with it."""
    wanted = " or ".join(f"{scheme}://user@host/" for scheme in schemes)
    parts = urlsplit(url)
    if parts.scheme not in schemes:
        raise ValueError(f"not a URL like {wanted}")
    try:
        port = parts.port or _PORTS[parts.scheme]
    except ValueError:
        raise ValueError("its port is no number up to 65535") from None
    if not parts.hostname or not parts.username:
        raise ValueError(f"user or host is missing; expected {wanted}")
    return _endpoint(parts, port)


def _endpoint(parts: SplitResult, port: int) -> Endpoint:
    return Endpoint(
        parts.scheme,
        unquote(parts.username or ""),
        parts.hostname or "",
        port,
        unquote(parts.path.removeprefix("/")),
        unquote(parts.password) if parts.password is not None else None,
    )


def problem(url: str, schemes: Sequence[str]) -> str | None:
    """Say what is wrong with a URL of a configuration; None when nothing is."""
    try:
        endpoint = parse_url(url, schemes)
    except ValueError as error:
        return str(error)
    if endpoint.password is not None:
        return "contains a password; passwords belong into credentials.conf only"
    return None


def find_file(directories: Sequence[Path]) -> Path:
    """Return the credentials.conf to be used: systemd's, or the first that exists.

    See systemd.exec(5), LoadCredential=.  Where there is none, the first place is returned.
    """
    given = os.environ.get("CREDENTIALS_DIRECTORY")
    files = [directory / "credentials.conf" for directory in directories]
    tried = [Path(given) / "credentials.conf", *files] if given else files
    return next((file for file in tried if file.exists()), files[0])


def complete(endpoint: Endpoint, file: Path) -> Endpoint:
    """Return the endpoint with its password and options from a credentials file.

    Raises ConfigError when the file cannot be used.  An endpoint that has no line is returned as
    it is: keys may be found elsewhere.
    """
    for number, line in enumerate(_lines(file), start=1):
        found = _read(line, f"{file}: line {number}")
        if found is not None and _same(found, endpoint):
            return endpoint._replace(password=found.password, options=found.options)
    return endpoint


def file_problems(file: Path) -> Iterator[str]:
    """Yield what is wrong with a credentials file, with each line of it that we would read."""
    try:
        lines = _lines(file)
    except ConfigError as error:
        yield str(error)
        return
    for number, line in enumerate(lines, start=1):
        try:
            _read(line, f"{file}: line {number}")
        except ConfigError as error:
            yield str(error)


def _lines(file: Path) -> list[str]:
    """Lines of the file, which nobody but its owner may read."""
    try:
        with file.open(encoding="utf-8") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            # systemd shows its files to the unit only, whatever their mode.
            given = os.environ.get("CREDENTIALS_DIRECTORY")
            ours = given is not None and Path(given) == file.parent
            if mode & 0o077 and not ours:
                raise ConfigError(
                    f"{file}: others may read it (mode {mode:04o}); do: chmod 600 {file}"
                )
            return opened.read().splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None


def _read(line: str, where: str) -> Endpoint | None:
    """One line of the file; None for comments and schemes that we do not use (ftp, https …)."""
    url, *rest = line.split(maxsplit=1) or [""]
    scheme = url.partition(":")[0]
    if scheme not in _PORTS:
        return None
    if "#" in url:
        raise ConfigError(f"{where}: write # in a password as %23")
    try:
        return parse_url(url, [scheme])._replace(options=_options("".join(rest)))
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def _same(found: Endpoint, wanted: Endpoint) -> bool:
    """Scheme, user, host and port agree; the vhost where the line has one."""
    return found[:4] == wanted[:4] and found.path in ("", "/", wanted.path)


def _options(rest: str) -> dict[str, str]:
    """``ssh_keyfile=/path,tls`` as a mapping; what has no value maps to an empty text."""

    def pairs() -> Iterator[tuple[str, str]]:
        for part in rest.split(","):
            key, _, value = part.partition("=")
            if key.strip():
                yield key.strip(), value.strip()

    return dict(pairs())
