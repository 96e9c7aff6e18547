"""What a user can do about a report that says that a file did not arrive.

docs/reference/reports.md says more about each code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sarra_lite.messages.v03 import Report

_POST_AGAIN: Final = "post the file again"
_WHEN_COMPLETE: Final = "post the file again when no program writes to it any more"

# Code, how the text begins, what to do; the first that fits.
_ADVICE: Final = (
    (403, "cannot be read", f"let the user of the sender read the file, then {_POST_AGAIN}"),
    (403, "destination", "set directory of the sender to one that the SFTP user may write to"),
    (403, "", "see which option of the sender forbids it: docs/reference/reports.md, 403"),
    (404, "destination", _POST_AGAIN),
    (404, "", "if it is to be sent, change rules or acceptUnmatched of the sender"),
    (409, "", f"remove or rename what is in the way at the destination, then {_POST_AGAIN}"),
    (410, "", _WHEN_COMPLETE),
    (417, "", "correct the announcement, as the text says"),
    (429, "", "ask the operators"),
    (499, "given up, since a block", f"sr_log --blocks --failed says why; then {_POST_AGAIN}"),
    (499, "", f"see the log of the SFTP server, then {_POST_AGAIN}"),
    (500, "bug", "report the bug, with the traceback in the log of the sender"),
    (500, "", f"{_POST_AGAIN}; if it fails twice, ask the operators of the destination"),
    (503, "", "nothing, while a sender runs: it goes on when the SFTP host answers"),
    (504, "", _POST_AGAIN),
    (507, "", f"free space at the destination, or get more quota; then {_POST_AGAIN}"),
)


def advice(report: Report) -> str:
    """Return what to do, as the end of a sentence; "" for a code that is not known."""
    for code, beginning, text in _ADVICE:
        if report.code == code and report.message.startswith(beginning):
            return text
    return ""
