"""Netops see in a browser what the scope's Prometheus knows of its hosts, the worst first."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.lab.page import Page, cells, error_of
from tests.lab.processes import free_port
from tests.lab.prometheus import Target, prometheus
from tests.lab.site import wait_until

if TYPE_CHECKING:
    from tests.lab.authority import Authority
    from tests.lab.site import Site

VIP = 'node_network_address_info{vip="%s"} 1\n'
DISK = "node_filesystem_avail_bytes 60\nnode_filesystem_size_bytes 100\n"
MOUNTED = DISK + 'node_filesystem_size_bytes{shared="yes"} 100\n'
STATES = 'haproxy_server_status{proxy="ssh",server="%s",state="%s"} 1\n'
CANARY = f"scope_canary_success_timestamp_seconds {time.time() - 120}\n"
CANARY += 'scope_canary_duration_seconds 2\nscope_canary_failed{step="get"} 1\n'
SCOPE = [
    Target("node", "svrlb1", DISK + VIP % "sftp" + VIP % "broker"),
    Target("node", "svrlb2", DISK + VIP % "sftp"),
    Target("haproxy", "svrlb1", STATES % ("svrsftp1", "UP") + STATES % ("svrsftp2", "DOWN")),
    Target("haproxy", "svrlb2", STATES % ("svrsftp1", "UP") + STATES % ("svrsftp2", "DOWN")),
    Target("node", "svrsftp1", MOUNTED, shared_fs="ceph"),
    Target("node", "svrsftp2", DISK, shared_fs="ceph"),
    Target("node", "svrsftpB1", 'node_systemd_unit_state{name="<b>",state="active"} 0\n'),
    Target("rabbitmq", "svrsftpB1", None),
    Target("node", "svrmon1", CANARY),
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
            # More than 2 when other tests come before.
            assert re.search(r"\d+ min ago, and took 2 s\.", text)
            assert "Since then, this failed: get." in text


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


class Odd:
    """Answers each request with ``answer`` and then nothing; the connection stays open."""

    def __init__(self, port: int) -> None:
        """Listen at once."""
        self.answer = b""
        self._server = socket.create_server(("127.0.0.1", port))
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        """Begin to answer."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, with all connections."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()

    def _serve(self) -> None:
        kept = []
        with suppress(OSError):
            while True:
                kept.append(self._server.accept()[0])
                with suppress(OSError):  # who asked has gone
                    kept[-1].sendall(self.answer)
        for connection in kept:
            connection.close()


def test_a_prometheus_that_is_away_or_slow_is_told_in_one_line(
    site: Site, authority: Authority
) -> None:
    port = free_port()
    page = Page(site, authority, f'prometheusUrl = "http://127.0.0.1:{port}"\n')
    page.keep()
    with page.running() as process, page.client(page.netops) as client:

        def told() -> str:
            answer = client.get("/health")
            assert answer.status_code == 200
            return error_of(answer).removeprefix(f"Prometheus at http://127.0.0.1:{port} ")

        assert told().startswith("cannot be reached: ")
        with Odd(port) as odd:
            for answer, expected in (
                (b"", "does not answer within 4 s."),
                (answer_of(b"200 OK", b" " * (5 << 20)), "answers with more than 4194304 bytes."),
                (answer_of(b"200 OK", b"{}"), "answers with what is not an answer of Prometheus"),
                (answer_of(b"200 OK", all_of_it("x")), "answers with what is not an answer"),
                (answer_of(b"503 No", b""), "answers with status 503."),
            ):
                odd.answer = answer
                begun = time.monotonic()
                assert told().startswith(expected)
                assert time.monotonic() - begun < 10
            odd.answer = answer_of(b"200 OK", all_of_it("NaN"))
            assert "No alert fires or is pending." in client.get("/health").text
        assert "Traceback" not in process.said()


def all_of_it(value: str) -> bytes:
    """Return what is an answer for alerts as well as for an expression."""
    labels = {"instance": "svrlb1", "vip": "sftp", "kind": "user", "name": "x"}
    series = {"metric": labels, "value": [1.5, value]}
    return json.dumps({"data": {"alerts": [], "result": [series]}}).encode()


def answer_of(status: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, len(body)) + body
