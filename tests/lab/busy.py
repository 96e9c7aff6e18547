"""A page with invented users, their transfers and hosts, on the common broker."""

from __future__ import annotations

import re
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Final

from sarra_lite.monitor.store import Batch, Store
from tests.lab import scene
from tests.lab.page import PASSWORD, Page
from tests.lab.prometheus import prometheus
from tests.lab.rabbitmq import User

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.lab.authority import Authority
    from tests.lab.site import Site

NETOPS: Final = "unetops"  # who sees all of it


@contextmanager
def busy_scope(site: Site, authority: Authority) -> Iterator[Page]:
    """Run an sr_web and what it asks; ``site`` is only where their files are."""
    expect = site.directory / "expected.toml"
    expect.write_text(scene.EXPECT)
    page = Page(site, authority, f'expectFile = "{expect}"\n')
    site.rabbit.add_users(User(NETOPS, PASSWORD))
    config = site.config / "web" / "default.toml"
    member = ", ".join(f'{user} = "{group}"' for user, group in scene.GROUPS.items())
    text = re.sub("member = .*", f"member = {{ {member} }}", config.read_text())
    text = text.replace(page.netops, NETOPS)
    with closing(Store(page.history, 90, scene.GROUPS)) as store:
        store.take(Batch(scene.records(time.time_ns() // 10**6)))
    with prometheus(site.directory / "prometheus", list(scene.HOSTS)) as url:
        config.write_text(f'{text}prometheusUrl = "{url}"\nrunbooks = "https://git.example/"\n')
        with page.running():
            yield page
