"""Ansible module that compares HAProxy's servers, as it uses them, with its configuration."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from typing import Final

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = """
module: drift_haproxy
short_description: Tell how HAProxy's servers differ from its configuration
description:
  - Servers can be drained, put into maintenance or given another address at run time, which a
    reload keeps.  Whether a server is up is not compared.
options:
  config: {description: Its configuration., type: path, default: /etc/haproxy/haproxy.cfg}
  socket: {description: Its socket., type: path, default: /run/haproxy/admin.sock}
"""
MAINTENANCE, DRAINED = 0x01, 0x08  # bits of srv_admin_state that an operator sets
SERVER: Final = re.compile(r"\s+server (\S+) (\S+):(\d+)(?: |$)")
Found = list[dict[str, str]]
Servers = dict[tuple[str, str], tuple[str, str]]  # address and port by proxy and server


def configured(text: str) -> Servers:
    """Return the servers in a configuration."""
    found = {}
    proxy = ""
    for line in text.splitlines():
        if line[:1].isalpha():
            kind, _, name = line.partition(" ")
            proxy = name.strip() if kind in ("listen", "backend") else ""
        elif proxy and (match := SERVER.match(line)):
            found[proxy, match[1]] = (match[2], match[3])
    return found


def differences(wanted: Servers, states: str) -> Found:
    """Return how the answer to C(show servers state) differs from the servers that are wanted."""
    heads: list[str] = []
    live = {}
    for line in states.splitlines():
        if line.startswith("# "):
            heads = line[2:].split()
        elif heads and line:
            row = dict(zip(heads, line.split(), strict=False))
            live[row["be_name"], row["srv_name"]] = row
    found = []
    for (proxy, name), (address, port) in wanted.items():
        what = f"HAProxy server {proxy}/{name}"
        one = live.get((proxy, name))
        if one is None:
            found.append({"what": what, "is": "gone", "should": f"{address}:{port}"})
            continue
        at = f"{one['srv_addr']}:{one['srv_port']}"
        if at != f"{address}:{port}":
            found.append({"what": what, "is": at, "should": f"{address}:{port}"})
        if said := _taken_out(one):
            found.append({"what": what, "is": said, "should": "ready"})
    unknown = [key for key in live if key not in wanted]
    return found + [
        {"what": f"HAProxy server {proxy}/{name}", "is": "there", "should": "not there"}
        for proxy, name in unknown
    ]


def _taken_out(row: dict[str, str]) -> str:
    """Return how an operator has taken a server out; empty if none has."""
    admin = int(row["srv_admin_state"])
    if admin & MAINTENANCE:
        return "in maintenance"
    if admin & DRAINED:
        return "drained"
    weight, first = row["srv_uweight"], row["srv_iweight"]
    return f"of weight {weight}, not {first}" if weight != first else ""


def ask(path: str, command: str) -> str:
    """Return HAProxy's answer to a command."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(path)
        connection.sendall(f"{command}\n".encode())
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def main() -> None:
    """Run as a module of Ansible."""
    module = AnsibleModule(
        argument_spec={
            "config": {"type": "path", "default": "/etc/haproxy/haproxy.cfg"},
            "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
        },
        supports_check_mode=True,
    )
    try:
        states = ask(module.params["socket"], "show servers state")
    except OSError as error:
        module.exit_json(
            found=[{"what": "HAProxy", "is": f"does not answer: {error}", "should": "running"}]
        )
    wanted = configured(Path(module.params["config"]).read_text())
    module.exit_json(found=differences(wanted, states))


if __name__ == "__main__":
    main()
