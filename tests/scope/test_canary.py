"""A file crosses the scope every minute, and a step that fails is told."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.scope.test_failover import until

if TYPE_CHECKING:
    from tests.scope.conftest import Scope

METRICS = "/run/canary/canary.prom"


@pytest.fixture
def host(scope: Scope) -> Any:
    """The host on which the canary runs."""
    if not scope.var("scope_canary"):
        pytest.skip("the inventory has no canary")
    return scope.host(scope.group("monitoring")[0])


def metric(host: Any, name: str) -> float:
    lines = host.check_output(f"cat {METRICS}").splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name)))


def test_a_file_has_crossed_a_short_while_ago(host: Any) -> None:
    def age() -> float:
        return time.time() - metric(host, "scope_canary_success_timestamp_seconds")

    assert until(lambda: host.file(METRICS).exists and age() < 120, 120), host.run(
        "journalctl -n 20 -u canary -u canary-sender"
    ).stdout


def test_it_leaves_nothing_behind(scope: Scope, host: Any) -> None:
    host.check_output("systemctl start canary")  # waits for one that runs
    [login] = [
        user["login"]
        for user in scope.var("accounts")["users"]
        if user["name"] == scope.var("scope_canary")
    ]
    node = scope.host(scope.group("sftp_nodes")[0])
    home = f"{scope.var('scope_homes')}/{login}"
    assert node.check_output(f"find {home} -type f -not -path '*/.sarra*'") == ""


@pytest.mark.destructive
@pytest.mark.faults
def test_a_step_that_fails_is_told(host: Any) -> None:
    host.check_output("systemctl stop canary-sender")
    try:
        assert host.run("systemctl start canary").rc != 0
        assert metric(host, 'scope_canary_failed{step="post"}') == 1
        said = host.check_output("journalctl -n 5 -u canary")
        assert "the file did not cross: post: " in said
    finally:
        host.check_output("systemctl start canary-sender")
    assert until(lambda: host.run("systemctl start canary").rc == 0, 60)
    assert metric(host, 'scope_canary_failed{step="post"}') == 0
