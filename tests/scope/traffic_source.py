"""Writes files, on a user's host, until the file ``stop`` is beside their directory.

``traffic_source.py DIRECTORY INTERVAL``: one file each INTERVAL seconds, 10 KiB long, each 40th
12 MiB.  A file gets its name when it is whole.  Prints how many there are.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path


def main() -> None:
    """Write files until told to stop."""
    directory, interval = Path(sys.argv[1]), float(sys.argv[2])
    unfinished, stop = directory.with_name("unfinished"), directory.with_name("stop")
    number, begin = 0, time.monotonic()
    while not stop.exists():
        size = 12 * 1024**2 if number % 40 == 20 else 10 * 1024
        unfinished.write_bytes(random.Random(number).randbytes(size))
        unfinished.rename(directory / str(number))
        number += 1
        time.sleep(max(0.0, begin + number * interval - time.monotonic()))
    print(number)


if __name__ == "__main__":
    main()
