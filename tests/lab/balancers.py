"""Two load balancers with real keepalived and HAProxy, each in a network namespace of its own.

That of ``_NET`` has what is between them: a bridge for the network inside, with the only
server, and one for the clients' network, with the client.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any, Final, Self

import jinja2

from tests.lab import Unavailable
from tests.lab.haproxy import Haproxy
from tests.lab.plugins import ROOT
from tests.lab.processes import Process, find_program

if TYPE_CHECKING:
    from pathlib import Path

VIP: Final = "192.0.2.10"
_SERVER: Final = "198.51.100.9"
_NET: Final = f"sarra-{os.getpid()}-net"  # tests run in several processes
_ADDRESSES: Final = {f"sarra-{os.getpid()}-{name}": n for name, n in (("one", "11"), ("two", "12"))}
# Intervals of checks as in the role's haproxy.cfg.
_HAPROXY: Final = """
global
    stats socket {directory}/admin.sock level admin
    stats socket {directory}/stats.sock mode 666 level user
defaults
    mode tcp
    timeout connect 5s
    timeout check 5s
    timeout client 1h
    timeout server 1h
listen ssh
    bind {vip}:22
    option tcp-check
    tcp-check connect
    tcp-check expect string up
    default-server inter 2s fastinter 1s downinter 2s fall 3 rise 2
    server node {server}:2200 check
"""


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def _inside(namespace: str) -> list[str]:
    return ["ip", "netns", "exec", namespace]


def _keepalived_conf(name: str, socket: Path) -> str:
    """Return the role's configuration for a load balancer, whose check asks this socket."""
    environment = jinja2.Environment(trim_blocks=True, autoescape=False)  # noqa: S701  as Ansible
    environment.filters["comment"] = lambda text: f"# {text}"
    environment.filters["difference"] = lambda these, others: sorted({*these} - {*others})
    facts: dict[str, Any] = {
        each: {"scope_address": f"198.51.100.{last}"} for each, last in _ADDRESSES.items()
    }
    template = environment.from_string(
        (ROOT / "roles/keepalived/templates/keepalived.conf.j2").read_text()
    )
    text = template.render(
        ansible_managed="of a test",
        inventory_hostname=name,
        keepalived_addresses=[VIP],
        keepalived_balancers=sorted(_ADDRESSES),
        keepalived_router_id=51,
        keepalived_interval=1,
        keepalived_prefix=24,
        scope_address=facts[name]["scope_address"],
        hostvars=facts,
        __keepalived_inner="inner",
        __keepalived_interface="outer",
    )
    # A checkout may lie where keepalived trusts no script, and this machine has not its user.
    text = text.replace("    enable_script_security\n", "").replace("keepalived_script", "root")
    check = ROOT / "roles/keepalived/files/balancer_sees_servers.sh"
    return text.replace("/usr/local/libexec/balancer-sees-servers", f"/bin/sh {check} {socket}")


class Balancer:
    """One of the load balancers."""

    def __init__(self, name: str, directory: Path) -> None:
        """Start HAProxy and keepalived in the namespace ``name``."""
        self.name = name
        directory.mkdir()
        self.haproxy = Haproxy(directory, _inside(name))
        text = _HAPROXY.format(directory=directory, vip=VIP, server=_SERVER)
        self.haproxy.config.write_text(text)
        self.haproxy.start()
        configuration = directory / "keepalived.conf"
        configuration.write_text(_keepalived_conf(name, directory / "stats.sock"))
        argv = [*_inside(name), find_program("keepalived"), "--dont-fork", "--log-console"]
        pids = [f"--pid={directory}/pid", f"--vrrp_pid={directory}/vrrp.pid", "--vrrp"]
        self._keepalived = Process(
            [*argv, "--log-detail", *pids, f"--use-file={configuration}"], directory / "log"
        )

    def holds(self) -> bool:
        """Return whether it holds the virtual address."""
        return f" {VIP}/" in _run(*_inside(self.name), "ip", "-brief", "address")

    def fault(self) -> bool:
        """Return whether keepalived has found that it cannot serve users."""
        return self._keepalived.output().rpartition("Entering ")[2].startswith("FAULT")

    def cut(self) -> None:
        """Let its network inside carry nothing, while its own link stays up."""
        _run("ip", "-n", _NET, "link", "set", f"in-{self.name[-3:]}", "nomaster")

    def mend(self) -> None:
        """Let its network inside carry packets again."""
        _run("ip", "-n", _NET, "link", "set", f"in-{self.name[-3:]}", "master", "inside")

    def stop(self) -> None:
        """Stop what runs in the namespace."""
        self._keepalived.stop()
        self.haproxy.stop()


class Balancers:
    """Both load balancers, the server and the client; a context."""

    def __init__(self, directory: Path) -> None:
        """``directory`` is for configurations and logs."""
        if os.geteuid() != 0:
            raise Unavailable("network namespaces need root")
        self._directory = directory
        self.both: list[Balancer] = []

    def __enter__(self) -> Self:
        """Make the namespaces and start all programs."""
        self._remove()
        try:
            self._make()
            self.server = self._start_server()
            self.both = [Balancer(name, self._directory / name) for name in _ADDRESSES]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the programs and remove the namespaces."""
        for each in self.both:
            each.stop()
        if hasattr(self, "server"):
            self.server.stop()
        self._remove()

    def restart_server(self) -> None:
        """Start the only server again after it was stopped."""
        self.server = self._start_server()

    def answered(self) -> bool:
        """Return whether the client gets through to the server within half a second."""
        ask = ["socat", "-T", "0.5", "-u", f"TCP:{VIP}:22,connect-timeout=0.5", "-"]
        done = subprocess.run([*_inside(_NET), *ask], capture_output=True, check=False)
        return done.stdout == b"up\n"

    def _start_server(self) -> Process:
        listen = "TCP-LISTEN:2200,fork,reuseaddr,backlog=50"
        argv = [*_inside(_NET), find_program("socat"), listen, "SYSTEM:echo up"]
        return Process(argv, self._directory / "server.log")

    @staticmethod
    def _make() -> None:
        for name in (_NET, *_ADDRESSES):
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        for bridge, address in (("inside", _SERVER), ("outside", "192.0.2.9")):
            _run("ip", "-n", _NET, "link", "add", bridge, "type", "bridge")
            _run("ip", "-n", _NET, "address", "add", f"{address}/24", "dev", bridge)
            _run("ip", "-n", _NET, "link", "set", bridge, "up")
        for name, last in _ADDRESSES.items():
            networks = (
                ("inner", "in", "inside", "198.51.100"),
                ("outer", "out", "outside", "192.0.2"),
            )
            for own, short, bridge, prefix in networks:
                far = f"{short}-{name[-3:]}"
                peer = ["peer", "name", own, "netns", name]
                _run("ip", "-n", _NET, "link", "add", far, "type", "veth", *peer)
                _run("ip", "-n", _NET, "link", "set", far, "master", bridge, "up")
                _run("ip", "-n", name, "address", "add", f"{prefix}.{last}/24", "dev", own)
                _run("ip", "-n", name, "link", "set", own, "up")
            _run(*_inside(name), "sysctl", "-q", "net.ipv4.ip_nonlocal_bind=1")

    @staticmethod
    def _remove() -> None:
        for name in (_NET, *_ADDRESSES):
            subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
