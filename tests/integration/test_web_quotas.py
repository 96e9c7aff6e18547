"""Users see in a browser how much of their quotas they and their group have used."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sarra_lite.messages.usage import Disk
from sarra_lite.quota.store import Store
from tests.lab.page import Page, cells, ended

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.authority import Authority
    from tests.lab.site import Site

GIB = 1 << 30


def counted(page: Page) -> tuple[Path, Path]:
    """Return a configuration of sr_quota, and the store in which it has counted."""
    site, today = page.site, f"{datetime.now(UTC):%Y-%m-%d}"
    file = site.directory / "quota.toml"
    file.write_text(
        f'broker = "{site.broker}"\nstateDir = "{site.directory}"\n'
        'dailyVolume = { g = "4Gi" }\nmonthlyVolume = { g = "40Gi" }\n'
        f'member = {{ {site.user} = "g", {page.mate} = "g", {page.other} = "h" }}\n'
    )
    store = site.directory / "quota-quota.sqlite"
    counts = {(today, site.user): 3 * GIB, (today, page.mate): GIB, (today, page.other): 7}
    Store(store).add(counts, "q_xlog", 1)
    return file, store


def with_disks(page: Page) -> Path:
    """Return such a store with disk space, as sr_quota keeps it."""
    file, store = counted(page)
    file.write_text(f'prometheusUrl = "http://127.0.0.1:9"\n{file.read_text()}')
    disks = {("user", page.site.user): Disk(9 * GIB, 10 * GIB), ("group", "h"): Disk(GIB, 10 * GIB)}
    Store(store).keep_disks(disks, time.time())
    return store


def table(text: str) -> dict[str, list[str]]:
    _, *rows = cells(text, "Used of the limits")
    return {who: rest for who, *rest in rows}


def test_a_user_sees_what_he_and_his_group_have_used(site: Site, authority: Authority) -> None:
    page = Page(site, authority, f'quotaConfig = "{site.directory / "quota.toml"}"\n')
    store = with_disks(page)
    page.keep(ended(site.user, b"f"))
    before = store.read_bytes()
    with page.running():
        with page.client(site.user, site.password) as client:
            text = client.get("/people").text
            assert table(text) == {
                "group g": ["-", "4.0 GiB of 4.0 GiB, 100 %", "4.0 GiB of 40.0 GiB, 10 %"],
                f"user {site.user}": ["9.0 GiB of 10.0 GiB, 90 %", "3.0 GiB", "3.0 GiB"],
            }
            assert next(iter(table(text))) == "group g"
            assert f'max="{4 * GIB}"' in text
            assert re.search(f'<meter aria-label="Sent today"[^>]* value="{4 * GIB}">', text)
        with page.client(page.netops) as client:
            everybody = table(client.get("/people").text)
            assert len(everybody) == 5
            assert everybody["group h"] == ["1.0 GiB of 10.0 GiB, 10 %", "7 B", "7 B"]
    assert store.read_bytes() == before


def test_what_is_not_known_is_told_and_the_rest_is_shown(site: Site, authority: Authority) -> None:
    page = Page(site, authority, f'quotaConfig = "{site.directory / "quota.toml"}"\n')
    store = with_disks(page)
    Store(store).keep_disks({}, time.time() - 3600)
    page.keep(ended(page.other, b"f"))
    with page.running() as process, page.client(page.other) as client:
        text = client.get("/people").text
        assert "How much disk space is used is not known now." in text
        assert table(text) == {f"user {page.other}": ["-", "7 B", "7 B"]}
        store.unlink()
        text = client.get("/people").text
        assert "How much was sent today and this month is not known now." in text
        assert "Users, who has sent most first" in text
        assert not store.exists()
        assert "cannot read volumes" in process.said()


def test_without_quotas_the_page_has_none_and_a_mistake_in_them_is_named(
    site: Site, authority: Authority
) -> None:
    page = Page(site, authority)
    page.keep(ended(page.other, b"f"))
    with page.running(), page.client(page.other) as client:
        assert "Quotas" not in client.get("/people").text
    file, _ = counted(page)
    config = site.config / "web" / "default.toml"
    config.write_text(config.read_text() + f'quotaConfig = "{file}"\n')
    file.write_text(file.read_text().replace('"4Gi"', '"much"'))
    assert "dailyVolume: g: not a size like 64Mi" in site.run("sr_web", status=78).stderr
