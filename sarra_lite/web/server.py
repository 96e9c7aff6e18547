"""Serves the page until a signal, by uvicorn."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from typing import TYPE_CHECKING, Final

import uvicorn

from sarra_lite import runtime
from sarra_lite.errors import ConfigError
from sarra_lite.runtime import log
from sarra_lite.web.app import Pages
from sarra_lite.web.login import Passwords

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sarra_lite.config.web import WebConfig

_MAX_HEAD: Final = 65_536  # bytes of a request's first line and headers; a path may have 4096 bytes
_MAX_REQUESTS: Final = 500  # connections and requests at the same time; others get 503
_ALIVE: Final = 5.0  # seconds between signs of life for systemd
_STOP: Final = 5  # seconds that requests have to end


class _Server(uvicorn.Server):
    """A server that leaves signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing."""
        yield


async def serve(config: WebConfig, tls: ssl.SSLContext | None) -> None:
    """Serve until a signal; ``tls``: for the connection to the broker.

    Raise ConfigError when the address or the certificate cannot be used.
    """
    stop = runtime.stop_on_signals()
    _log_as_we_do()
    with _listening(config) as listening:
        pages = Pages(config, Passwords(config.broker, tls))
        server = _Server(_settings(config, pages))
        serving = asyncio.ensure_future(server.serve([listening]))
        scheme = "http" if config.tlsCertFile is None else "https"
        log.info("the page is at %s://%s/", scheme, config.listenAddress)
        runtime.notify_systemd("READY=1")
        while not serving.done() and not await runtime.wait_for_any(_ALIVE, stop):
            runtime.notify_alive(f"{len(server.server_state.connections)} connections")
        runtime.notify_systemd("STOPPING=1")
        pages.close()
        server.should_exit = True
        await serving


def _log_as_we_do() -> None:
    """Have unexpected errors logged as those of all commands."""
    logger = logging.getLogger("uvicorn")
    logger.handlers[:] = log.handlers
    logger.setLevel("ERROR")
    logger.propagate = False


def _listening(config: WebConfig) -> socket.socket:
    host, _ = config.endpoint
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server(config.endpoint, family=family, backlog=128)
    except OSError as error:
        raise ConfigError(f"listenAddress: {config.listenAddress}: {error.strerror}") from None


def _settings(config: WebConfig, pages: Pages) -> uvicorn.Config:
    certificate, key = config.certificate or (None, None)
    settings = uvicorn.Config(
        pages.application(),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        proxy_headers=bool(config.proxies),
        forwarded_allow_ips=config.proxies,
        ssl_certfile=certificate,
        ssl_keyfile=key,
        http="h11",
        ws="none",
        h11_max_incomplete_event_size=_MAX_HEAD,
        limit_concurrency=_MAX_REQUESTS,
        timeout_graceful_shutdown=_STOP,
    )
    try:
        settings.load()
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"tlsCertFile: {config.tlsCertFile}: cannot be used: {error}") from None
    return settings
