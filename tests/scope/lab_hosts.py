"""Takes hosts of a lab away, cuts their connections, and looks from outside whether all is well.

Everything goes through the container engine: a host that is frozen or cut off answers no ssh.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.scope.conftest import Scope

_ALL_UP = "gluster volume status homes detail | grep ^Online"
_STATES = "echo 'show stat' | socat /run/haproxy/admin.sock - | cut -d, -f1,2,18"
_BROKER = "echo 'show table amqps' | socat /run/haproxy/admin.sock -"


class Lab:
    """The containers of a scope."""

    def __init__(self, scope: Scope) -> None:
        """``scope`` must be one that ``molecule/shared`` has started."""
        self.scope = scope

    def podman(self, *words: str) -> None:
        """Run a command of the container engine that must succeed."""
        subprocess.run(["podman", *words], check=True, env=self.scope.environment)

    def run(self, host: str, command: str, user: str = "root") -> tuple[int, str]:
        """Run a shell command inside a host; return its exit status and what it prints."""
        words = ["podman", "exec", f"sarra-{host}", "runuser", "-u", user, "--", "sh", "-c"]
        done = subprocess.run(
            [*words, f"cd; {command}"],
            env=self.scope.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout if done.returncode == 0 else done.stdout + done.stderr

    def ok(self, host: str, command: str, user: str = "root") -> str:
        """Run a shell command that must succeed; return what it prints."""
        status, printed = self.run(host, command, user)
        assert status == 0, f"{host}: {command}\n{printed}"
        return printed

    def cut(self, host: str, others: Iterable[str], *, answers: bool = True) -> None:
        """Drop what a host sends to others, and unless ``answers`` is false what they send, too."""
        addresses = ", ".join(self.scope.var("scope_address", other) for other in others)
        chain = "chain {0} {{ type filter hook {0}put priority -300; ip {1}addr {{ {2} }} drop; }}"
        chains = [chain.format("out", "d", addresses)]
        if answers:
            chains.append(chain.format("in", "s", addresses))
        self.ok(host, f"nft 'table inet spec_cut {{ {'; '.join(chains)}; }}'")

    def mend(self, host: str) -> None:
        """Let through again what ``cut`` drops."""
        self.ok(host, "nft delete table inet spec_cut")

    def serving(self) -> str:
        """Return the broker to which a load balancer sends clients, of the first that answers."""
        for name in self.scope.group("load_balancers"):
            if found := re.search(r"server_key=(\S+)", self.run(name, _BROKER)[1]):
                return found[1]
        return ""

    def holders(self) -> list[str]:
        """Return the load balancer that holds each of the virtual addresses, or several of one."""
        addresses = [self.scope.var(f"scope_{kind}_vip") for kind in ("sftp", "broker")]
        shown = {
            name: self.run(name, "ip -brief address")[1]
            for name in self.scope.group("load_balancers")
        }
        return [name for one in addresses for name, text in shown.items() if f" {one}/" in text]

    def missing(self) -> list[str]:
        """Return a line for each thing that is not as it should be."""
        return [*self._brokers(), *self._files(), *self._balancers()]

    def until(self, true: Callable[[], bool], seconds: float) -> None:
        """Wait until ``true()``.

        :raises AssertionError: it is still not after ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline
            time.sleep(0.5)

    def wait_until_well(self, seconds: float) -> float:
        """Wait until everything is as it should be; return the seconds that it took.

        :raises AssertionError: something is still missing after ``seconds``.
        """
        begin = time.monotonic()
        while lacking := self.missing():
            assert time.monotonic() - begin < seconds, "\n".join(lacking)
            time.sleep(1)
        return time.monotonic() - begin

    def _brokers(self) -> Iterable[str]:
        members = self.scope.group("broker_members")
        status, printed = self.run(members[0], "rabbitmqctl -q cluster_status --formatter json")
        if status:
            yield f"{members[0]}: the broker does not answer"
            return
        state: dict[str, Any] = json.loads(printed)
        if len(state["running_nodes"]) < len(members):
            yield f"brokers: only {state['running_nodes']}"
        if state["alarms"] or state["partitions"]:
            yield f"brokers: {state['alarms']} {state['partitions']}"
        for name in members:
            if self.run(name, "rabbitmq-diagnostics -q check_if_node_is_quorum_critical")[0]:
                yield f"{name}: quorum-critical"

    def _files(self) -> Iterable[str]:
        for name in self.scope.group("sftp_nodes"):
            if self.run(name, f"mountpoint -q {self.scope.var('scope_homes')}")[0]:
                yield f"{name}: the homes are not mounted"
        if self.scope.var("scope_shared_fs") != "glusterfs":
            return
        server = self.scope.group("shared_fs_servers")[0]
        status, printed = self.run(server, _ALL_UP)
        if status or ": N" in printed:
            yield f"bricks: {printed}"
        for line in self.run(server, "gluster volume heal homes info summary")[1].splitlines():
            if line.startswith("Total Number of entries") and not line.endswith(": 0"):
                yield f"heal: {line}"

    def _balancers(self) -> Iterable[str]:
        for name in self.scope.group("load_balancers"):
            status, printed = self.run(name, _STATES)
            if status:
                yield f"{name}: haproxy does not answer"
            for line in printed.splitlines():
                backend, server, state = [*line.split(","), "", ""][:3]
                if server not in ("FRONTEND", "BACKEND", "svname") and "DOWN" in state:
                    yield f"{name}: {backend}/{server} is {state}"
        if len(found := self.holders()) != 2:
            yield f"the virtual addresses are held by {found}"
