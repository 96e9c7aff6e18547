#!/usr/bin/python3
"""Holds groups of SFTP users to their rates on this load balancer; see --help.

``apply`` loads the rules that recognize the packets of a group, and gives each group a class of tc
on the interfaces to the nodes.  ``check`` writes metrics, and prints what is not in place.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CONFIG = Path("/etc/haproxy/rates.json")
RULES = "/etc/haproxy/rates.nft"
TABLE = ("table", "inet", "haproxy_rates")
UNKNOWN = "1:40"  # class of sessions whose group is not known
UNKNOWN_BITS = 1_000_000  # enough for logins
# A rate is one of files' bytes: packets have 4.6 % more, and SSH's own messages a bit.
OVERHEAD = 1.05
LEAST_BURST = 128 * 1024  # bytes; a packet of TCP offload has up to 64 KiB
MOST_BURST = 2**31  # bytes that tc accepts
Config = dict[str, Any]


def run(*command: str, text: str | None = None) -> str:
    """Run a command; return its output, or end the program with its error."""
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def interfaces(config: Config) -> set[str]:
    """Return the interfaces that packets to the nodes leave by."""
    routes = (json.loads(run("ip", "-json", "route", "get", node)) for node in config["nodes"])
    return {route[0]["dev"] for route in routes}


def wanted(config: Config) -> dict[str, int]:
    """Return bits per second by class; none while no group has a rate."""
    rates = {f"1:{group['mark']:x}": int(group["bits"] * OVERHEAD) for group in config["groups"]}
    if rates and config["closed"]:
        rates[UNKNOWN] = UNKNOWN_BITS
    return rates


def bursts(config: Config) -> dict[str, int]:
    """Return by class the seconds for which a group may save what it does not use."""
    return {f"1:{group['mark']:x}": group.get("burst", 0) for group in config["groups"]}


def has_ours(interface: str) -> bool:
    """Return whether the interface has the queueing discipline that ``apply`` makes."""
    found = json.loads(run("tc", "-json", "qdisc", "show", "dev", interface))
    return any((each["kind"], each["handle"]) == ("htb", "1:") for each in found)


def classes(interface: str) -> set[str]:
    """Return the classes that an interface has."""
    lines = run("tc", "class", "show", "dev", interface).splitlines()
    return {line.split()[2] for line in lines if line.startswith("class htb 1:")}


def batch(interface: str, rates: dict[str, int], saved: dict[str, int]) -> list[str]:
    """Return the commands of tc that make an interface hold the rates; others pass freely."""
    ours = has_ours(interface)
    if not rates:
        return [f"qdisc del dev {interface} root"] if ours else []
    lines = [] if ours else [f"qdisc replace dev {interface} root handle 1: htb default 0"]
    for name, bits in rates.items():
        burst = max(bits // 8 // 20, bits // 8 * saved.get(name, 0), LEAST_BURST)
        burst = min(burst, MOST_BURST)
        lines.append(
            f"class replace dev {interface} parent 1: classid {name}"
            f" htb rate {bits}bit burst {burst} cburst {burst} quantum 60000"
        )
    others = sorted(classes(interface) - rates.keys())
    return lines + [f"class del dev {interface} classid {name}" for name in others]


def apply(config: Config) -> None:
    """Make the kernel hold the rates; the classes that stay lose no packet."""
    run("nft", "--file", RULES)
    for interface in sorted(interfaces(config)):
        if lines := batch(interface, wanted(config), bursts(config)):
            run("tc", "-batch", "-", text="\n".join([*lines, ""]))


def counters() -> dict[str, int]:
    """Return the bytes that the rules have counted; nothing if these are not loaded."""
    command = ["nft", "--json", "list", "counters", *TABLE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["nftables"] if done.returncode == 0 else []
    return {
        each["counter"]["name"]: each["counter"]["bytes"] for each in found if "counter" in each
    }


def missing(config: Config, counted: dict[str, int]) -> list[str]:
    """Return what is not in place, a line each."""
    rates = wanted(config)
    lines = [
        f"{interface} has no class {name}"
        for interface in sorted(interfaces(config))
        for name in sorted(rates.keys() - classes(interface))
    ]
    if rates and "unmarked" not in counted:
        lines.append("the rules are not loaded")
    return lines


def metrics(config: Config, lacking: list[str], counted: dict[str, int]) -> str:
    """Return the text format of Prometheus."""
    enforced, unknown = "sftp_rates_enforced", "sftp_rates_unknown_bytes_total"
    limit, sent = "sftp_rate_limit_bits_per_second", "sftp_rate_bytes_total"
    lines = [
        f"# HELP {enforced} Whether this load balancer holds the rates of groups.",
        f"# TYPE {enforced} gauge",
        f"{enforced} {int(not lacking)}",
        f"# HELP {unknown} Bytes to nodes of sessions whose group is not known.",
        f"# TYPE {unknown} counter",
        f"{unknown} {counted.get('unmarked', 0)}",
        f"# HELP {limit} Rate of a group, each for up and down.",
        f"# TYPE {limit} gauge",
        *(f'{limit}{{group="{each["name"]}"}} {each["bits"]}' for each in config["groups"]),
        f"# HELP {sent} Bytes of packets to the nodes (up) and from them (down).",
        f"# TYPE {sent} counter",
    ]
    for name in (each["name"] for each in config["groups"]):
        for way in ("up", "down"):
            value = counted.get(f"{way}_{name}", 0)
            lines.append(f'{sent}{{group="{name}",direction="{way}"}} {value}')
    return "\n".join([*lines, ""])


def check(config: Config, directory: Path) -> bool:
    """Write the metrics, print what is wrong; return whether all is in place."""
    counted = counters()
    lacking = missing(config, counted)
    for line in lacking:
        print(f"<3>the rates of groups are not held: {line}")
    state, before, now = directory / "unknown", 0, counted.get("unmarked", 0)
    with contextlib.suppress(OSError, ValueError):
        before = int(state.read_text())
    sent = now - before if now >= before else now  # rules that are loaded again count from 0
    if sent:
        held = f"held at {UNKNOWN_BITS // 10**6} Mbit/s in all" if config["closed"] else "not held"
        print(f"<4>sessions whose group is not known sent {sent} bytes, {held}")
    state.write_text(str(now))
    (directory / ".rates.prom").write_text(metrics(config, lacking, counted))
    (directory / ".rates.prom").rename(directory / "rates.prom")
    return not lacking


def main() -> None:
    """Apply or check; exit 1 if something is missing."""
    parser = argparse.ArgumentParser(description="Hold groups of SFTP users to their rates.")
    parser.add_argument("action", choices=["apply", "check"])
    parser.add_argument("--write", type=Path, default=Path("/run/sftp-rates"), metavar="DIRECTORY")
    given = parser.parse_args()
    config = json.loads(CONFIG.read_text())
    if given.action == "apply":
        apply(config)
    else:
        sys.exit(not check(config, given.write))


if __name__ == "__main__":
    main()
