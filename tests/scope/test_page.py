"""The page of the history, from a user's host through the load balancers."""

from __future__ import annotations

import base64
import json
import re
import shlex
import time
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.lab import web_page
from tests.scope.test_failover import until

if TYPE_CHECKING:
    from tests.scope.conftest import Client, Scope
    from tests.scope.mailbox import Mailbox

PROGRAM = base64.b64encode(Path(web_page.__file__).read_bytes()).decode()


class Page:
    """The page as somebody at the client's host sees it."""

    def __init__(self, scope: Scope, client: Client) -> None:
        """``client`` is a user there."""
        self._client = client
        self._ca = scope.var("scope_ca_file")
        self._passwords = scope.var("scope_broker_passwords")
        self._address = f"https://{scope.var('scope_web_name')}:{scope.var('scope_web_port')}"

    def ask(self, user: str, *paths: str, password: str = "") -> list[web_page.Answer]:
        """Return the answers to a user who is logged in; of a refused login that answer."""
        words = (self._address, self._ca, user, password or self._passwords[user], *paths)
        printed = self._client.ok(
            f"echo {PROGRAM} | base64 -d > page.py;"
            f" /opt/sarra_lite/current/bin/python page.py {shlex.join(words)}"
        )
        return [web_page.Answer(*answer) for answer in json.loads(printed)]

    def shows(self, user: str, name: str, *paths: str) -> bool:
        """Return whether one of these pages shows a file."""
        return any(name in unescape(answer.text) for answer in self.ask(user, *paths))


@pytest.fixture(scope="module")
def page(scope: Scope, client: Client) -> Page:
    return Page(scope, client)


@pytest.fixture(scope="module")
def sent(client: Client) -> str:
    """A file that has arrived."""
    name = f"page-{time.time_ns()}"
    client.ok(f"date > {name}; sr_post --quiet --wait {name}")
    return name


def test_a_user_sees_at_the_page_what_he_sent_and_nothing_of_others(
    scope: Scope, client: Client, page: Page, sent: str
) -> None:
    assert until(lambda: page.shows(client.broker_user, sent, "/history"), 30)
    netops = scope.var("scope_netops_user")
    assert page.shows(netops, sent, "/history")
    prefix = scope.var("scope_user_prefix")
    others = {prefix + user["name"] for user in scope.var("accounts")["users"]}
    other = min(others - {client.broker_user})
    own = f"/file?user={client.broker_user}&path={quote(sent)}"
    assert [answer.status for answer in page.ask(other, own)] == [404]
    assert not page.shows(other, sent, "/history", "/", f"/history?user={client.broker_user}")


def test_the_page_knows_the_clients_own_address(scope: Scope, client: Client, page: Page) -> None:
    """The program sends a forged X-Forwarded-For, too."""
    [answer] = page.ask(client.broker_user, password="wrong")
    assert answer.status == 403
    page.ask(client.broker_user)
    host = scope.group("monitoring")[0]
    logged = scope.host(host).check_output("journalctl -u sr_web | grep 'logged in from' | tail -1")
    [address] = re.findall(r"logged in from (\S+)", logged)
    assert address in client.host.check_output("hostname -I").split()


@pytest.mark.destructive
def test_a_failure_is_on_the_page_and_one_mail_tells_the_owner(
    scope: Scope, client: Client, page: Page, mailbox: Mailbox
) -> None:
    [user] = [
        user
        for user in scope.var("accounts")["users"]
        if scope.var("scope_user_prefix") + user["name"] == client.broker_user
    ]
    name = f"shut-{time.time_ns()}"
    batch = f"put /etc/hostname {client.directory}/{name}"  # a file in the directory's place
    login = f"sftp -q -b - {client.login}@{client.sftp_name}"
    client.ok(f"echo {shlex.quote(batch)} | {login} > /dev/null")
    client.ok(f"mkdir {name}; date > {name}/file")
    assert client.run(f"sr_post --quiet --wait {name}/file").rc == 1
    begin = time.monotonic()
    assert until(lambda: page.shows(client.broker_user, f"{name}/file", "/"), 30)
    subject = f"INFO: FileFailed {user['name']}\n"
    assert until(lambda: subject in mailbox.texts(user["contact"]), 60), mailbox.mail
    print(f"mailed after {time.monotonic() - begin:.1f} s")
    text = mailbox.texts(user["contact"])
    runbook = f"{scope.var('scope_runbooks')}docs/runbooks/file-failed.md"
    assert f"What to do: {runbook}\n" in text
    assert text.count(subject) == 1
    for address in scope.var("alertmanager_netops"):
        assert "FileFailed" not in mailbox.texts(address)


@pytest.mark.destructive
def test_a_monitor_that_is_killed_costs_the_page_nothing(
    scope: Scope, client: Client, page: Page, sent: str
) -> None:
    assert until(lambda: page.shows(client.broker_user, sent, "/history"), 30)
    host = scope.host(scope.group("monitoring")[0])
    host.check_output("systemctl kill --signal=KILL sr_monitor")
    assert page.shows(client.broker_user, sent, "/history")
    later = f"{sent}-later"
    client.ok(f"date > {later}; sr_post --quiet --wait {later}")
    assert until(lambda: page.shows(client.broker_user, later, "/history"), 60)
    assert page.shows(client.broker_user, sent, "/history")
