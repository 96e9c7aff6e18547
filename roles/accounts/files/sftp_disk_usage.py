#!/usr/bin/python3
"""Tells how much of the disk quotas of users and groups is used; see --help.

With --write, which a timer runs, the result is written to a directory, as JSON (usage.json) and as
metrics of Prometheus (usage.prom), and each quota that crosses a threshold is logged.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

THRESHOLDS = (80, 95)  # percent
METRICS = {
    "sftp_disk_used_bytes": ("used", "Disk space that a user or group uses."),
    "sftp_disk_limit_bytes": ("bytes", "Limit of the disk space."),
    "sftp_disk_quota_in_effect": ("in_effect", "Whether the file system knows the limit."),
}
Limit = dict[str, Any]


def measured(homes: Path, limit: Limit) -> Limit:
    """Return a limit with what is used of it.

    File systems answer statvfs for a directory with its quota, CephFS has attributes instead.  What
    answers with another total does not know the limit, and tells nothing about the directory.
    """
    directory = homes / limit["directory"]
    try:
        with contextlib.suppress(OSError):
            total, used = (
                int(os.getxattr(directory, f"ceph.{name}"))
                for name in ("quota.max_bytes", "dir.rbytes")
            )
            return seen(limit, total, used)
        found = os.statvfs(directory)
    except OSError:
        return seen(limit, 0, 0)
    unit = found.f_frsize
    return seen(limit, found.f_blocks * unit, (found.f_blocks - found.f_bfree) * unit)


def seen(limit: Limit, total: int, used: int) -> Limit:
    """Return a limit with its use, in bytes and percent, and the threshold that this is above."""
    in_effect = abs(total - limit["bytes"]) < 1024 * 1024  # whole blocks
    used = used if in_effect else 0
    percent = round(100 * used / limit["bytes"], 1)
    above = max((each for each in THRESHOLDS if percent >= each), default=0)
    return {**limit, "used": used, "percent": percent, "above": above, "in_effect": in_effect}


def line(limit: Limit) -> str:
    """Return a limit for people."""
    who = f"{limit['kind']} {limit['name']}"
    if not limit["in_effect"]:
        return f"{who}: the file system does not enforce the quota of {limit['bytes']} bytes"
    warning = f", above {limit['above']} %" if limit["above"] else ""
    return f"{who}: {limit['percent']} % of {limit['bytes'] / 1024**3:.1f} GiB used{warning}"


def metrics(limits: list[Limit]) -> str:
    """Return the text format of Prometheus."""
    lines = []
    for name, (key, text) in METRICS.items():
        lines += [f"# HELP {name} {text}", f"# TYPE {name} gauge"]
        for limit in limits:
            label = f'{{kind="{limit["kind"]}",name="{limit["name"]}"}}'
            lines.append(f"{name}{label} {int(limit[key])}")
    return "\n".join([*lines, ""])


def write(directory: Path, limits: list[Limit]) -> None:
    """Write the files, and print what is above another threshold than at the last time."""
    before = {}
    with contextlib.suppress(OSError, ValueError):
        for limit in json.loads((directory / "usage.json").read_text()):
            before[limit["kind"], limit["name"]] = limit["above"], limit["in_effect"]
    for limit in limits:
        now = limit["above"], limit["in_effect"]
        if now != before.get((limit["kind"], limit["name"]), (0, True)):
            level = "<4>" if limit["above"] or not limit["in_effect"] else "<5>"
            print(level + line(limit))
    for name, text in (("usage.json", json.dumps(limits)), ("usage.prom", metrics(limits))):
        (directory / f".{name}").write_text(text)
        (directory / f".{name}").rename(directory / name)


def main() -> None:
    """Print or write the use of all quotas; exit 1 if one is above a threshold or not enforced."""
    parser = argparse.ArgumentParser(description="Tell how much of the disk quotas is used.")
    parser.add_argument("limits", type=Path, help="JSON: the directory of homes, and the limits")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--write", type=Path, metavar="DIRECTORY", help="write files there")
    given = parser.parse_args()
    known = json.loads(given.limits.read_text())
    limits = [measured(Path(known["homes"]), limit) for limit in known["limits"]]
    if given.write:
        write(given.write, limits)
        return
    print(json.dumps(limits) if given.json else "\n".join(map(line, limits)))
    sys.exit(any(limit["above"] or not limit["in_effect"] for limit in limits))


if __name__ == "__main__":
    main()
