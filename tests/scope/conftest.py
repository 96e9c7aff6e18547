"""Fixtures: the scope under test, from an inventory, and a client on a users' host.

``pytest tests/scope --ansible-inventory inventories/lab`` runs the specification against the scope
of that inventory.  Tests expect only what the inventory says, so it may be a production scope; a
test that needs something that an inventory lacks is skipped.  ``--destructive`` adds tests that
kill services; use it for a lab only.
"""

from __future__ import annotations

import base64
import os
import shlex
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import testinfra
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.vars.manager import VariableManager

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CLIENT = Path(__file__).with_name("client.py")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scope")
    group.addoption("--destructive", action="store_true", help="kill services, too")
    group.addoption("--file-size", default="2G", help="size of the large file (default: 2G)")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "destructive: kills services; only with --destructive")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip destructive tests unless --destructive is given, and run them last."""
    if not config.getoption("--destructive"):
        skip = pytest.mark.skip(reason="only with --destructive")
        for item in items:
            if item.get_closest_marker("destructive"):
                item.add_marker(skip)
    items.sort(key=lambda item: item.get_closest_marker("destructive") is not None)


class Scope:
    """The inventory under test, with its variables and hosts."""

    def __init__(self, inventory: Path, directory: Path) -> None:
        """``directory`` is for temporary files."""
        init_plugin_loader()
        self.inventory = inventory
        self._directory = directory
        loader = DataLoader()
        self._manager = InventoryManager(loader=loader, sources=[str(inventory)])
        self._variables = VariableManager(loader=loader, inventory=self._manager)
        self._loader = loader
        self._hosts: dict[str, Any] = {}

    def group(self, name: str) -> list[str]:
        """Return the hosts of a group, in the inventory's order."""
        return [host.name for host in self._manager.get_hosts(name)]

    def var(self, name: str, host: str | None = None) -> Any:
        """Return a variable of a host, by default of the first host of the scope."""
        chosen = self._manager.get_host(host or self.group("scope")[0])
        variables = self._variables.get_vars(host=chosen)
        return Templar(self._loader, variables=variables).template(variables.get(name))

    def host(self, name: str) -> Any:
        """Return the testinfra object of a host."""
        if name not in self._hosts:
            sudo = self.var("ansible_user", name) not in (None, "root")
            spec = f"ssh://{name}"
            config = str(self._ssh_config)
            self._hosts[name] = testinfra.get_host(spec, ssh_config=config, sudo=sudo)
        return self._hosts[name]

    def playbook(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a playbook on this inventory."""
        return subprocess.run(
            [*self.command(name), *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def command(self, name: str) -> list[str]:
        """Return the command that runs a playbook on this inventory."""
        playbook = str(ROOT / f"playbooks/{name}.yml")
        return ["ansible-playbook", "-i", str(self.inventory), playbook]

    @property
    def environment(self) -> dict[str, str]:
        """Environment for playbooks, without molecule's settings, which enable colours."""
        others = ("ANSIBLE_", "MOLECULE_", "PY_COLORS", "CLICOLOR")
        return {key: value for key, value in os.environ.items() if not key.startswith(others)} | {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "CONTAINERS_CONF": str(ROOT / "molecule/containers.conf"),
        }

    def addresses(self, group: str) -> dict[str, str]:
        """Return the address inside the scope of each host of a group."""
        return {host: self.var("scope_address", host) for host in self.group(group)}

    def holders(self, address: str) -> list[str]:
        """Return the load balancers that hold a virtual address."""
        balancers = self.group("load_balancers")
        return [
            name
            for name in balancers
            if f" {address}/" in self.host(name).check_output("ip -brief address")
        ]

    @cached_property
    def _ssh_config(self) -> Path:
        # testinfra does not evaluate templates in variables, and ours are templates.
        path = self._directory / "ssh_config"
        path.write_text("".join(self._ssh_lines()))
        return path

    def _ssh_lines(self) -> Iterator[str]:
        for name in [*self.group("scope"), *self.group("sources")]:
            yield f"Host {name}\n  HostName {self.var('ansible_host', name) or name}\n"
            yield f"  ControlMaster auto\n  ControlPath {self._directory}/%C\n  BatchMode yes\n"
            yield "  ControlPersist 60\n"
            for key, variable in (
                ("User", "ansible_user"),
                ("IdentityFile", "ansible_ssh_private_key_file"),
            ):
                if value := self.var(variable, name):
                    yield f"  {key} {value}\n"
            words = shlex.split(self.var("ansible_ssh_common_args", name) or "")
            for option in (word for word in words if word != "-o"):
                key, _, value = option.removeprefix("-o").partition("=")
                yield f"  {key} {value}\n"


class Client:
    """A user on a host outside the scope."""

    def __init__(self, scope: Scope, host: str, user: dict[str, Any]) -> None:
        """``user`` is an entry of source_host_users."""
        self.scope = scope
        self.name = host
        self.host = scope.host(host)
        self.user = user["user"]
        self.login = user["login"]
        self.broker_user = user["broker_user"]
        self.directory = user["directory"]
        self.sftp_name = scope.var("scope_sftp_name")
        self.broker_name = scope.var("scope_broker_name")

    def run(self, command: str, *, user: str | None = None) -> Any:
        """Run a shell command as the user; return its result, output and exit status."""
        # testinfra takes exit status 255 for a failure of its own ssh to connect.
        script = f"cd; ({command}) || {{ status=$?; [ $status = 255 ] && exit 1; exit $status; }}"
        return self.host.run(f"runuser -u {user or self.user} -- sh -c {shlex.quote(script)}")

    def ok(self, command: str, *, user: str | None = None) -> str:
        """Run a shell command that must succeed; return what it prints."""
        result = self.run(command, user=user)
        assert result.rc == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        return str(result.stdout)

    def python(self, *arguments: str, user: str | None = None) -> str:
        """Run client.py as the user, with the Python of the package; return what it prints."""
        code = base64.b64encode(CLIENT.read_bytes()).decode()
        words = shlex.join(arguments)
        return self.ok(
            f"echo {code} | base64 -d > /tmp/client-$(id -un).py;"
            f" /opt/sarra_lite/current/bin/python /tmp/client-$(id -un).py {words}",
            user=user,
        )


@pytest.fixture(scope="session")
def scope(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scope:
    inventory = request.config.getoption("--ansible-inventory")
    if not inventory:
        pytest.skip("say --ansible-inventory")
    return Scope(ROOT / inventory, tmp_path_factory.mktemp("scope", numbered=True))


@pytest.fixture(scope="session")
def client(scope: Scope) -> Client:
    """The first user of the first host in the group sources."""
    for host in scope.group("sources"):
        for user in scope.var("source_host_users", host) or []:
            return Client(scope, host, user)
    pytest.skip("the inventory has no user at a host in the group sources")


@pytest.fixture(scope="session")
def file_size(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--file-size"))
