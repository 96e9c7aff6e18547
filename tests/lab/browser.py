"""Drives Debian's Chromium without a screen, and asks axe-core what it finds on a page."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import (
    presence_of_element_located,
    staleness_of,
)
from selenium.webdriver.support.wait import WebDriverWait

from tests.lab import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from selenium.webdriver.remote.webelement import WebElement

_CHROMIUM: Final = Path("/usr/bin/chromium")
_DRIVER: Final = Path("/usr/bin/chromedriver")
_AXE: Final = Path(__file__).parent / "axe-core" / "axe.min.js"
_TAGS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",  # which root cannot have
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
)


class Browser:
    """A browser with a fresh profile that trusts any certificate."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        """``driver`` is ended by who started it."""
        self.driver = driver

    def show(self, width: int = 1200, height: int = 900, scheme: str = "light") -> None:
        """Have a window of this size, and prefer a colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._tell("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._tell("Emulation.setEmulatedMedia", {"features": features})

    def scripts(self, *, run: bool) -> None:
        """Say whether pages that are loaded from now on may run scripts."""
        self._tell("Emulation.setScriptExecutionDisabled", {"value": not run})

    def forget(self) -> None:
        """Forget all cookies."""
        self._tell("Network.clearBrowserCookies", {})

    def _tell(self, command: str, values: dict[str, Any]) -> Any:
        return self.driver.execute_cdp_cmd(command, values)

    def log_in(self, address: str, user: str, password: str) -> None:
        """Log in as a person does, with the keyboard."""
        self.forget()
        self.driver.get(f"{address}/login")
        self.find("#user").send_keys(user)
        self.find("#password").send_keys(password)
        self.follow("main button")

    def find(self, selector: str) -> WebElement:
        """Return the first element that a CSS selector finds; raise when there is none."""
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        """Return all elements that a CSS selector finds."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def complaints(self) -> list[str]:
        """Return and forget errors, among them those of the page's security policy."""
        # Where a session has ended, the stream is refused.
        said = (entry["message"] for entry in self._log("browser"))
        return [text for text in said if "/live" not in text]

    def requests(self) -> dict[str, str]:
        """Return and forget what was asked for: URLs, and the last event of each as it is named."""
        events = [json.loads(entry["message"])["message"] for entry in self._log("performance")]
        urls: dict[str, str] = {}
        last: dict[str, str] = {}
        for event in events:
            number = event["params"].get("requestId")
            if event["method"] == "Network.requestWillBeSent":
                urls[number] = event["params"]["request"]["url"]
            if number in urls:
                last[urls[number]] = event["method"]
        return last

    def _log(self, kind: str) -> list[Any]:
        return list(self.driver.get_log(kind))  # type: ignore[no-untyped-call]

    def follow(self, selector: str) -> None:
        """Click what leads to another page; return when that is there as a whole."""
        page = self.find("html")
        self.find(selector).click()
        wait = WebDriverWait(self.driver, 30)
        wait.until(staleness_of(page))
        wait.until(presence_of_element_located((By.CSS_SELECTOR, "footer")))

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        self.driver.switch_to.active_element.send_keys(*keys)

    def value(self, script: str, *arguments: object) -> Any:
        """Return the value of an expression in the page."""
        return self.driver.execute_script(f"return {script}", *arguments)

    def violations(self) -> list[str]:
        """Return what axe-core finds against WCAG 2.2 AA on the page, a line each."""
        if not self.value("typeof window.axe === 'object'"):
            self.driver.execute_script(_AXE.read_text(encoding="utf-8"))
        script = (
            "const done = arguments[1]; axe.run(document, {runOnly: arguments[0],"
            " resultTypes: ['violations']}).then((found) => done(found.violations))"
        )
        found = self.driver.execute_async_script(script, _TAGS)
        return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]

    def overflow(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        root = "document.documentElement"
        return int(self.value(f"{root}.scrollWidth - {root}.clientWidth"))

    def picture(self, file: Path, *, height: int = 0) -> None:
        """Write what is seen as PNG; ``height`` pixels of it, or the whole page."""
        root = "document.documentElement"
        width = self.value(f"{root}.clientWidth")
        self.show(width, 100)
        whole = self.value(f"{root}.scrollHeight")
        self.show(width, min(height or whole, whole))
        self.driver.save_screenshot(str(file))


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Run a browser until the end of the block; its profile is in a new directory."""
    for program in (_CHROMIUM, _DRIVER):
        if not program.exists():
            raise Unavailable(f"{program} is missing: tests/lab/packages.sh installs it")
    options = Options()
    options.binary_location = str(_CHROMIUM)
    options.accept_insecure_certs = True
    for flag in (*_FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(_DRIVER)))
    try:
        driver.set_page_load_timeout(30)
        driver.set_script_timeout(30)
        yield Browser(driver)
    finally:
        driver.quit()
