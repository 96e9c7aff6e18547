"""The users' host accepts no inbound connections, and keeps passwords private."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope


def test_connections_to_the_users_host_are_dropped_though_it_listens(
    scope: Scope, client: Client
) -> None:
    assert client.host.socket("tcp://0.0.0.0:22").is_listening
    address = client.host.check_output("hostname -I").split()[0]
    for name in [scope.group("load_balancers")[0], scope.group("monitoring")[0]]:
        command = f"timeout 4 bash -c 'exec 3<>/dev/tcp/{address}/22'"
        assert scope.host(name).run(command).rc == 124, f"{name} could connect, or was answered"


def test_the_users_password_is_nobody_elses_to_read(client: Client) -> None:
    file = client.host.file(f"/home/{client.user}/.config/sarra_lite/credentials.conf")
    assert file.mode == 0o600
    assert file.user == client.user


def test_only_the_users_own_password_is_there(scope: Scope, client: Client) -> None:
    file = client.host.file(f"/home/{client.user}/.config/sarra_lite/credentials.conf")
    others = set(scope.var("scope_broker_passwords").items()) - {
        (client.broker_user, scope.var("scope_broker_passwords")[client.broker_user])
    }
    assert not [user for user, password in others if password in file.content_string]
