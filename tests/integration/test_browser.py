"""The page in a real browser: for all eyes, by keyboard, without scripts, live, and unharmed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest
from selenium.webdriver.common.keys import Keys

from sarra_lite import units
from tests.lab import scene
from tests.lab.browser import Browser, chromium
from tests.lab.busy import NETOPS, busy_scope
from tests.lab.page import HOSTILE, PASSWORD, Page, announced, ended
from tests.lab.site import Site, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.authority import Authority
    from tests.lab.rabbitmq import Rabbit
    from tests.lab.sshd import Sshd

PHONE: Final = 360  # pixels
LARGEST: Final = 150_000  # bytes of a picture


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def scope(
    rabbit: Rabbit, sshd: Sshd, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Page]:
    """The page of a busy scope with invented users."""
    site = Site(rabbit, sshd, tmp_path_factory.mktemp("scope") / "site")
    with busy_scope(site, authority) as page:
        yield page


@pytest.fixture
def netops(browser: Browser, scope: Page) -> str:
    """Log in as netops; the value is the address of the page."""
    browser.show()
    browser.log_in(scope.address, NETOPS, PASSWORD)
    return scope.address


def addresses(browser: Browser, address: str) -> dict[str, str]:
    """Return the address of each page by its name."""
    browser.driver.get(address)
    pages = {"now": address, "file": link_of(browser, ".bad")}
    for link in browser.all("header nav a")[1:]:
        pages[link.text.lower()] = str(link.get_attribute("href"))
    return pages | {"error": f"{address}/none"}


def link_of(browser: Browser, selector: str) -> str:
    """Return the link to the file in the row where something is."""
    row = browser.value(f"document.querySelector('td {selector}').closest('tr')")
    return str(browser.value("arguments[0].querySelector('th a').href", row))


def test_axe_finds_nothing_on_any_page_light_dark_or_on_a_phone(
    browser: Browser, netops: str
) -> None:
    pages = addresses(browser, netops)
    expected = {"now", "history", "file", "people", "unusual", "expected", "health", "error"}
    assert set(pages) == expected
    for name, address in [*pages.items(), ("login", f"{netops}/login")]:
        if name == "login":
            browser.forget()
        browser.show()
        browser.driver.get(address)
        assert browser.violations() == [], name
        browser.show(PHONE, 740, "dark")
        assert browser.overflow() == 0, name
        assert browser.violations() == [], (name, "on a phone, dark")
    browser.log_in(netops, NETOPS, "wrong")
    assert "wrong" in browser.find(".error").text
    assert browser.violations() == []


WATCH: Final = """
window.reached = []; window.unseen = [];
document.addEventListener("focusin", (event) => {
  reached.push(event.target);
  if (getComputedStyle(event.target).outlineStyle !== "solid") unseen.push(event.target.outerHTML);
});
"""


def test_the_keyboard_reaches_all_and_shows_where_it_is(browser: Browser, netops: str) -> None:
    wanted = "a[href], button, summary, input:not([type=hidden]), [tabindex='0']"
    seen = "[...document.querySelectorAll(arguments[0])].filter((e) => e.checkVisibility())"
    missed = f"{seen}.filter((e) => !reached.includes(e))"
    for name, address in addresses(browser, netops).items():
        browser.driver.get(address)
        browser.value(f"(() => {{ {WATCH} }})()")
        # Some that scroll are reached, too.
        browser.press(Keys.TAB * (len(browser.all(wanted)) + len(browser.all(".path"))))
        assert browser.value("reached[0].textContent") == "Skip to content"
        assert browser.value(f"{missed}.map((e) => e.outerHTML)", wanted) == [], name
        assert browser.value("unseen") == [], name
    browser.driver.get(netops)
    browser.press(Keys.TAB)
    browser.press(Keys.ENTER)
    assert browser.value("document.activeElement.id") == "content"


def test_without_scripts_all_but_the_updates_work(browser: Browser, scope: Page) -> None:
    browser.scripts(run=False)
    try:
        browser.log_in(scope.address, NETOPS, PASSWORD)
        assert browser.find("#live").text == "Load the page anew to see what has changed."
        assert browser.all("#running progress")
        browser.follow("header nav a[href='/history']")
        browser.find("#code").send_keys("507")
        browser.follow(".search button")
        assert [cell.text for cell in browser.all("tbody .bad")] == ["507"]
        browser.follow("tbody th a")
        assert browser.find("h1").text.startswith("sequencing/")
        browser.follow("header nav a[href='/people']")
        assert len(browser.all("tbody th a[href*='user=']")) == len(scene.GROUPS)
        browser.follow("header button")
        assert browser.find("h1").text == "Log in"
    finally:
        browser.scripts(run=True)


@pytest.fixture
def page(browser: Browser, site: Site, authority: Authority) -> Page:
    page = Page(site, authority)
    page.keep()
    browser.show()
    browser.complaints()  # forgets those of other tests
    browser.requests()
    return page


def text_of(browser: Browser, selector: str) -> str:
    return str(browser.value("document.querySelector(arguments[0])?.textContent ?? ''", selector))


def test_a_change_comes_by_itself_and_leaves_the_focus_where_it_is(
    browser: Browser, page: Page
) -> None:
    page.keep(announced(page.other, b"second", 9000), announced(page.other, b"third", 8000))
    with page.running():
        browser.log_in(page.address, page.other, PASSWORD)
        wait_until(lambda: text_of(browser, "#live") == "Live.")
        browser.value("window.first = document.querySelector('#waiting tr:nth-child(2) a')")
        browser.value("first.focus()")
        page.keep(announced(page.other, b"first", 10_000), ended(page.other, b"bad", 507, "full"))
        wait_until(lambda: "full" in text_of(browser, "#attention"))
        wait_until(lambda: "first" in text_of(browser, "#waiting"))
        assert browser.value("document.activeElement === first && first.isConnected")
        assert browser.value("first.textContent") == "third"
        assert text_of(browser, "#alarm") == "1 failed in a day, 0 late."
        assert browser.violations() == []
        # What has the focus goes away.
        page.keep(ended(page.other, b"third"), announced(page.other, b"fourth"))
        wait_until(lambda: "fourth" in text_of(browser, "#waiting"))
        wait_until(lambda: "third" not in text_of(browser, "#waiting"))
        assert browser.value("document.activeElement.id") in {"", "underway"}
        assert browser.value("document.activeElement !== document.body")
        assert browser.complaints() == []


def test_a_page_that_nobody_sees_has_no_stream(browser: Browser, page: Page) -> None:
    with page.running() as process:
        browser.log_in(page.address, page.other, PASSWORD)
        wait_until(lambda: text_of(browser, "#live") == "Live.")
        first = browser.driver.current_window_handle
        browser.driver.switch_to.new_window("tab")
        asked: dict[str, str] = {}  # Chromium says that a stream which is closed has failed
        stream = f"{page.address}/live"
        wait_until(lambda: asked.update(browser.requests()) or "Failed" in asked.get(stream, ""))
        page.keep(announced(page.other, b"meanwhile"))
        browser.driver.close()
        browser.driver.switch_to.window(first)
        wait_until(lambda: "meanwhile" in text_of(browser, "#waiting"))
        process.terminate()
        assert process.wait(4) == 0  # it does not wait for the open page
        wait_until(lambda: text_of(browser, "#live") == "Not live: the connection is lost.")


LOG_OUT: Final = """fetch("/logout", {method: "POST", body: new URLSearchParams({
  token: document.querySelector("[name=token]").value
})})
"""


def test_a_page_that_is_not_live_says_so(browser: Browser, page: Page) -> None:
    with page.running():
        browser.log_in(page.address, page.other, PASSWORD)
        wait_until(lambda: text_of(browser, "#live") == "Live.")
        browser.value(LOG_OUT)  # as in another window
        page.keep(announced(page.other, b"secret"))
        wait_until(lambda: text_of(browser, "#live") == "Not live any more. Load the page anew.")
        assert "secret" not in text_of(browser, "main")
        browser.driver.refresh()
        assert browser.find("h1").text == "Log in"


def test_names_of_strangers_are_text_and_do_nothing(browser: Browser, page: Page) -> None:
    page.keep(*(ended(page.other, path, 507, "<b>\u202etold</b>") for path in HOSTILE))
    with page.running():
        browser.log_in(page.address, page.other, PASSWORD)
        wait_until(lambda: text_of(browser, "#live") == "Live.")
        page.keep(*(announced(page.other, b"new/" + path[:4000]) for path in HOSTILE))
        wait_until(lambda: len(browser.all("#waiting tbody tr")) == len(HOSTILE))
        check_harmless(browser, HOSTILE, "#failed")
        check_harmless(browser, [b"new/" + path[:4000] for path in HOSTILE], "#waiting")
        links = [str(link.get_attribute("href")) for link in browser.all("tbody th a")]
        assert len(links) == 2 * len(HOSTILE)
        browser.driver.get(f"{page.address}/history")
        check_harmless(browser, HOSTILE, "table")
        for link in links:
            browser.driver.get(link)
            assert browser.all("dd, td")
            check_document(browser)
        browser.show(PHONE, 740)
        assert browser.overflow() == 0
    assert browser.complaints() == []
    asked = browser.requests()
    assert asked
    assert all(url.startswith(f"{page.address}/") for url in asked)


def check_harmless(browser: Browser, paths: tuple[bytes, ...] | list[bytes], where: str) -> None:
    """Check that names are shown as they are printed in a terminal."""
    script = "[...document.querySelectorAll(arguments[0])].map((e) => e.textContent)"
    shown = browser.value(script, f"{where} .path")
    names = (path.decode(errors="surrogateescape") for path in paths)
    assert sorted(shown) == sorted(units.printable(name) for name in names)
    check_document(browser)


def check_document(browser: Browser) -> None:
    """Check that there is no element or attribute but those of the templates."""
    assert not browser.all("img, iframe, b, body script, [onerror], [onload], [style]")
    assert all("/static/" in str(e.get_attribute("src")) for e in browser.all("script"))


def test_pictures_of_all_pages_are_made(
    browser: Browser, netops: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder: Path = request.config.getoption("--screenshots") or tmp_path
    pages = addresses(browser, netops)
    wanted = pages.items() if folder != tmp_path else [("health", pages["health"])]  # it takes time
    for name, address in wanted:
        browser.show()
        browser.driver.get(address)
        assert not re.search("Traceback|Undefined", text_of(browser, "main"))
        browser.picture(folder / f"{name}.png", height=600)
    browser.driver.get(netops)
    wait_until(lambda: text_of(browser, "#live") == "Live.")
    browser.picture(folder / "now.png", height=800)
    for part in ("#underway", "#volume"):
        browser.find(part).screenshot(str(folder / f"{part[1:]}.png"))
    browser.driver.get(pages["people"])
    browser.find(".plots").screenshot(str(folder / "plots.png"))
    browser.show(PHONE, 740)
    browser.driver.get(netops)
    wait_until(lambda: text_of(browser, "#live") == "Live.")
    browser.picture(folder / "phone.png", height=900)
    browser.show()
    browser.forget()
    browser.driver.get(f"{netops}/login")
    browser.picture(folder / "login.png", height=500)
    for picture in folder.glob("*.png"):
        assert 3000 < picture.stat().st_size < LARGEST, picture
