"""Members of groups with a rate, who send from the client's host with grants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.scope.test_rates import MOST, UNITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scope.conftest import Client, Scope


@dataclass
class Member:
    """A member of a group that has a rate, with a configuration on the client's host."""

    client: Client
    name: str
    login: str
    group: dict[str, Any]
    account: str  # on the client's host
    directory: str

    @property
    def bits(self) -> float:
        number, unit = self.group["rate"].split()
        return float(number) * UNITS[unit]

    @property
    def unit(self) -> str:
        return f"spec-grants-{self.name}"

    def run(self, command: str) -> Any:
        return self.client.run(f"{self.environment} {command}", user=self.account)

    def ok(self, command: str) -> str:
        return self.client.ok(f"{self.environment} {command}", user=self.account)

    @property
    def environment(self) -> str:
        return f"cd {self.directory}; export XDG_CONFIG_HOME={self.directory}/config;"

    def configure(self, scope: Scope) -> None:
        user, password = f"u{self.name}", scope.var("scope_broker_passwords")[f"u{self.name}"]
        broker = f'broker = "amqps://{user}@{self.client.broker_name}/"\n'
        broker += f'tlsCaFile = "{scope.var("scope_ca_file")}"\n'
        files = {
            "credentials.conf": f"amqps://{user}:{password}@{self.client.broker_name}/\n",
            "post/default.toml": f'{broker}baseUrl = "file:{self.directory}"\n'
            f'queueName = "q_{user}_default"\n',
            "sender/default.toml": f'{broker}sendTo = "sftp://{self.login}'
            f'@{self.client.sftp_name}/"\nbaseDir = "{self.directory}"\n'
            f'grants = "grant_{self.group["name"]}"\nconnections = 1\n',
        }
        config = f"{self.directory}/config/sarra_lite"
        folders = f"{config}/post {config}/sender"
        self.client.ok(f"mkdir -m 700 -p {self.directory}; mkdir -p {folders}", user=self.account)
        for file, text in files.items():
            write = f"umask 077; cat > {config}/{file}; chown -R {self.account} {self.directory}"
            scope.feed(self.client.name, write, text)
        self.ok("sr_sender --declare")

    def start(self) -> None:
        self.client.host.check_output(
            f"systemd-run --quiet --collect --unit={self.unit} --uid={self.account}"
            f" --setenv=XDG_CONFIG_HOME={self.directory}/config"
            " /opt/sarra_lite/current/bin/sr_sender"
        )

    def said(self) -> str:
        return str(self.client.host.check_output(f"journalctl --no-pager -o cat -u {self.unit}"))

    def stop(self, scope: Scope) -> None:
        """Stop the sender, and drop what it has not sent."""
        self.client.host.run(f"systemctl stop {self.unit}")
        self.broker(scope).run(f"rabbitmqctl -q purge_queue q_u{self.name}_default")

    def broker(self, scope: Scope) -> Any:
        return scope.host(scope.group("brokers")[0])

    def remove(self, scope: Scope) -> None:
        self.stop(scope)
        self.broker(scope).run(f"rabbitmqctl -q delete_queue q_u{self.name}_default")
        home = f"{scope.var('scope_homes')}/{self.login}"
        scope.host(scope.group("sftp_nodes")[0]).run(f"rm -f {home}/spec* {home}/.spec*")
        self.client.host.run(f"rm -rf {self.directory}")


def members(scope: Scope, client: Client, *, volume: bool) -> list[Member]:
    """Return members of the first group with a rate, and a volume or not, who can log in here."""
    accounts = scope.var("accounts")
    for group in accounts["groups"]:
        found = []
        for user in accounts["users"]:
            if user.get("group") != group["name"] or "revoked" in user or "rate" not in group:
                continue
            if ("daily_volume" in group) is volume and (account := login_of(client, user)):
                directory = f"/tmp/spec-grants-{user['name']}"  # noqa: S108
                arguments = (client, user["name"], user["login"], group, account, directory)
                found.append(Member(*arguments))
        if found and found[0].bits <= MOST:
            return found
    return []


def login_of(client: Client, user: dict[str, Any]) -> str | None:
    """Return an account of the client's host whose key lets it log in as a user."""
    probe = f"sftp -q -b /dev/null -o BatchMode=yes {user['login']}@{client.sftp_name}"
    for account in (user["name"], "bobby"):
        there = client.host.run(f"test -f ~{account}/.ssh/id_ed25519").rc == 0
        if there and client.run(probe, user=account).rc == 0:
            return str(account)
    return None


def configured(scope: Scope, found: list[Member]) -> Iterator[list[Member]]:
    for member in found:
        member.remove(scope)
        member.configure(scope)
    try:
        yield found
    finally:
        for member in found:
            member.remove(scope)
