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
    | \..+\.sw[a-px]                              # vim
    | .+~ | \.?\#.+                               # copies, locks and saved states of editors
    | ~\$.+ | \.~lock\..+\#                       # locks of Office and LibreOffice
    """,
    re.VERBOSE | re.DOTALL,
)
_DIRECTORY: Final = "/.~tmp~/"  # rsync --delay-updates
_PROBE: Final = "4913"  # vim makes an empty file of this name, to see whether it may


def is_temporary(path: str, *, is_dir: bool, size: int) -> bool:
    """Return whether a name is temporary, or is in a directory of temporary names.

    :param size: of the file, in bytes
    """
    name = path.rpartition("/")[2]
    if _DIRECTORY in f"{path}/":
        return True
    return not is_dir and (_FILE.fullmatch(name) is not None or (name == _PROBE and size == 0))
