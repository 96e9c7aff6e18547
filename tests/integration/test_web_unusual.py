"""Users see in a browser what was unusual about them, netops what was about anybody."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from sarra_lite.monitor import anomalies
from sarra_lite.monitor.profile import Finding
from sarra_lite.monitor.store import Store
from tests.lab.page import NOW, Page, cells, ended

if TYPE_CHECKING:
    from tests.lab.authority import Authority
    from tests.lab.site import Site

HOUR = NOW // 3_600_000


def judge(page: Page, *found: tuple[int, tuple[str, str], Finding]) -> None:
    with closing(Store(page.history, 90, {})) as store, store.transaction() as database:
        anomalies.keep(database, HOUR - 1, {}, found)


def test_a_user_sees_what_was_unusual_about_him_and_netops_all(
    site: Site, authority: Authority
) -> None:
    page = Page(site, authority)
    page.keep(ended(site.user, b"f"))
    with page.running(), page.client(site.user, site.password) as client:
        assert "No hour has been judged yet" in client.get("/unusual").text
        judge(page)
        assert "Nothing was unusual." in client.get("/unusual").text
        judge(
            page,
            (HOUR - 9, ("g", site.user), Finding("volume", 3.0, 3 << 40, 1 << 30)),
            (HOUR - 5, ("g", site.user), Finding("directory", 2.0, 1, 0, "<b>\x1b[31m\udcff")),
            (HOUR - 2, ("h", page.other), Finding("stuck", 2.0, 7200, 60)),
            (HOUR - 3, ("h", ""), Finding("count", 2.0, 5000, 10)),
        )
        answer = client.get("/unusual")
        heads, *own = cells(answer.text, "What was unusual")
        assert heads == ["Who", "What", "From", "To"]
        assert [row[:2] for row in own] == [
            [
                f"user {site.user}",
                "wrote to <b>\\x1b[31m\\xff, where nothing was before and new directories are rare",
            ],
            [
                f"user {site.user}",
                "sent 3.0 TiB in an hour; at most 1.0 GiB were expected",
            ],
        ]
        assert '<a href="/unusual" aria-current="page">Unusual</a>' in answer.text
        with page.client(page.netops) as netops:
            _, *rows = cells(netops.get("/unusual").text, "What was unusual")
            assert [row[0] for row in rows][:2] == [f"user {page.other}", "group h"]
            assert len(rows) == 4
        with page.client(page.mate) as mate:
            assert "Nothing was unusual." in mate.get("/unusual").text
