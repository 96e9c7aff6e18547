"""Users see in a browser how much of their quotas they and their group have used."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sarra_lite.quota.store import Store
from tests.lab.page import Page, cells, ended
from tests.lab.processes import free_port
from tests.lab.prometheus import Target, prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.lab.authority import Authority
    from tests.lab.site import Site

GIB = 1 << 30
DISK = 'sftp_disk_%s_bytes{kind="%s",name="%s"} %d\n'


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


def table(text: str) -> dict[str, list[str]]:
    _, *rows = cells(text, "Used of the limits")
    return {who: rest for who, *rest in rows}


def test_a_user_sees_what_he_and_his_group_have_used(site: Site, authority: Authority) -> None:
    name = site.user.removeprefix("u")
    told = "".join(
        DISK % ("used", kind, who, used) + DISK % ("limit", kind, who, 10 * GIB)
        for kind, who, used in (("user", name, 9.6 * GIB), ("group", "h", GIB))
    )
    targets = [Target("node", f"svrsftp{number}", told) for number in (1, 2)]
    with prometheus(site.directory / "prometheus", targets) as url:
        file = site.directory / "quota.toml"
        page = Page(site, authority, f'prometheusUrl = "{url}"\nquotaConfig = "{file}"\n')
        _, store = counted(page)
        page.keep(ended(site.user, b"f"))
        before = store.read_bytes()
        with page.running():
            with page.client(site.user, site.password) as client:
                text = client.get("/people").text
                assert table(text) == {
                    "group g": ["-", "4.0 GiB of 4.0 GiB, 100 %", "4.0 GiB of 40.0 GiB, 10 %"],
                    f"user {site.user}": ["9.6 GiB of 10.0 GiB, 96 %", "3.0 GiB", "3.0 GiB"],
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
    more = f'prometheusUrl = "http://127.0.0.1:{free_port()}"\n'
    page = Page(site, authority, more + f'quotaConfig = "{site.directory / "quota.toml"}"\n')
    _, store = counted(page)
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
