"""sr3's configuration language (sr3_options(7)), read line by line as sr3 reads it.

Later lines win, the order matters, a comment is a line that begins with #, variables are replaced
while reading.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

from sarra_lite.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
# Up to the last @, so that no part of a password that is not encoded is left.
_PASSWORD: Final = re.compile(r"(?<=://)([^:/@]*):.*@")

# Old and short names, and what sr3 calls the option now.
_SYNONYMS: Final = {
    old: new
    for new, names in {
        "acceptUnmatched": "accept_unmatch accept_unmatched",
        "attempts": "at",
        "baseDir": "bd basedir base_dir",
        "blockSize": "blocksize",
        "broker": "b",
        "callback": "cb flow_callback flowcb fcb flowCallback callback_prepend cbp"
        " flow_callback_prepend flowcb_prepend fcbp flowCallbackPrepend",
        "documentRoot": "document_root",
        "exchange": "ex",
        "exchangeSplit": "exchange_split",
        "exchangeSuffix": "exchange_suffix",
        "expire": "expiry",
        "fileAgeMax": "file_time_limit nodupe_fileAgeMax",
        "fileAgeMin": "nodupe_fileAgeMin",
        "fileEvents": "e events",
        "header": "h",
        "housekeeping": "heartbeat",
        "identity": "sum integrity",
        "include": "config c",
        "inflight": "lock",
        "instances": "instance",
        "logLevel": "ll loglevel",
        "messageAgeMax": "message_ttl message-ttl post_messageAgeMax",
        "messageRateMax": "post_rate_limit",
        "nodupe_ttl": "cache caching nd no_duplicates sd suppress_duplicates",
        "overwrite": "o",
        "path": "p",
        "permCopy": "pm preserve_mode",
        "permDefault": "chmod default_mode",
        "permDirDefault": "chmod_dir default_dir_mode",
        "permLog": "chmod_log default_log_mode",
        "post_baseDir": "pbd post_base_dir post_basedir post_document_root post_documentRoot",
        "post_baseUrl": "pbu post_base_url post_baseurl",
        "post_broker": "pb",
        "post_exchange": "px",
        "post_exchangeSplit": "post_exchange_split",
        "post_exchangeSuffix": "post_exchange_suffix",
        "post_topicPrefix": "post_topic_prefix",
        "queueName": "qn queue queue_name",
        "realpathPost": "realpath realpath_post",
        "rename": "rn",
        "sendTo": "destination remoteUrl",
        "sourceFromExchange": "source_from_exchange",
        "subtopic": "sub",
        "timeCopy": "preserve_time pt",
        "tlsRigour": "tls_rigour",
        "topicPrefix": "topic_prefix",
    }.items()
    for old in names.split()
}


class Line(NamedTuple):
    """One line: ``said`` is its option as written, ``option`` as sr3 calls it now."""

    file: Path
    number: int
    said: str
    option: str
    words: list[str]

    @property
    def value(self) -> str:
        """What stands behind the option."""
        return " ".join(self.words)


class Note(NamedTuple):
    """A line of the file that is not in what came out, and why or what to do instead."""

    file: Path
    number: int
    option: str
    text: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.file}: line {self.number}: {self.option}: {self.text}"


class Reader:
    """Reads the files of one configuration, and replaces the variables that are known."""

    def __init__(self, component: str, name: str) -> None:
        """Begin; ``notes`` will tell what cannot be followed."""
        self.notes: list[Note] = []
        self._known = {"PROGRAM": component, "COMPONENT": component, "CONFIG": name}
        self._open: list[Path] = []

    def read(self, file: Path) -> Iterator[Line]:
        """Yield the lines of a file and of those that it includes.

        Raises ConfigError when the file cannot be read.
        """
        self._open.append(file.resolve())
        for number, text in enumerate(_text(file).splitlines(), start=1):
            said, *words = text.split() or ["#"]
            if said.startswith("#"):
                continue
            words = [self._replaced(word) for word in words]
            line = Line(file, number, said, _SYNONYMS.get(said, said), words)
            if line.option == "include":
                yield from self._included(line)
            elif line.option == "declare":
                self._declare(line)
            else:
                yield self._without_password(line)
        self._open.pop()

    def note(self, line: Line, text: str) -> None:
        """Tell that a line is left out, and why."""
        self.notes.append(Note(line.file, line.number, line.said, text))

    def _replaced(self, word: str) -> str:
        def value(variable: re.Match[str]) -> str:
            name = variable[1]
            return self._known.get(name, self._known.get(name.upper(), variable[0]))

        return VARIABLE.sub(value, word)

    def _included(self, line: Line) -> Iterator[Line]:
        """Lines of the file that is included: beside this one, or above, as sr3 looks for it."""
        folder = line.file.parent
        files = [folder / line.value, folder.parent / line.value]
        found = next((file for file in files if file.is_file()), None)
        if found is None:
            self.note(line, f"no such file: {line.value}")
        elif found.resolve() in self._open:
            self.note(line, f"{line.value} includes itself")
        else:
            yield from self.read(found)

    def _declare(self, line: Line) -> None:
        what, text = (*line.words, "", "")[:2]
        name, equals, value = text.partition("=")
        if what in ("env", "envvar", "var", "value") and equals:
            self._known[name] = value
        else:
            self.note(line, "accounts and exchanges are made by whoever runs the broker")

    def _without_password(self, line: Line) -> Line:
        """Take passwords out of URLs, and remember the broker's user."""
        if line.option in ("accept", "reject"):
            return line  # no URLs, though they may look so
        words = [_PASSWORD.sub(r"\1@", word) for word in line.words]
        if words != line.words:
            self.note(line, "its password is left out; write it into credentials.conf, mode 0600")
        line = line._replace(words=words)
        user = line.value.partition("://")[2].rpartition("@")[0]
        if user and line.option in ("broker", "post_broker"):
            self._known[f"{line.option.upper()}_USER"] = user
            self._known.setdefault("BROKER_USER", user)
        return line


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: {error}") from None
