"""People has plots of each group's latency and failures, and a table with the figures of each."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.lab.page import NOW, Page, cells, ended

if TYPE_CHECKING:
    from tests.lab.authority import Authority
    from tests.lab.site import Site

DAY = 86_400_000


def test_users_see_plots_and_figures_of_their_own_files(site: Site, authority: Authority) -> None:
    page = Page(site, authority)
    page.keep(*(ended(site.user, b"f%d" % n, at=NOW - 2 * DAY) for n in range(3)))
    page.keep(ended(site.user, b"bad", 507), ended(page.mate, b"his", 410))
    page.keep(ended(page.other, b"other", 499))
    today = datetime.fromtimestamp((NOW - 1000) / 1000, UTC).date()
    with page.running():
        with page.client(site.user, site.password) as client:
            text = client.get("/people").text
            heads, *rows = cells(text, "<caption>g, by day")
            assert heads[2:5] == ["50 % within", "95 % within", "99 % within"]
            assert rows == [
                [str(today), "0", "-", "-", "-", "1", "507: 1"],
                [str(today - timedelta(days=2)), "3", "3.8 s", "3.8 s", "3.8 s", "0", "-"],
            ]
            assert "3 files sent, 1 failed in 30 days" in text
            assert len(re.findall(r'<path class="line p\d" d="M275.0 58.0h0"/>', text)) == 3
            assert 'aria-label="Failures of g by day and code' in text
            assert "499" not in text
            assert "410" not in text
        with page.client(page.netops) as client:
            text = client.get("/people").text
            assert cells(text, "<caption>g, by day")[1][-2:] == ["2", "410: 1, 507: 1"]
            assert cells(text, "<caption>Users without a group, by day")[1][-1] == "499: 1"
