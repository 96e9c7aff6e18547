"""A Prometheus with the rules of the scope, and hosts that tell it what a test wants."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx

from tests.lab.processes import Process, find_program, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_RULES: Final = Path(__file__).parents[2] / "roles" / "prometheus" / "files" / "rules"


class Target:
    """What a host tells of a job; ``text`` None: it does not answer."""

    def __init__(self, job: str, instance: str, text: str | None, **labels: str) -> None:
        """``labels`` are added, as the role prometheus adds shared_fs."""
        self.job = job
        self.text = text
        self.path = f"/{job}/{instance}"
        self.labels = {"instance": instance, "__metrics_path__": self.path} | labels


@contextmanager
def prometheus(directory: Path, targets: list[Target]) -> Iterator[str]:
    """Run a Prometheus that asks the targets each second; yield its URL when it has asked all."""
    texts = {target.path: target.text for target in targets}
    with _telling(texts) as port:
        address = f"127.0.0.1:{free_port()}"
        directory.mkdir()
        config = directory / "prometheus.yml"
        config.write_text(json.dumps(_config(targets, port)))  # JSON is YAML
        command = [
            find_program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={address}",
        ]
        process = Process(command, directory / "prometheus.log")
        try:
            url = f"http://{address}"
            process.wait_ready(lambda: len(_query(url, "up")) == len(targets))
            process.wait_ready(lambda: _query(url, "ALERTS"))  # rules are evaluated
            yield url
        finally:
            process.kill()


def _config(targets: list[Target], port: int) -> dict[str, Any]:
    jobs = {target.job for target in targets}
    scrapes = [
        {
            "job_name": job,
            "static_configs": [
                {"targets": [f"127.0.0.1:{port}"], "labels": target.labels}
                for target in targets
                if target.job == job
            ],
        }
        for job in sorted(jobs)
    ]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [f"{_RULES}/*.yml"],
        "scrape_configs": scrapes,
    }


def _query(url: str, expression: str) -> list[Any]:
    try:
        answer = httpx.get(f"{url}/api/v1/query", params={"query": expression})
        return list(answer.json()["data"]["result"])
    except (httpx.TransportError, KeyError, ValueError):  # it is not up yet
        return []


@contextmanager
def _telling(texts: Mapping[str, str | None]) -> Iterator[int]:
    """Tell metrics by path; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = texts.get(self.path)
            self.send_response(503 if text is None else 200)
            self.end_headers()
            self.wfile.write((text or "").encode())

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
