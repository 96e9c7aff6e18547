"""Netops see in a browser what the scope's Prometheus knows of its hosts, the worst first."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.lab.page import Page, cells, error_of
from tests.lab.processes import free_port
from tests.lab.prometheus import Target, prometheus
from tests.lab.site import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.authority import Authority
    from tests.lab.site import Site

VIP = 'node_network_address_info{vip="%s"} 1\n'
DISK = "node_filesystem_avail_bytes 60\nnode_filesystem_size_bytes 100\n"
MOUNTED = DISK + 'node_filesystem_size_bytes{shared="yes"} 100\n'
STATES = 'haproxy_server_status{proxy="ssh",server="%s",state="%s"} 1\n'
SCOPE = [
    Target("node", "svrlb1", DISK + VIP % "sftp" + VIP % "broker"),
    Target("node", "svrlb2", DISK + VIP % "sftp"),
    Target("haproxy", "svrlb1", STATES % ("svrsftp1", "UP") + STATES % ("svrsftp2", "DOWN")),
    Target("haproxy", "svrlb2", STATES % ("svrsftp1", "UP") + STATES % ("svrsftp2", "DOWN")),
    Target("node", "svrsftp1", MOUNTED, shared_fs="ceph"),
    Target("node", "svrsftp2", DISK, shared_fs="ceph"),
    Target("node", "svrsftpB1", 'node_systemd_unit_state{name="<b>",state="active"} 0\n'),
    Target("rabbitmq", "svrsftpB1", None),
    Target("sr_monitor", "svrmon1", 'sarra_stream_gaps_total{stream="q_xlog"} 1\n'),
]


def test_netops_see_alerts_and_hosts_with_what_is_wrong_first(
    site: Site, authority: Authority
) -> None:
    with prometheus(site.directory / "prometheus", SCOPE) as url:
        more = f'prometheusUrl = "{url}/"\nrunbooks = "https://git.example/main/"\n'
        page = Page(site, authority, more)
        page.keep()
        with page.running(), page.client(page.netops) as client:
            # Each rule has its own time; the one about gaps fires at once.
            wait_until(lambda: "HistoryHasGap" in client.get("/health").text, 30)
            wait_until(lambda: "VipWithTwoOwners" in client.get("/health").text, 30)
            answer = client.get("/health")
            text = answer.text
            assert answer.status_code == 200
            assert '<a href="/health" aria-current="page">Health</a>' in text
            check_alerts(text)
            check_hosts(text)


def check_alerts(text: str) -> None:
    heads, *alerts = cells(text, "Alerts, the worst first")
    assert heads == ["What", "State", "Severity", "Since", "What to do"]
    assert alerts[0][:3] == [
        "HistoryHasGap: the history on svrmon1 lacks messages that q_xlog no longer has",
        "firing",
        "warning",
    ]
    assert alerts[1][1:3] == ["pending", "critical"]  # the worst ones first
    assert 'href="https://git.example/main/docs/runbooks/history-has-gap.md"' in text
    assert "DeadMan" not in text
    assert "evaluates no rules" not in text


def check_hosts(text: str) -> None:
    _, *vips = cells(text, "Virtual addresses, each")
    assert sorted(vips) == [
        ["broker", "one has it", "svrlb1"],
        ["sftp", "2 have it", "svrlb1, svrlb2"],
    ]
    heads, *hosts = cells(text, "Hosts, those with")
    assert heads[4:] == ["haproxy", "node", "rabbitmq", "sr_monitor"]
    wrong = {host[0]: host[1:] for host in hosts}
    assert wrong["svrsftp2"][:3] == [
        "SFTP node",
        "the shared file system is missing; ssh: DOWN at the balancers",
        "40 %",
    ]
    assert wrong["svrsftpB1"][:2] == [
        "broker member",
        "rabbitmq does not answer; <b> does not run",
    ]
    assert wrong["svrsftpB1"][3:] == ["-", "up", "down", "-"]
    assert wrong["svrmon1"][:2] == ["monitoring", "alert HistoryHasGap"]
    assert wrong["svrlb1"] == ["load balancer", "nothing", "40 %", "up", "up", "-", "-"]
    assert {host[0] for host in hosts[:3]} == {"svrsftp2", "svrsftpB1", "svrmon1"}
    assert cells(text, "Servers as")[1:] == [["svrsftp2", "ssh", "DOWN"], ["svrsftp1", "ssh", "UP"]]


def test_for_users_there_is_no_such_page_as_health(site: Site, authority: Authority) -> None:
    page = Page(site, authority)
    page.keep()
    with page.running():
        with page.client(page.other) as client:
            refused, unknown = client.get("/health"), client.get("/none")
            assert refused.status_code == unknown.status_code == 404
            assert error_of(refused) == error_of(unknown)
            assert "/health" not in client.get("/").text
        with page.client(page.netops) as client:
            answer = client.get("/health")
            assert (answer.status_code, error_of(answer)) == (
                200,
                "No Prometheus is configured: see the option prometheusUrl.",
            )


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """Answer each request the same, and then nothing; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            kept = []
            while True:
                try:
                    kept.append(server.accept()[0])
                    kept[-1].sendall(answer)
                except OSError:
                    break
            for connection in kept:
                connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_a_prometheus_that_is_away_or_slow_is_told_in_one_line(
    site: Site, authority: Authority
) -> None:
    head = b"HTTP/1.1 %s\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    with (
        answering(b"") as silent,
        answering(head % (b"200 OK", 10**9) + b"x" * (5 << 20)) as endless,
        answering(head % (b"200 OK", 2) + b"{}") as other,
        answering(head % (b"503 No", 0)) as failing,
    ):
        page = Page(site, authority, 'prometheusUrl = "http://127.0.0.1:1"\n')
        page.keep()
        config = page.site.config / "web" / "default.toml"
        text = config.read_text()
        for port, told in (
            (free_port(), "cannot be reached"),
            (silent, "does not answer within 4 s"),
            (endless, "answers with more than"),
            (other, "answers with what is not an answer of Prometheus"),
            (failing, "answers with status 503"),
        ):
            config.write_text(text.replace('127.0.0.1:1"', f'127.0.0.1:{port}"'))
            with page.running() as process, page.client(page.netops) as client:
                begun = time.monotonic()
                answer = client.get("/health")
                assert time.monotonic() - begun < 10
                assert answer.status_code == 200
                assert told in error_of(answer), error_of(answer)
                assert "Traceback" not in process.said()
