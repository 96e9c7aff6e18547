"""A browser for sr_web of the standard library only, so that it runs on any host of the scope.

``python web_page.py ADDRESS CA USER PASSWORD PATH …`` logs in, and prints the answers to the paths
as JSON: status and text of each.  A login that is refused is the only answer.
"""

from __future__ import annotations

import html
import json
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from typing import NamedTuple


class Answer(NamedTuple):
    """Status and text of a page."""

    status: int
    text: str


class Browser:
    """Keeps the cookies of one user."""

    def __init__(self, address: str, trust: ssl.SSLContext, **headers: str) -> None:
        """``address`` of the page, which may answer with what ``trust`` trusts."""
        self._address = address.rstrip("/")
        handlers = (
            urllib.request.HTTPSHandler(context=trust),
            urllib.request.HTTPCookieProcessor(CookieJar()),
        )
        self._opener = urllib.request.build_opener(*handlers)
        self._opener.addheaders = list(headers.items())

    def get(self, path: str, fields: dict[str, str] | None = None) -> Answer:
        """Return the answer, also where it is an error; ``fields`` are sent as a form."""
        form = urllib.parse.urlencode(fields).encode() if fields else None
        try:
            with self._opener.open(self._address + path, form, timeout=20) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode())

    def log_in(self, user: str, password: str) -> Answer:
        """Log in; return the answer, after a login the page Now."""
        form = self.get("/login")
        token = re.search(r'name="token" value="([^"]+)"', form.text)
        if token is None:
            return form
        fields = {"user": user, "password": password, "token": html.unescape(token[1])}
        return self.get("/login", {**fields, "next": "/"})


def history(address: str, trust: ssl.SSLContext, user: str, password: str) -> str:
    """Return the text of the page History as a user sees it, or why he does not."""
    browser = Browser(address, trust)
    answer = browser.log_in(user, password)
    return browser.get("/history").text if answer.status == 200 else answer.text


def main() -> None:
    """Run the command."""
    address, ca, user, password, *paths = sys.argv[1:]
    forged = {"X-Forwarded-For": "192.0.2.77"}
    browser = Browser(address, ssl.create_default_context(cafile=ca), **forged)
    answer = browser.log_in(user, password)
    answers = [browser.get(path) for path in paths] if answer.status == 200 else [answer]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
