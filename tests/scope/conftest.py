"""Fixtures: the scope under test, from an inventory, and a client on a users' host.

``pytest tests/scope --ansible-inventory inventories/lab`` runs the specification against the scope
of that inventory.  Tests expect only what the inventory says, so it may be a production scope; a
test that needs something that an inventory lacks is skipped.  ``--destructive`` adds tests that
kill services; use it for a lab only.
"""

from __future__ import annotations

import base64
import datetime as dt
import os
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import testinfra
from aiosmtpd.controller import Controller
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar
from ansible.vars.manager import VariableManager

from tests.lab.processes import free_port
from tests.lab.site import wait_until
from tests.scope import faults
from tests.scope.audit import Findings, waivers
from tests.scope.mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
LOCAL_UID = 45999


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scope")
    group.addoption("--destructive", action="store_true", help="kill services, too")
    group.addoption("--security", action="store_true", help="audits that take minutes, too")
    group.addoption("--restored", action="store_true", help="only what make restore tests")
    text = "leave out what says the same on {} host{}, which another scope is tested for"
    group.addoption("--several-hosts", action="store_true", help=text.format("one", ""))
    group.addoption("--one-host", action="store_true", help=text.format("several", "s"))
    group.addoption("--file-size", default="2G", help="size of the large file (default: 2G)")
    text = "seconds for which rates are measured, from 60 with a tolerance of 10 %% (default: 8)"
    group.addoption("--rate-seconds", type=int, default=8, help=text)
    text = "with --security, write the findings of all tools to this file, as Markdown"
    group.addoption("--security-report", type=Path, metavar="FILE", help=text)
    text = "write the outcome of all destructive tests to this file, as Markdown"
    group.addoption("--faults-report", type=Path, metavar="FILE", help=text)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "destructive: kills services; only with --destructive")
    config.addinivalue_line("markers", "security: takes minutes; only with --security")
    config.addinivalue_line("markers", "restored: after a restore; only with --restored")
    config.addinivalue_line("markers", "one_host: the same on one host; not with --several-hosts")
    config.addinivalue_line("markers", "several_hosts: the same on several; not with --one-host")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip tests whose marker is not given as an option, and run destructive ones last."""
    if config.getoption("--restored"):
        items[:] = [item for item in items if item.get_closest_marker("restored")]
    for marker in ("destructive", "security", "restored"):
        if not config.getoption(f"--{marker}"):
            skip = pytest.mark.skip(reason=f"only with --{marker}")
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(skip)
    for option, marker in (("--several-hosts", "one_host"), ("--one-host", "several_hosts")):
        if config.getoption(option):
            skip = pytest.mark.skip(reason=f"not with {option}")
            for item in items:
                if item.get_closest_marker(marker):
                    item.add_marker(skip)
    items.sort(key=lambda item: item.get_closest_marker("destructive") is not None)


FINDINGS = pytest.StashKey[Findings]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print what tools found, and write the reports that are asked for."""
    if path := config.getoption("--faults-report"):
        path.write_text(faults.report(terminalreporter))
    found = config.stash.get(FINDINGS, None)
    if found is None or not config.getoption("--security"):
        return
    failed = [*terminalreporter.getreports("failed"), *terminalreporter.getreports("error")]
    found.add("pytest", [report.nodeid for report in failed], pytest.__version__)
    terminalreporter.write_line(f"\n{found.table()}")
    if path := config.getoption("--security-report"):
        outcomes = ("passed", "failed", "error", "skipped")
        counts = {each: len(terminalreporter.getreports(each)) for each in outcomes}
        chosen = config.getoption("keyword")
        command = f"make security{f', only -k {chosen!r}' if chosen else ''}"
        path.write_text(found.report(command, counts))


