"""Show what sr_monitor knows as a web page.

Users log in with the account of the broker and see their own files: what is under way, what
failed, and the history. Users of netops see the files of all. It reads the store of an sr_monitor
on the same host, and writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sarra_lite import runtime
from sarra_lite.commands import arguments, connections
from sarra_lite.config.web import WebConfig
from sarra_lite.errors import EX_OK, ConfigError

if TYPE_CHECKING:
    import argparse

EXAMPLES: Final = (
    ("Run the configuration default, as systemd does:", "sr_web"),
    (
        "Look at the history of this host, through an SSH tunnel to port 9443:",
        "sr_web --broker amqps://umonitor@svrsftp.science.gc.ca/",
    ),
)


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of sr_web."""
    return arguments.make_parser("sr_web", __doc__, WebConfig, EXAMPLES)


@runtime.command
def main(argv: list[str] | None = None) -> int:
    """Run sr_web; return its exit status."""
    _, config = arguments.configured(make_parser(), argv, WebConfig)
    return runtime.run_loop(_serve(config))


async def _serve(config: WebConfig) -> int:
    """Serve until a signal; return the exit status."""
    try:
        from sarra_lite.web import server  # noqa: PLC0415  an extra, which others do without
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"{error.name} is not installed, which the page needs: pip install 'sarra_lite[web]'"
        ) from None
    await server.serve(config, connections.tls_context(config))
    return EX_OK


if __name__ == "__main__":
    main()
