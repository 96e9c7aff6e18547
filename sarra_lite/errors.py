"""All exceptions but SftpError, the exit status that each gives a command, and report codes.

Exit statuses are those of sysexits(3) where it has one.  A ``TransferError`` concerns one file and
becomes a report with its ``code``; the reference page of exit statuses is made from this module.
"""

from __future__ import annotations

from typing import Final

EXIT_STATUSES: Final = {
    0: "success: every path was announced, every file arrived, the queue is empty",
    1: "some files or paths failed, or have no report; standard error has a line for each",
    2: "the command line is wrong",
    66: "sr_status: a path is not announced",
    69: "the broker or the SFTP host cannot be reached",
    75: "not finished in time, or files are left in the queue; run the command again;"
    " sr_status: a file waits or is being sent",
    77: "the broker or the SFTP host refused the user: password, key or permission",
    78: "the configuration, credentials or host key is wrong; the message names file and key",
}

EX_OK: Final = 0
EX_FAILED: Final = 1
EX_NOINPUT: Final = 66
EX_TEMPFAIL: Final = 75

_NOT_FOUND: Final = 404  # of AMQP 0.9.1


class SarraError(Exception):
    """Something failed; ``str()`` of it is the message for the user, mostly one line."""

    exit_status = EX_FAILED


class UsageError(SarraError):
    """The command line is wrong."""

    exit_status = 2


class ConfigError(SarraError):
    """A setting is wrong.  Each line of the message names a file and key."""

    exit_status = 78


class HostKeyError(ConfigError):
    """The key of the SFTP host is unknown, or differs from the known one."""


class BrokerError(SarraError):
    """The broker is unreachable, or the connection was lost.  A retry may help."""

    exit_status = 69


class BrokerRefused(BrokerError):
    """The broker answered with an error: wrong password, vhost or permission.

    ``code`` is the AMQP reply code (404: no such queue or exchange), 0 if there is none.
    """

    exit_status = 77
    code = 0

    @property
    def is_missing(self) -> bool:
        """Whether there is no such queue or exchange."""
        return self.code == _NOT_FOUND


class DestinationRefused(SarraError):
    """The SFTP host refused the login: user, key or password."""

    exit_status = 77


class DestinationUnreachable(SarraError):
    """The SFTP host was unreachable for longer than the command waits."""

    exit_status = 69


class Interrupted(SarraError):
    """The command was asked to stop before its work was complete; the next run continues it."""

    exit_status = EX_TEMPFAIL


class MessageError(SarraError):
    """A message cannot be used: not JSON, wrong types, a path outside the base directory.

    ``rel_path``: the path of the file, as far as the message tells it.
    """

    code = 417

    def __init__(self, message: str, rel_path: str = "") -> None:
        """Keep the path beside the message."""
        super().__init__(message)
        self.rel_path = rel_path


class TransferError(SarraError):
    """One file was not sent.  ``code`` is the code of its report (docs/reference/reports.md)."""

    def __init__(self, code: int, message: str) -> None:
        """Keep the report code beside the message."""
        super().__init__(message)
        self.code = code


class SourceUnavailable(TransferError):
    """The announced version of the file no longer exists or cannot be read (410, 403)."""


class NotPermitted(TransferError):
    """The sender's configuration does not permit what was announced (403); nothing was done."""


class DestinationDown(TransferError):
    """The SFTP host does not answer, or closed the connection.  The file is not the cause."""

    def __init__(self, message: str) -> None:
        """Set report code 503."""
        super().__init__(503, message)


class ServerFailure(TransferError):
    """The SFTP server failed and nothing explains why: its host may be the cause, not the file.

    Another connection may reach another host.  ``connected_at``: when the connection was opened
    (monotonic seconds).  ``file_may_be_cause``: the host still answers for the file's directory.
    """

    def __init__(
        self, code: int, message: str, connected_at: float, *, file_may_be_cause: bool
    ) -> None:
        """Keep the report code beside the message."""
        super().__init__(code, message)
        self.connected_at = connected_at
        self.file_may_be_cause = file_may_be_cause


class DestinationFull(TransferError):
    """The destination's disk is full, or the user is over quota.  A later retry may succeed."""

    def __init__(self, message: str) -> None:
        """Set report code 507."""
        super().__init__(507, message)
