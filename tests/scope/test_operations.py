"""What operators do to hosts while files are under way: nothing is lost, and nobody waits long."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.scope.lab_hosts import Lab
from tests.scope.traffic import under_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.scope.conftest import Client, Scope
    from tests.scope.traffic import Account

pytestmark = [pytest.mark.destructive, pytest.mark.faults, pytest.mark.timeout(3600)]


@pytest.fixture
def lab(scope: Scope) -> Iterator[Lab]:
    """A lab that is well, and in the end has its clients at the first broker again."""
    if not scope.var("lab_networks"):
        pytest.skip("only a lab's hosts are restarted")
    lab = Lab(scope)
    lab.wait_until_well(180)
    yield lab
    first = scope.group("brokers")[0]
    if lab.serving() not in ("", first):
        moved = scope.playbook("switchover", "-e", f"to={first}")
        assert moved.returncode == 0, moved.stdout


def test_all_hosts_are_restarted_one_after_the_other_and_nothing_is_lost(
    lab: Lab, client: Client, record_property: Callable[[str, object], None]
) -> None:
    plan = lab.scope.playbook("update", "-e", "update_reboot=always")
    assert plan.returncode == 0, plan.stdout
    assert "nothing was changed: say -e go=true" in plan.stdout
    assert "changed=0" in plan.stdout
    hosts = set(lab.scope.group("scope"))
    assert set(re.findall(r"^ +- '?(\S+): .*restart the host", plan.stdout, re.MULTILINE)) == hosts
    before = {name: _booted(lab, name) for name in hosts}
    held = {name: lab.ok(name, "apt-mark showhold") for name in hosts}
    serving, holders = lab.serving(), lab.holders()
    go = ("-e", "go=true", "-e", "update_reboot=always", "-e", "update_wait=20")
    with under_way(lab, client) as traffic:
        time.sleep(5)
        done = lab.scope.playbook("update", *go)
        assert done.returncode == 0, done.stdout + done.stderr
        time.sleep(5)
    _judge("all hosts are updated and restarted", traffic.account(300), record_property)
    traffic.clean()
    assert all(_booted(lab, name) != before[name] for name in hosts)
    assert held == {name: lab.ok(name, "apt-mark showhold") for name in hosts}
    assert lab.missing() == []
    if len(lab.scope.group("brokers")) > 1:
        assert lab.serving() != serving
    if len(lab.scope.group("load_balancers")) > 1:
        assert set(lab.holders()) & set(holders) == set()
    assert _silences(lab) == ""


def test_an_update_that_is_killed_goes_on_where_it_was(lab: Lab, client: Client) -> None:
    """It leaves a node drained; the next run puts it back, and leaves what an operator drained."""
    nodes = lab.scope.group("sftp_nodes")
    if len(nodes) < 3:
        pytest.skip("the scope has too few nodes")
    *_, node = nodes
    go = ("-e", "go=true", "-e", "update_reboot=always", "--limit", node, "-e", "update_wait=1")
    running = lab.scope.start("update", *go)
    try:
        lab.until(lambda: "DRAIN" in _state(lab, node), 300)
    finally:
        running.kill()
        running.communicate()
    done = lab.scope.playbook("update", *go)
    assert done.returncode == 0, done.stdout
    assert _state(lab, node).startswith("UP")
    client.ok("echo 1 > updated; sr_post --quiet --wait updated")


PACKAGE = """
set -e
mkdir -p /srv/spec/1/DEBIAN /srv/spec/2/DEBIAN && cd /srv/spec
for version in 1 2; do
    { echo "Package: spec-update"; echo "Version: $version"; echo "Architecture: all"
      echo "Maintainer: nobody <nobody@example.org>"; echo "Description: x"
    } > $version/DEBIAN/control
    dpkg-deb --build $version $version.deb
done
dpkg --install 1.deb && apt-mark hold spec-update
{ cat 2/DEBIAN/control; echo "Filename: ./2.deb"; echo "Size: $(stat --format %s 2.deb)"
  echo "SHA256: $(sha256sum 2.deb | cut -d ' ' -f 1)"; } > Packages
echo 'deb [trusted=yes] file:/srv/spec ./' > /etc/apt/sources.list.d/spec.list
"""
NO_PACKAGE = """
rm -r /srv/spec /etc/apt/sources.list.d/spec.list
dpkg --purge --force-hold spec-update && apt-get update
"""


def test_a_package_on_hold_is_updated_and_stays_on_hold(lab: Lab) -> None:
    name = lab.scope.group("monitoring")[0]
    only = ("--limit", name)
    lab.ok(name, PACKAGE)
    try:
        plan = lab.scope.playbook("update", *only)
        assert plan.returncode == 0, plan.stdout
        assert f"{name}: update 1 packages (spec-update)" in plan.stdout
        done = lab.scope.playbook("update", *only, "-e", "go=true")
        assert done.returncode == 0, done.stdout
        shown = lab.ok(
            name, "dpkg-query --show --showformat '${Version} ${db:Status-Want}' spec-update"
        )
        assert shown == "2 hold"
        again = lab.scope.playbook("update", *only)
        assert "all hosts are up to date" in again.stdout
    finally:
        lab.ok(name, NO_PACKAGE)


def _judge(event: str, account: Account, record: Callable[[str, object], None]) -> None:
    """Check that nothing was lost, and put the figures into the report."""
    for key, value in (
        ("event", event),
        ("users", "files arrive later, by the gap"),
        ("operator", "runs the playbook"),
        ("files", account.files),
        ("lost", len(account.lost)),
        ("twice", account.twice),
        ("gap", round(account.gap, 1)),
        ("wait", round(account.wait, 1)),
        ("back", 0),
    ):
        record(key, value)
    assert (account.lost, account.leftovers, account.unreported) == ([], [], [])
    assert account.gap < 120  # seconds; a failover is much faster, a slow lab must not fail


def _booted(lab: Lab, name: str) -> str:
    """Return when the host has started; a container has the boot of this machine."""
    return lab.ok(name, "cut -d ' ' -f 22 /proc/1/stat")


def _state(lab: Lab, node: str) -> str:
    """Return the state of a node at the first load balancer."""
    show = "echo 'show stat' | socat /run/haproxy/admin.sock - | cut -d, -f1,2,18"
    lines = lab.ok(lab.scope.group("load_balancers")[0], show).splitlines()
    return next(line.split(",")[2] for line in lines if line.startswith(f"ssh,{node},"))


def _silences(lab: Lab) -> str:
    """Return what alerts are silent for."""
    name = lab.scope.group("monitoring")[0]
    manager = f"http://{lab.scope.var('scope_address', name)}:9093"
    return lab.ok(name, f"amtool --alertmanager.url={manager} --quiet silence query").strip()
