"""Load balancers hold a group to its rate, whatever its client does; bytes are measured."""

from __future__ import annotations

import json
import shlex
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.scope.conftest import Client, Scope

UNITS = {"kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}
CONNECTIONS = 3
MOST = 200 * 10**6  # bits per second that a lab can surely exceed


@pytest.fixture(scope="module")
def limited(scope: Scope, client: Client) -> dict[str, Any]:
    """A user on the client's host whose group has a rate, with the rate in bits per second."""
    accounts = scope.var("accounts")
    rates = {
        group["name"]: group["rate"].split() for group in accounts["groups"] if "rate" in group
    }
    for user in accounts["users"]:
        key = f"~{user['name']}/.ssh/id_ed25519"
        if user.get("group") in rates and client.host.run(f"test -f {key}").rc == 0:
            number, unit = rates[user["group"]]
            if float(number) * UNITS[unit] <= MOST:
                return {**user, "bits": float(number) * UNITS[unit]}
    pytest.skip("no group with a rate that a test can exceed has a user here")


@pytest.fixture(scope="module")
def uploading(
    scope: Scope, client: Client, limited: dict[str, Any], rate_seconds: int
) -> Iterator[None]:
    """Uploads by several connections of a client that takes no grants, until the tests end."""
    name, seconds = limited["name"], rate_seconds + 40
    remove(scope, limited)
    client.ok(f"fallocate -l {int(limited['bits'] / 8 * seconds)} much", user=name)
    puts = " & ".join(
        f"echo put much up{number} |"
        f" timeout {seconds} sftp -q -b - {limited['login']}@{client.sftp_name}"
        for number in range(CONNECTIONS)
    )
    try:
        with background(client, name, "spec-upload", puts):
            yield
    finally:
        client.run("rm -f much", user=name)
        remove(scope, limited)


@contextmanager
def background(client: Client, user: str, unit: str, commands: str) -> Iterator[None]:
    """Run commands as a user on the client's host, until the end of the block."""
    inner = shlex.quote(f"cd; {commands} & wait")
    client.host.check_output(
        f"systemd-run --quiet --unit={unit} --uid={user} --collect sh -c {inner}"
    )
    try:
        yield
    finally:
        client.host.run(f"systemctl stop {unit}")


def remove(scope: Scope, user: dict[str, Any]) -> None:
    home = f"{scope.var('scope_homes')}/{user['login']}"
    scope.host(scope.group("sftp_nodes")[0]).run(f"rm -f {home}/up? {home}/much")


def written(scope: Scope, user: dict[str, Any]) -> tuple[float, int, int]:
    """Return the time, the bytes that are there, and the number of files."""
    home = f"{scope.var('scope_homes')}/{user['login']}"
    command = f"date +%s.%N; stat --format=%s {home}/up? 2>/dev/null || true"
    moment, *sizes = scope.host(scope.group("sftp_nodes")[0]).check_output(command).split()
    return float(moment), sum(map(int, sizes)), len(sizes)


def rate(scope: Scope, user: dict[str, Any], seconds: float) -> float:
    """Return the bits per second of the files' bytes that arrive on all nodes together."""
    deadline = time.monotonic() + 30
    while written(scope, user)[2] < CONNECTIONS or written(scope, user)[1] < 4 * 2**20:
        assert time.monotonic() < deadline, "the uploads do not begin"
    began, before, _ = written(scope, user)
    time.sleep(seconds)  # it is a rate that is measured
    ended, after, _ = written(scope, user)
    return 8 * (after - before) / (ended - began)


@pytest.mark.several_hosts
@pytest.mark.usefixtures("uploading")
def test_uploads_over_all_nodes_together_have_the_rate_of_the_group(
    scope: Scope, limited: dict[str, Any], rate_seconds: int
) -> None:
    ratio = rate(scope, limited, rate_seconds) / limited["bits"]
    print(f"{rate_seconds} s: {ratio:.1%} of the rate")
    tolerance = 0.1 if rate_seconds >= 60 else 0.25
    assert 1 - tolerance < ratio < 1 + tolerance


@pytest.mark.several_hosts
@pytest.mark.usefixtures("uploading")
def test_a_group_without_a_rate_is_not_slowed_down(client: Client) -> None:
    began = time.monotonic()
    client.ok(
        "fallocate -l 20M other;"
        f" echo put other | sftp -q -b - {client.login}@{client.sftp_name}; rm other"
    )
    assert time.monotonic() - began < 15


@pytest.mark.several_hosts
@pytest.mark.usefixtures("uploading")
def test_the_uploads_are_on_several_nodes(scope: Scope, limited: dict[str, Any]) -> None:
    command = f"pgrep --uid {limited['uid']} -f sftp"
    used = [name for name in scope.group("sftp_nodes") if scope.host(name).run(command).rc == 0]
    assert len(used) >= min(2, len(scope.group("sftp_nodes")))


@pytest.mark.several_hosts
@pytest.mark.usefixtures("uploading")
def test_bytes_and_the_state_of_enforcement_are_metrics(
    scope: Scope, limited: dict[str, Any]
) -> None:
    (holder,) = scope.holders(scope.var("scope_sftp_vip"))
    host = scope.host(holder)
    host.check_output("systemctl start sftp-rates-check.service")
    metrics = host.file("/run/sftp-rates/rates.prom").content_string
    values = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    assert values["sftp_rates_enforced"] == "1"
    sent = values[f'sftp_rate_bytes_total{{group="{limited["group"]}",direction="up"}}']
    assert int(sent) > 2**20


def test_what_is_not_enforced_is_alerted(scope: Scope) -> None:
    (holder,) = scope.holders(scope.var("scope_sftp_vip"))
    host = scope.host(holder)
    if not json.loads(host.file("/etc/haproxy/rates.json").content_string)["groups"]:
        pytest.skip("no group has a rate")
    host.check_output("nft delete table inet haproxy_rates")
    try:
        assert host.run("/usr/local/libexec/sftp-rates check").rc == 1
        assert "sftp_rates_enforced 0\n" in host.file("/run/sftp-rates/rates.prom").content_string
    finally:
        host.check_output("systemctl restart sftp-rates.service")
    assert host.run("/usr/local/libexec/sftp-rates check").rc == 0


@pytest.mark.security
def test_downloads_over_all_nodes_together_have_the_rate_of_the_group(
    scope: Scope, client: Client, limited: dict[str, Any], rate_seconds: int
) -> None:
    much = f"{scope.var('scope_homes')}/{limited['login']}/much"
    node = scope.host(scope.group("sftp_nodes")[0])
    node.check_output(f"truncate -s 100G {much} && chown {limited['uid']} {much}")
    gets = " & ".join(
        f"echo get much down{number} |"
        f" timeout {rate_seconds + 40} sftp -q -b - {limited['login']}@{client.sftp_name}"
        for number in range(CONNECTIONS)
    )
    received = "date +%s.%N; stat --format=%s down? 2>/dev/null || true"
    try:
        with background(client, limited["name"], "spec-download", gets):
            began, *before = client.ok(received, user=limited["name"]).split()
            deadline = time.monotonic() + 30
            while len(before) < CONNECTIONS or sum(map(int, before)) < 4 * 2**20:
                assert time.monotonic() < deadline, "the downloads do not begin"
                began, *before = client.ok(received, user=limited["name"]).split()
            time.sleep(rate_seconds)  # it is a rate that is measured
            ended, *after = client.ok(received, user=limited["name"]).split()
    finally:
        client.run("rm -f down?", user=limited["name"])
        remove(scope, limited)
    sent = sum(map(int, after)) - sum(map(int, before))
    ratio = 8 * sent / (float(ended) - float(began)) / limited["bits"]
    print(f"{rate_seconds} s: {ratio:.1%} of the rate")
    assert 0.7 < ratio < 1.1  # what is dropped is sent again, which takes a part of it


@pytest.fixture
def unmarked(scope: Scope) -> Iterator[None]:
    """Nodes cannot mark the sessions that begin now."""
    nodes = [scope.host(name) for name in scope.group("sftp_nodes")]
    for node in nodes:
        node.check_output("systemctl stop sftp-marks.service; nft delete table ip sftp_marks")
    try:
        yield
    finally:
        for node in nodes:
            node.check_output("systemctl restart sftp-marks.service")


@pytest.mark.security
@pytest.mark.destructive
@pytest.mark.usefixtures("unmarked")
@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_sessions_of_an_unknown_group_pass_or_share_one_mbit(
    scope: Scope, client: Client, limited: dict[str, Any], *, closed: bool
) -> None:
    (holder,) = scope.holders(scope.var("scope_sftp_vip"))
    host, file = scope.host(holder), "/etc/haproxy/rates.json"
    before = host.file(file).content_string
    text = json.dumps(json.loads(before) | {"closed": closed})
    scope.feed(holder, f"cat > {file} && /usr/local/libexec/sftp-rates apply", text)
    name, size = limited["name"], 1_000_000 if closed else 20_000_000
    put = f"echo put some | sftp -q -b - {limited['login']}@{client.sftp_name}"
    try:
        began = time.monotonic()
        client.ok(f"fallocate -l {size} some && {put} && rm some", user=name)
        bits = 8 * size / (time.monotonic() - began)
        host.run("systemctl start sftp-rates-check.service")
        told = host.check_output("journalctl --since -90s -o cat -u sftp-rates-check")
    finally:
        scope.feed(holder, f"cat > {file} && systemctl restart sftp-rates", before)
        node = scope.host(scope.group("sftp_nodes")[0])
        node.run(f"rm -f {scope.var('scope_homes')}/{limited['login']}/some")
    assert "sessions whose group is not known" in told
    assert ("held at 1 Mbit/s" if closed else "not held") in told
    assert bits < 1_100_000 if closed else bits > 2_000_000
