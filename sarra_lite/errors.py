"""Every error the package raises, the exit status each ends a command with, and report codes.

::

    SarraError                  1   something could not be done
    ├── UsageError              2   the command line makes no sense
    ├── ConfigError            78   a setting is wrong; restarting does not help
    │   └── HostKeyError       78   the SFTP host is unknown, or not who it was
    ├── BrokerError            69   the broker cannot be reached, or was lost
    │   └── BrokerRefused      77   the broker said no: password, permission
    ├── DestinationRefused     77   the SFTP host refused us: user, key or password
    ├── DestinationAway    69   the SFTP host cannot be reached
    ├── Interrupted            75   asked to stop in the middle of it
    ├── MessageError            -   a message that cannot be used (report 417)
    └── TransferError           -   one file was not sent (report ``code``)
        ├── SourceLost      -   its announced version is no more to be had (410, 403)
        ├── DestinationDown     -   the SFTP host does not answer (503): wait, try again
        └── DestinationFull     -   disk full or over quota (507): try again, slowly

Exit statuses follow sysexits(3) where it has a name for them.  ``EXIT_STATUSES`` is what manual
pages and ``--help`` print.
"""

from __future__ import annotations

from typing import Final

EXIT_STATUSES: Final = {
    0: "all is done: every path announced, every file arrived, the queue is empty",
    1: "some files or paths failed; each has its line on standard error",
    2: "the command line makes no sense",
    69: "the broker or the SFTP host cannot be reached",
    75: "not finished in the time given, or left in the queue; run it again",
    77: "the broker or the SFTP host refused the user: password, key or permission",
    78: "the configuration, credentials or host key is wrong; the line names file and key",
}

EX_OK: Final = 0
EX_FAILED: Final = 1
EX_UNAVAILABLE: Final = 69
EX_TEMPFAIL: Final = 75


class SarraError(Exception):
    """Something could not be done; ``str()`` of it is one line for the user."""

    exit_status = EX_FAILED


class UsageError(SarraError):
    """The command line makes no sense."""

    exit_status = 2


class ConfigError(SarraError):
    """A setting is wrong; every line names file and key.  Restarting does not help."""

    exit_status = 78


class HostKeyError(ConfigError):
    """The SFTP host's key is not known, or not the one that is known."""


class BrokerError(SarraError):
    """The broker cannot be reached, or the connection was lost.  Trying again may help."""

    exit_status = EX_UNAVAILABLE


class BrokerRefused(BrokerError):
    """The broker answered, and refused: wrong password, vhost or permission.

    ``code`` is AMQP's reply code (404: no such queue or exchange), 0 where there is none.
    """

    exit_status = 77
    code = 0


class DestinationRefused(SarraError):
    """The SFTP host does not let us in: user, key or password."""

    exit_status = 77


class DestinationUnreachable(SarraError):
    """The SFTP host was not reached for so long that nobody wants to wait for it any more."""

    exit_status = EX_UNAVAILABLE


class Interrupted(SarraError):
    """Asked to stop in the middle; what was begun is taken up again by the next run."""

    exit_status = EX_TEMPFAIL


class MessageError(SarraError):
    """A message cannot be used: not JSON, wrong types, a path outside the base."""

    code = 417


class TransferError(SarraError):
    """One file was not sent.  ``code`` is the code of its report."""

    def __init__(self, code: int, message: str) -> None:
        """Keep the report code (see docs/reference/reports.md) beside the line for people."""
        super().__init__(message)
        self.code = code


class SourceUnavailable(TransferError):
    """The version that was announced is not to be had any more, now or later (410, 403)."""


class DestinationDown(TransferError):
    """The SFTP host does not answer or hung up.  The file is not to blame."""

    def __init__(self, message: str) -> None:
        """Report code 503."""
        super().__init__(503, message)


class DestinationFull(TransferError):
    """No room: disk full, or over quota.  Worth another try later."""

    def __init__(self, message: str) -> None:
        """Report code 507."""
        super().__init__(507, message)
