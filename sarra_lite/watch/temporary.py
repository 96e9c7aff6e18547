"""Recognises the temporary names under which usual programs write a file before they rename it."""

from __future__ import annotations

import re
from typing import Final

# Each line: names of which programs.
_FILE: Final = re.compile(
    r"""
    \..+\.(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{6}        # rsync; six small letters may be an extension
    | \.goutputstream-\w{6}                       # GNOME
    | .+\.(part|partial|crdownload|opdownload)    # browsers
    | .+\.(filepart|tmp|inflight|aria2)           # WinSCP; Office, sr3; sr_sender; aria2
    | \..+\.sw[a-px] | 4913                       # vim
    | .+~ | \.?\#.+                               # copies, locks and saved states of editors
    | ~\$.+ | \.~lock\..+\#                       # locks of Office and LibreOffice
    """,
    re.VERBOSE | re.DOTALL,
)
_DIRECTORY: Final = "/.~tmp~/"  # rsync --delay-updates


def is_temporary(path: str, *, is_dir: bool) -> bool:
    """Return whether a name is temporary, or is in a directory of temporary names."""
    name = path.rpartition("/")[2]
    return _DIRECTORY in f"{path}/" or (not is_dir and _FILE.fullmatch(name) is not None)
