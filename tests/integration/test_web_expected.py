"""Users see in a browser whether what is expected of them and of their group came in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from html import unescape
from typing import TYPE_CHECKING

from tests.lab.page import NOW, Page, all_pages, cells, ended

if TYPE_CHECKING:
    import httpx

    from tests.lab.authority import Authority
    from tests.lab.site import Site

DAY = 86_400_000
TODAY = datetime.fromtimestamp(NOW / 1000, UTC).date()
NOON = (NOW // DAY * DAY) + DAY // 2  # of today
EXPECT = """
[[expect]]
user = "{user}"
match = "obs/*.nc"
name = "<i>observations"
by = "12:00"
least = 2

[[expect]]
group = "g"
match = "radar/*"
by = "12:00"

[[expect]]
user = "{other}"
match = "covert/*"
by = "12:00"
every = "monday"
"""


def made(site: Site, authority: Authority, text: str) -> Page:
    file = site.directory / "expected.toml"
    page = Page(site, authority, f'expectFile = "{file}"\n')
    file.write_text(text.format(user=site.user, other=page.other))
    return page


def keep(page: Page) -> None:
    user = page.site.user
    page.keep(ended(user, b"first", at=NOON - 6 * DAY))
    page.keep(*(ended(user, b"obs/%d.nc" % n, at=NOON - 2 * DAY) for n in range(2)))
    page.keep(ended(user, b"obs/3.nc", at=NOON - DAY))
    page.keep(ended(page.mate, b"radar/1", at=NOON - 3 * DAY))


def calendar(answer: httpx.Response) -> dict[str, dict[str, str]]:
    """Return the state of each day, by expectation."""
    assert answer.status_code == 200
    heads, *rows = cells(answer.text, "What became of each")
    found = {}
    for title, _, *states in rows:
        found[title] = dict(zip(heads[2:], states, strict=True))
    return found


def day(ago: int) -> str:
    return str(TODAY - timedelta(days=ago))


def test_a_user_sees_what_he_and_his_group_have_kept_and_missed(
    site: Site, authority: Authority
) -> None:
    page = made(site, authority, EXPECT)
    keep(page)
    with page.running(), page.client(site.user, site.password) as client:
        answer = client.get("/expected")
        rows = calendar(answer)
        own, radar = rows.values()
        assert [title.partition("at least")[0] for title in rows] == ["<i>observations", "radar/*"]
        assert [own[day(ago)] for ago in (1, 2, 3)] == ["✗missed", "✓kept", "✗missed"]
        assert [radar[day(ago)] for ago in (2, 3)] == ["✗missed", "✓kept"]
        assert own[day(29)] == "?unknown"
        assert len(own) == 32
        assert "covert" not in answer.text
        assert f"{day(1)} missed  user {site.user}, " in unescape(answer.text)
        assert "1 of 2 files by 12:00 UTC" in answer.text
        assert '<a href="/expected" aria-current="page">Expected</a>' in answer.text
        # What came late is seen, although its day is over.
        page.keep(ended(site.user, b"obs/4.nc", at=NOON - DAY))
        assert calendar(client.get("/expected"))[next(iter(rows))][day(1)] == "✓kept"


def test_netops_see_all_of_them_page_by_page(site: Site, authority: Authority) -> None:
    many = "".join(
        f'[[expect]]\ngroup = "h"\nmatch = "m{number}/*"\nby = "12:00"\n' for number in range(40)
    )
    page = made(site, authority, EXPECT + many)
    keep(page)
    with page.running(), page.client(page.netops) as client:
        found = [title for answer in all_pages(client, "/expected") for title in calendar(answer)]
        assert len(found) == 43
        first = calendar(client.get("/expected?from=999"))  # which no page has linked to
        covert = next(row for title, row in first.items() if "covert" in title)
        for ago in range(1, 5):
            monday = (TODAY - timedelta(days=ago)).weekday() == 0
            assert covert[day(ago)] == ("✗missed" if monday else "")


def test_who_has_no_expectations_is_told_so(site: Site, authority: Authority) -> None:
    page = made(site, authority, EXPECT.partition("[[expect]]\ngroup")[0])
    page.keep()
    with page.running(), page.client(page.other) as client:
        answer = client.get("/expected")
        assert answer.status_code == 200
        assert "Nothing is expected." in answer.text


def test_mistakes_in_what_is_expected_are_lines_and_status_78(
    site: Site, authority: Authority
) -> None:
    made(site, authority, '[[expect]]\nuser = "u"\nmatch = "x"\nby = "25:00"\n')
    done = site.run("sr_web", status=78)
    assert "expectFile" in done.stderr
    assert "not a time of day like 06:00" in done.stderr
