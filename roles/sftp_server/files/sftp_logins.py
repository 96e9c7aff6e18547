#!/usr/bin/python3
"""Refuses an account for a while that had many wrong keys, from that address only; see --help.

sshd's own penalties shut out an address, with all users behind it.  This program reads in the
journal what sshd says of connections that ended without a login, after a wrong key.  After too many
for one login from one address it writes the file refused/LOGIN@ADDRESS, and sftp-keys-of gives sshd
no key then.  It also writes metrics of Prometheus (logins.prom), and logs refusals and sites with
many failed logins.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import subprocess
import sys
import time
from collections import Counter, deque
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import IO, Any, cast

# A stranger may choose the name of an account that does not exist: the address is what comes last.
WRONG = re.compile(r"Failed publickey for (?:invalid user .*|\S+) from (\S+ port \d+)\b.*")
ENDED = re.compile(
    r"(?:Connection (?:closed by|reset by|from)|Disconnect(?:ed from|ing))"
    r" (authenticating|invalid) user (.*) ((\S+) port \d+)\b.*"
)
FAILURES, REFUSALS = "sftp_logins_failed_total", "sftp_logins_refusals_total"
ABSENT = "-"  # label of what is no account, or no site


class Logins:
    """Failed logins to this node, and who is refused because of them."""

    def __init__(self, config: dict[str, Any], directory: Path) -> None:
        """``config`` is what the role writes; ``directory`` is for the files."""
        self._config = config
        self._sites = [
            (site["name"], ip_network(network))
            for site in config["sites"]
            for network in site["networks"]
        ]
        self._directory = directory
        self._wrong: dict[str, float] = {}  # connections with a wrong key
        self._recent: dict[tuple[str, str], deque[float]] = {}
        self._refused: dict[tuple[str, str], float] = {}
        self._counted: dict[str, Counter[tuple[str, str]]] = {
            FAILURES: Counter(),
            REFUSALS: Counter(),
        }
        (directory / "refused").mkdir(exist_ok=True)
        self._write()

    def read(self, line: str, now: float) -> None:
        """Take a message of sshd; ``now`` is in seconds."""
        if wrong := WRONG.fullmatch(line):
            self._wrong[wrong[1]] = now
            return
        match = ENDED.fullmatch(line)
        if match is None:
            return
        known, login, address = match[1] == "authenticating", match[2], match[4]
        # A client may be stopped before it has offered its key.
        if self._wrong.pop(match[3], None) is None and known:
            return
        site = self._site(address)
        self._counted[FAILURES][login if known else ABSENT, site] += 1
        if known:
            self._count(login, address, site, now)
        if site != ABSENT:
            self._warn(site, now)
        self._write()

    def _site(self, address: str) -> str:
        try:
            parsed = ip_address(address)
        except ValueError:  # sshd says UNKNOWN when it cannot tell any more
            return ABSENT
        return next((name for name, network in self._sites if parsed in network), ABSENT)

    def _count(self, login: str, address: str, site: str, now: float) -> None:
        """Refuse the login from the address if it failed too often."""
        if (login, address) in self._refused:
            return  # so the refusal ends, whatever is tried meanwhile
        number = self._add((login, address), now)
        if number < self._config["tries"]:
            return
        del self._recent[login, address]
        self._refused[login, address] = now + self._config["refused_seconds"]
        self._counted[REFUSALS][login, site] += 1
        self._path(login, address).touch()
        print(
            f"<4>{login} is refused from {address} for {self._config['refused_seconds']} s:"
            f" {number} failed logins in {self._config['seconds']} s (site: {site})"
        )

    def _warn(self, site: str, now: float) -> None:
        """Log that a site has many failed logins, once for each so many."""
        number = self._add(("", site), now)
        if number < self._config["site_tries"]:
            return
        del self._recent["", site]
        print(f"<4>site {site}: {number} failed logins in {self._config['seconds']} s")

    def _add(self, key: tuple[str, str], now: float) -> int:
        """Note a failure; return how many are recent."""
        times = self._recent.setdefault(key, deque())
        times.append(now)
        while times[0] < now - self._config["seconds"]:
            times.popleft()
        return len(times)

    def _path(self, login: str, address: str) -> Path:
        return self._directory / "refused" / f"{login}@{address}"

    def forget(self, now: float) -> None:
        """Let in again whose time is over, and forget what is no longer recent."""
        for login, address in [key for key, end in self._refused.items() if end <= now]:
            del self._refused[login, address]
            self._path(login, address).unlink(missing_ok=True)
            print(f"<6>{login} is no longer refused from {address}")
        begin = now - self._config["seconds"]
        self._recent = {key: times for key, times in self._recent.items() if times[-1] >= begin}
        self._wrong = {key: when for key, when in self._wrong.items() if when >= begin}

    def _write(self) -> None:
        lines = []
        for name, text in (
            (FAILURES, "Connections that ended without a login, after a wrong key or name."),
            (REFUSALS, "How often an account was refused for a while, from an address."),
        ):
            lines += [f"# HELP {name} {text}", f"# TYPE {name} counter"]
            for (login, site), value in sorted(self._counted[name].items()):
                lines.append(f'{name}{{login="{login}",site="{site}"}} {value}')
        (self._directory / ".logins.prom").write_text("\n".join([*lines, ""]))
        (self._directory / ".logins.prom").rename(self._directory / "logins.prom")


def follow(logins: Logins) -> None:
    """Read the journal until journalctl ends."""
    named = [f"--identifier={name}" for name in ("sshd", "sshd-session", "sshd-auth")]
    which = ["--namespace=transfer", "--unit=sshd-transfer", *named]
    shown = ["--follow", "--lines=0", "--output=cat"]
    with subprocess.Popen(["journalctl", *which, *shown], stdout=subprocess.PIPE) as journal:
        output, rest = cast("IO[bytes]", journal.stdout).fileno(), b""
        while True:
            readable, _, _ = select.select([output], [], [], 1.0)
            now = time.monotonic()
            logins.forget(now)
            if not readable:
                continue
            if not (data := os.read(output, 65536)):
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                logins.read(line.decode(errors="replace"), now)


def main() -> None:
    """Run until stopped; exit 1 if the journal cannot be read any more."""
    parser = argparse.ArgumentParser(description="Refuse accounts that often failed to log in.")
    parser.add_argument("config", type=Path, help="JSON: limits, and sites with their networks")
    parser.add_argument("directory", type=Path, help="where to write who is refused, and metrics")
    given = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    follow(Logins(json.loads(given.config.read_text()), given.directory))
    sys.exit("journalctl ended")


if __name__ == "__main__":
    main()
