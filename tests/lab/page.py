"""An sr_web on the common broker, with a store of its own, and a browser that logs in."""

from __future__ import annotations

import re
import ssl
import time
from contextlib import closing, contextmanager
from html import unescape
from typing import TYPE_CHECKING, Any, Final

import httpx

from sarra_lite.monitor.records import Outcome, Record
from sarra_lite.monitor.store import Batch, Store
from tests.lab.processes import free_port
from tests.lab.rabbitmq import User

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.lab.authority import Authority
    from tests.lab.site import Running, Site

PASSWORD: Final = "pw"
NOW: Final = time.time_ns() // 10**6
# Names of files as strangers choose them.
HOSTILE: Final = (
    b"<script>alert(1)</script>",
    b"\"><img src=x onerror='alert(1)'>",
    b"{{ 7 * 7 }}&amp;%00",
    b"\x1b[31mred\x1b]0;title\x07",
    "\u202egpj.exe \u2066\u05d0\u05d1".encode(),
    b"\xff\xfe\n",
    b"d/" * 2040 + b"x" * 16,
)


def ended(user: str, path: bytes, code: int = 201, text: str = "said", *, at: int = NOW) -> Record:
    """Return a file of which the final report has just come, or a second before ``at``."""
    outcome = Outcome(at - 1000, 2000, code, text, 1, "default/1", "host", 0, True, code < 300)  # noqa: FBT003
    return Record(user, path, at - 5000, 1000, block=False, outcome=outcome)


def announced(user: str, path: bytes, age: int = 5000) -> Record:
    """Return a file that nobody has reported; ``age``: milliseconds."""
    return Record(user, path, NOW - age, 1000, block=False)


def all_pages(client: httpx.Client, address: str) -> Iterator[httpx.Response]:
    """Yield the answers of an address and of all that it leads to as the next page."""
    while address:
        answer = client.get(address)
        yield answer
        following = re.findall(r'rel="next" href="([^"]+)"', answer.text)
        address = unescape(following[0]) if following else ""


class Page:
    """An sr_web with a store of its own."""

    def __init__(self, site: Site, authority: Authority, more: str = "") -> None:
        """``more`` is added to the configuration."""
        self.site = site
        self.port = free_port("127.0.0.1")
        self.address = f"https://127.0.0.1:{self.port}"
        self.history = site.directory / "history.sqlite"
        self.mate, self.other, self.netops = (f"{site.user}{end}" for end in ("m", "o", "n"))
        others = (self.mate, self.other, self.netops)
        site.rabbit.add_users(*(User(name, "pw") for name in others))
        certificate = authority.issue("page", ["127.0.0.1"])
        self.ca: Path = authority.ca_file
        (site.config / "web").mkdir()
        (site.config / "web" / "default.toml").write_text(
            f'broker = "{site.broker}"\nlistenAddress = "127.0.0.1:{self.port}"\n'
            f'historyFile = "{self.history}"\nnetops = ["{self.netops}"]\n'
            f'tlsCertFile = "{certificate.cert_file}"\ntlsKeyFile = "{certificate.key_file}"\n'
            f'member = {{ {site.user} = "g", {self.mate} = "g" }}\n{more}'
        )

    def keep(self, *records: Record) -> None:
        """Store what an sr_monitor would."""
        groups = {self.site.user: "g", self.mate: "g"}
        with closing(Store(self.history, 90, groups)) as store:
            store.take(Batch(list(records)))

    @contextmanager
    def running(self) -> Iterator[Running]:
        """Run sr_web, until the page is there."""
        with self.site.running("sr_web") as process:
            process.wait_for("the page is at")
            yield process

    @contextmanager
    def client(self, user: str = "", password: str = PASSWORD) -> Iterator[httpx.Client]:
        """A browser, in which a user is logged in, if one is given."""
        trust = ssl.create_default_context(cafile=self.ca)
        with httpx.Client(base_url=self.address, verify=trust, timeout=20) as client:
            if user:
                answer = log_in(client, user, password)
                assert answer.status_code == 303, answer.text
            yield client


def log_in(
    client: httpx.Client, user: str, password: str, *, target: str = "/", **changed: Any
) -> httpx.Response:
    """Send the form of the login; ``changed`` are fields of it."""
    form = client.get("/login", params={"next": target})
    fields = {"user": user, "password": password, "token": token_of(form), "next": target}
    return client.post("/login", data=fields | changed)


def token_of(answer: httpx.Response) -> str:
    """Return the token of the form on a page."""
    [token] = re.findall(r'name="token" value="([^"]+)"', answer.text)
    return str(token)


def error_of(answer: httpx.Response) -> str:
    """Return the text of the error on a page."""
    [text] = re.findall(r'class="error"[^>]*>(.*?)</p>', answer.text)
    return str(text)


def cells(text: str, caption: str) -> list[list[str]]:
    """Return the rows of the table with a caption on a page, as they are read."""
    tables = re.findall(r"<table.*?</table>", text, re.DOTALL)
    [table] = [table for table in tables if caption in table]
    rows = [re.findall(r"<t[hd]\b.*?>(.*?)</t[hd]>", row) for row in table.split("<tr>")]
    return [[unescape(re.sub(r"<[^>]*>", "", cell)) for cell in row] for row in rows if row]
