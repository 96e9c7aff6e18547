#!/usr/bin/python3
"""Keeps the server states that operators set at HAProxy, such as a drained node; see --help.

HAProxy reads a file of states when it starts or is reloaded, and prefers what is there to its
configuration: ports, too.  So the file is brought in line with the configuration before.

``save`` writes the states of the running HAProxy, for a reload, with what checks have found.
``start`` leaves in the file only what operators have set: what checks found before HAProxy ended
says nothing.  ``check`` tells where the running HAProxy differs from the configuration.
"""

from __future__ import annotations

import argparse
import ipaddress
import itertools
import os
import shlex
import socket
import sys
from pathlib import Path

MAINTENANCE, BY_CONFIGURATION, DRAIN = 1, 4, 8  # bits of srv_admin_state
RUNNING = "2"  # srv_op_state
NO_SSL = "-1"  # srv_use_ssl of a server with no-ssl
NONE = "-"  # a field without a value
TIMEOUT = 10.0  # seconds for HAProxy's answer
# The fields that are needed; what HAProxy says is complete.
HEADER = (
    "# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight"
    " srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state"
    " srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl"
    " srv_check_port srv_check_addr srv_agent_addr srv_agent_port"
)
Server = dict[str, str]  # the fields of a line, in order
Servers = dict[tuple[str, str], Server]  # by names of backend and server


def read_states(text: str) -> Servers:
    """Return the servers in the answer to ``show servers state``, or in a file with it."""
    names: list[str] = []
    found: Servers = {}
    for line in text.splitlines():
        if line.startswith("# "):
            names = line.removeprefix("# ").split()
        elif names and len(values := line.split()) == len(names):
            server = dict(zip(names, values, strict=True))
            found[server["be_name"], server["srv_name"]] = server
    return found


def read_configuration(text: str) -> Servers:
    """Return of each server what its configuration says and HAProxy keeps in the file."""
    found: Servers = {}
    kind, backend = "", ""
    common: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        if words and not line[0].isspace():
            kind, backend = words[0], words[1] if len(words) > 1 else ""
            common[kind + backend] = list(common.get("defaults", []))
        elif words and words[0] == "default-server":
            common[kind + backend] += words[1:]
        elif words and words[0] == "server" and kind in {"listen", "backend"}:
            options = common[kind + backend] + words[3:]
            found[backend, words[1]] = configured(words[2], options)
    return found


def configured(address: str, options: list[str]) -> Server:
    """Return the fields for a server with this address and these options, the last one counts."""
    host, _, port = address.rpartition(":")
    value = dict(itertools.pairwise(options))
    tls = [word for word in options if word in {"ssl", "no-ssl"}]
    return {
        "srv_addr": address_or_none(host.strip("[]")),
        "srv_port": port,
        "srv_use_ssl": "1" if tls[-1:] == ["ssl"] else "0",
        "srv_check_port": value.get("port", "0"),
        "srv_check_addr": value.get("addr", NONE),
    }


def address_or_none(host: str) -> str:
    """Return an IP address as it is; HAProxy looks up a name when it is not told an address."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return NONE


def other(server: Server, wanted: Server) -> list[str]:
    """Return the fields of a server that are not as the configuration says."""
    found = [key for key, value in wanted.items() if server.get(key) != value]
    if server.get("srv_use_ssl") == NO_SSL and wanted["srv_use_ssl"] == "0":
        found.remove("srv_use_ssl")
    if wanted["srv_addr"] == NONE:  # a name, which HAProxy has resolved
        found.remove("srv_addr")
    return found


def differences(live: Servers, wanted: Servers) -> list[str]:
    """Return where states differ from the configuration, one line for each server."""
    found = []
    for name, fields in wanted.items():
        server = live.get(name, {})
        said = [f"{key} {server.get(key)}, not {fields[key]}" for key in other(server, fields)]
        if said:
            found.append(f"{'/'.join(name)}: {'; '.join(said)}")
    return found


def set_by_operator(server: Server) -> bool:
    """Return whether an operator, not the configuration, has taken the server out."""
    bits = int(server["srv_admin_state"])
    return bool(bits & DRAIN or (bits & MAINTENANCE and not bits & BY_CONFIGURATION))


def in_line(states: Servers, wanted: Servers, *, checked: bool) -> Servers:
    """Return the states that may be kept, as the configuration wants the servers.

    ``checked`` says whether to keep what checks have found, too; they found nothing about a server
    whose address or port is another now.
    """
    kept: Servers = {}
    for name, server in states.items():
        if name not in wanted:
            continue
        same = not other(server, wanted[name])
        if set_by_operator(server):
            found = {} if checked and same else {"srv_op_state": RUNNING}
            kept[name] = server | wanted[name] | found | {"srv_agent_port": "0"}
        elif checked and same:
            kept[name] = server | {"srv_agent_port": "0"}
    return kept


def write(path: Path, states: Servers) -> None:
    """Replace the file by one with these states, at once and durably."""
    first = next(iter(states.values()), None)
    header = f"# {' '.join(first)}" if first else HEADER
    lines = ["1", header, *(" ".join(server.values()) for server in states.values())]
    new = path.with_name(f"{path.name}.new")
    with new.open("w") as file:
        file.write("\n".join(lines) + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.chmod(0o644)
    new.replace(path)


def ask(address: Path) -> str:
    """Return the server states of the running HAProxy; raise OSError if it does not answer."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT)
        connection.connect(str(address))
        connection.sendall(b"show servers state\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    if not answer.endswith(b"\n\n"):
        raise OSError("HAProxy's answer is not complete")
    return answer.decode()


def main() -> int:
    """Run as a program; return its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=["save", "start", "check"])
    parser.add_argument("--config", type=Path, default=Path("/etc/haproxy/haproxy.cfg"))
    parser.add_argument("--socket", type=Path, default=Path("/run/haproxy/admin.sock"))
    parser.add_argument("--file", type=Path, default=Path("/var/lib/haproxy/server-state"))
    given = parser.parse_args()
    wanted = read_configuration(given.config.read_text())
    try:
        live = read_states(ask(given.socket)) if given.what != "start" else None
    except OSError as error:
        # A crash: what was saved before is what there is.
        print(f"<4>HAProxy does not tell its server states: {error}", file=sys.stderr)
        live = None
    if given.what == "check":
        found = ["it does not answer"] if live is None else differences(live, wanted)
        print(*found, sep="\n")
        return 1 if found else 0
    saved = given.file.read_text() if given.file.exists() else ""
    states = read_states(saved) if live is None else live
    write(given.file, in_line(states, wanted, checked=live is not None))
    return 1 if given.what == "save" and live is None else 0


if __name__ == "__main__":
    sys.exit(main())