@pytest.fixture(scope="session")
def findings(request: pytest.FixtureRequest) -> Findings:
    """What audit tools find, for the table at the end."""
    today = dt.datetime.now(tz=dt.UTC).date()
    return request.config.stash.setdefault(FINDINGS, Findings(waivers(), today))


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

    def feed(self, name: str, command: str, text: str) -> str:
        """Run a command on a host with ``text`` as its input, and return what it prints."""
        root = "sudo " if self.var("ansible_user", name) not in (None, "root") else ""
        return subprocess.run(
            ["ssh", "-F", str(self._ssh_config), name, f"{root}sh -c {shlex.quote(command)}"],
            input=text,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def disconnect(self, name: str) -> None:
        """Close the connection to a host, which is about to be restarted."""
        subprocess.run(
            ["ssh", "-F", str(self._ssh_config), "-O", "exit", name],
            capture_output=True,
            check=False,
        )

    @contextmanager
    def forwarded(self, name: str, address: str, port: int) -> Iterator[int]:
        """Yield a local port from which connections go to an address, as from a host."""
        local, socket = free_port(), self._directory / "forward"
        ssh = ["ssh", "-F", str(self._ssh_config), "-S", str(socket)]
        begin = ["-M", "-f", "-N", "-o", "ExitOnForwardFailure=yes"]  # returns when it forwards
        forward = f"127.0.0.1:{local}:{address}:{port}"
        subprocess.run([*ssh, *begin, "-L", forward, name], check=True)
        try:
            yield local
        finally:
            subprocess.run([*ssh, "-O", "exit", name], check=True, capture_output=True)

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

    def ran(self, name: str, *arguments: str) -> None:
        """Run a playbook that must succeed."""
        done = self.playbook(name, *arguments)
        assert done.returncode == 0, f"{name}: {done.stdout[-5000:]}{done.stderr}"

    def start(self, name: str, *arguments: str) -> subprocess.Popen[str]:
        """Begin to run a playbook on this inventory."""
        return subprocess.Popen(
            [*self.command(name), *arguments],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def command(self, name: str) -> list[str]:
        """Return the command that runs a playbook, by its name or path, on this inventory."""
        playbook = name if "/" in name else f"playbooks/{name}.yml"
        return ["ansible-playbook", "-i", str(self.inventory), str(ROOT / playbook)]

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

    def open_session(self, login: str, user: str) -> str:
        """Open a session of sftp as a user of this host; return a command to look for it.

        The command exits with 0 while the session is connected: sftp itself, which waits for
        input, does not end with its connection.
        """
        command = f"sftp -q {login}@{self.sftp_name}"
        self.ok(f"{{ {{ echo pwd; sleep 300; }} | {command}; }} > session 2>&1 &", user=user)
        wait_until(
            lambda: self.run("grep Remote session", user=user).rc == 0,
            60,
            lambda: self.ok("cat session", user=user),
        )
        return f"pgrep -x ssh --parent $(pgrep --newest -x sftp --uid {user})"

    def python(self, *arguments: str, user: str | None = None, program: str = "client.py") -> str:
        """Run a program of this directory as the user, with the package's Python."""
        code = base64.b64encode(Path(__file__).with_name(program).read_bytes()).decode()
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
def mailbox(scope: Scope) -> Iterator[Mailbox]:
    """An SMTP server on this machine, to which the lab's hosts send their mail."""
    if not scope.var("lab_networks"):
        pytest.skip("only a lab sends its mail to this machine")
    name, _, port = scope.var("alertmanager_smarthost").partition(":")
    box = Mailbox()
    server = Controller(box, hostname=name, port=int(port))
    server.start()
    try:
        yield box
    finally:
        server.stop()


@pytest.fixture
def neighbour(scope: Scope) -> Iterator[list[str]]:
    """A host on the hosts' own network that is not of the scope: words that run a command there."""
    if not scope.var("lab_networks"):
        pytest.skip("only in a lab")
    first = next(iter(scope.addresses("scope").values()))
    route = subprocess.run(
        ["ip", "-oneline", "route", "get", first], check=True, capture_output=True, text=True
    )
    words = route.stdout.split()
    bridge = words[words.index("dev") + 1]
    with subprocess.Popen(["unshare", "--net", "sleep", "900"]) as host:
        enter = ["nsenter", "--target", str(host.pid), "--net"]
        own = Path("/proc/self/ns/net").readlink()
        while Path(f"/proc/{host.pid}/ns/net").readlink() == own:
            time.sleep(0.01)
        far = ["peer", "name", "eth0", "netns", str(host.pid)]
        try:
            for command in (
                ["ip", "link", "add", "spec-neighbour", "type", "veth", *far],
                ["ip", "link", "set", "spec-neighbour", "master", bridge, "up"],
                [
                    *enter,
                    "ip",
                    "address",
                    "add",
                    f"{first.rpartition('.')[0]}.250/24",
                    "dev",
                    "eth0",
                ],
                [*enter, "ip", "link", "set", "eth0", "up"],
            ):
                subprocess.run(command, check=True)
            yield enter
        finally:
            host.kill()


@pytest.fixture(scope="session")
def rate_seconds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--rate-seconds"))


@pytest.fixture(scope="session")
def file_size(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--file-size"))


@pytest.fixture
def local_user(scope: Scope) -> Iterator[None]:
    """A local user of the nodes, no account, with a process; another has the last account's uid."""
    nodes = [scope.host(name) for name in scope.group("sftp_nodes")]
    uids = (LOCAL_UID, scope.var("accounts")["users"][-1]["uid"])
    for node in nodes:
        node.check_output(f"useradd --uid {LOCAL_UID} --no-create-home local7")
        for uid in uids:
            node.check_output(
                f"systemd-run --quiet --unit spec-{uid} --property=User={uid} sleep 300"
            )
    yield
    for node in nodes:
        units = " ".join(f"spec-{uid}" for uid in uids)
        node.run(f"systemctl stop {units}; userdel local7")
