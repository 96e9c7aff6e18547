"""sr_web shows each user his own files, after a login that the broker itself checks."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from tests.lab.page import HOSTILE, Page, all_pages, announced, ended, error_of, log_in, token_of
from tests.lab.processes import free_port
from tests.lab.site import wait_until

if TYPE_CHECKING:
    import httpx

    from sarra_lite.monitor.records import Record
    from tests.lab.authority import Authority
    from tests.lab.site import Site


@pytest.fixture
def page(site: Site, authority: Authority) -> Page:
    return Page(site, authority)


def test_a_user_sees_his_own_files_and_nothing_of_others(page: Page) -> None:
    user, other = page.site.user, page.other
    page.keep(ended(user, b"mine"), ended(other, b"secret", 507, "whispered"))
    page.keep(announced(user, b"soon"), announced(other, b"covert"), ended(page.mate, b"secret2"))
    asked = ("/", "/history", f"/history?user={other}", "/history?code=507", "/history?path=secret")
    with page.running(), page.client(user, page.site.password) as client:
        texts = [client.get(address).text for address in (*asked, "/people")]
        for text in texts:
            assert not any(
                word in text for word in ("secret<", "covert", "whispered", f">{other}<")
            )
        assert "mine" in texts[1]
        assert "soon" in texts[0]
        for path in ("secret", "covert", "none"):
            answer = client.get("/file", params={"user": other, "path": path})
            assert answer.status_code == 404
            assert error_of(answer) == "Nothing is known of this file, or it is not yours."
        assert "Waiting for a sender" in texts[0]


def test_netops_see_all_and_members_their_group_if_it_shares(
    site: Site, authority: Authority
) -> None:
    page = Page(site, authority, "groupsShare = true\n")
    page.keep(ended(site.user, b"first"), ended(page.mate, b"second"), ended(page.other, b"third"))
    with page.running():
        for user, seen in ((page.mate, 2), (page.other, 1), (page.netops, 3)):
            with page.client(user) as client:
                text = client.get("/history").text
                found = [name for name in ("first", "second", "third") if f">{name}<" in text]
                assert len(found) == seen, user


def test_what_is_asked_for_is_found_and_older_files_are_a_link_away(page: Page) -> None:
    user = page.site.user
    page.keep(*(ended(user, b"f%03d" % number) for number in range(120)))
    page.keep(ended(user, b"bad", 507, "disk full"), ended(user, b"bad2", 410, "gone"))
    with page.running(), page.client(user, page.site.password) as client:
        assert names(client.get("/history?code=507")) == ["bad"]
        assert names(client.get("/history?path=f007")) == ["f007"]
        assert names(client.get("/history?day=2001-01-01")) == []
        assert "A day is written like" in client.get("/history?day=x&code=12").text
        found = [name for answer in all_pages(client, "/history") for name in names(answer)]
        assert found == ["bad2", "bad", *(f"f{number:03}" for number in range(119, -1, -1))]
        now = client.get("/").text
        assert "disk full" in now
        assert "Failed in the last 24 hours" in now


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200
    return re.findall(r'<th scope="row"><a [^>]*><bdi class="path">([^<]*)</bdi>', answer.text)


def test_names_of_strangers_are_text_and_lead_to_their_files(page: Page) -> None:
    user = page.site.user
    page.keep(*(slow(ended(user, path, 507, "<b>\u202etold</b>")) for path in HOSTILE))
    page.keep(*(announced(user, b"new/" + path[:4000], 7_200_000) for path in HOSTILE))
    with page.running(), page.client(user, page.site.password) as client:
        for address in ("/", "/history"):
            answer = client.get(address)
            check_harmless(answer.text)
            links = re.findall(r'<th scope="row"><a href="([^"]+)"', answer.text)
            assert len(links) >= len(HOSTILE)
            for link in links:
                shown = client.get(unescape(link))
                assert shown.status_code == 200
                check_harmless(shown.text)
                assert (address == "/history") <= ("<dt>Limited by</dt>" in shown.text)
        hostile = "<script>alert(1)</script>"
        check_harmless(client.get("/history", params={"user": hostile, "day": hostile}).text)


def slow(record: Record) -> Record:
    """Return a report that says, in a stranger's words, what limited the file."""
    assert record.outcome is not None
    told = record.outcome._replace(limited="<b>", why="<img src=x>\u202e", connections="<script>")
    return record._replace(outcome=told)


def check_harmless(text: str) -> None:
    allowed = {"\n"}
    assert all(letter.isprintable() or letter in allowed for letter in text)
    text = re.sub(r'<script src="/static/[a-z.]+"', "", text)
    for tag in ("<script", "<img", "<b>", "onerror='", "style="):
        assert tag not in text


def test_a_wrong_password_is_one_line_and_the_broker_is_asked(page: Page) -> None:
    page.keep()
    with page.running() as process, page.client() as client:
        for user, password in (
            (page.other, "wrong"),
            ("nobody", "pw"),
            (f"{page.other}\0pw", "x"),
            (page.netops, "x\0"),
        ):
            answer = log_in(client, user, password)
            assert (answer.status_code, error_of(answer)) == (403, "User or password is wrong.")
        assert client.get("/").headers["location"] == "/login?next=%2F"
        assert "Traceback" not in process.said()
        assert "wrong" not in process.said().replace("password is wrong", "")


def test_attempts_are_limited_for_a_user_from_one_address_only(page: Page) -> None:
    page.keep()
    config = page.site.config / "web" / "default.toml"
    config.write_text(config.read_text() + 'proxies = ["127.0.0.1"]\n')
    with page.running(), page.client() as client:
        client.headers["x-forwarded-for"] = "192.0.2.1"
        assert [log_in(client, page.other, "no").status_code for _ in range(6)] == [403] * 5 + [429]
        refused = log_in(client, page.other, "pw")
        assert (refused.status_code, int(refused.headers["retry-after"]) > 60) == (429, True)
        assert log_in(client, page.mate, "pw").status_code == 303
        client.headers["x-forwarded-for"] = "192.0.2.2"
        assert log_in(client, page.other, "pw").status_code == 303


def test_an_address_that_no_proxy_has_said_is_not_believed(page: Page) -> None:
    page.keep()
    with page.running(), page.client() as client:
        codes = []
        for number in range(6):
            client.headers["x-forwarded-for"] = f"192.0.2.{number}"
            codes.append(log_in(client, page.other, "no").status_code)
        assert codes[-1] == 429


def test_a_form_of_another_site_does_nothing(page: Page) -> None:
    page.keep()
    with page.running(), page.client() as client, page.client() as attacker:
        assert log_in(client, page.other, "pw", token="x").status_code == 403
        token = token_of(attacker.get("/login"))
        assert log_in(client, page.other, "pw", token=token).status_code == 403
        assert log_in(client, page.other, "pw").status_code == 303
        assert client.post("/logout", data={"token": "x"}).status_code == 403
        assert client.get("/").status_code == 200
        cookies = dict(client.cookies)
        token = token_of(client.get("/"))
        assert client.post("/logout", data={"token": token}).headers["location"] == "/login"
        client.cookies.update(cookies)  # what was the session is none any more
        assert client.get("/").status_code == 303
        assert client.post("/login", content=b"a=" + b"x" * 100_000).status_code == 403


def test_answers_have_the_headers_and_cookies_of_a_strict_page(page: Page) -> None:
    page.keep()
    with page.running(), page.client() as client:
        answer = log_in(client, page.other, "pw")
        [cookie] = [c for c in answer.headers.get_list("set-cookie") if "session" in c]
        for word in ("__Host-session=", "; Secure", "; HttpOnly", "; SameSite=strict", "; Path=/"):
            assert word in cookie
        for address in ("/", "/history", "/people", "/login", "/none", "/static/style.css"):
            headers = client.get(address).headers
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "require-trusted-types-for 'script'" in policy
            assert "unsafe" not in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cache-control"] == "no-store"
            assert "server" not in headers


def test_a_login_leads_to_the_page_that_was_asked_for_but_to_no_other_site(page: Page) -> None:
    page.keep()
    with page.running(), page.client() as client:
        target = client.get("/history?code=507").headers["location"]
        assert target == "/login?next=%2Fhistory%3Fcode%3D507"
        for asked, reached in (
            ("/history?code=507", "/history?code=507"),
            ("https://evil.example/", "/"),
            ("//evil.example/history", "/"),
            ("/history\\@evil?x", "/"),
        ):
            answer = log_in(client, page.other, "pw", target=asked)
            assert answer.headers["location"] == reached


def test_a_session_ends_after_its_lifetime(site: Site, authority: Authority) -> None:
    page = Page(site, authority, 'sessionLifetime = "2s"\n')
    page.keep()
    with page.running(), page.client(page.other) as client:
        cookies = dict(client.cookies)
        assert client.get("/people").status_code == 200

        def ended() -> bool:
            client.cookies.update(cookies)  # as a browser that does not forget
            return client.get("/people").status_code == 303

        wait_until(ended)


def test_without_a_store_or_broker_it_says_so_and_goes_on(page: Page) -> None:
    with page.running(), page.client(page.other) as client:
        answer = client.get("/")
        assert (answer.status_code, "cannot be read now" in answer.text) == (503, True)
        assert not page.history.exists()
        page.keep(ended(page.other, b"f"))
        assert names(client.get("/history")) == ["f"]
        before = page.history.read_bytes()
        assert client.get("/people").status_code == 200
        assert page.history.read_bytes() == before


def test_a_broker_that_does_not_answer_is_no_wrong_password(page: Page) -> None:
    page.keep()
    config = page.site.config / "web" / "default.toml"
    nowhere = f"127.0.0.1:{free_port('127.0.0.1')}"
    config.write_text(re.sub(r"@[^/]+/", f"@{nowhere}/", config.read_text(), count=1))
    with page.running(), page.client() as client:
        for _ in range(7):  # none counts as an attempt
            answer = log_in(client, page.other, "pw")
            assert (answer.status_code, "does not answer" in error_of(answer)) == (503, True)


def test_it_ends_at_once_by_a_signal_also_while_a_browser_is_connected(page: Page) -> None:
    page.keep()
    with page.running() as process, page.client(page.other):
        process.terminate()
        assert process.wait(20) == 0


def test_what_it_cannot_listen_with_is_one_line_and_status_78(page: Page) -> None:
    config = page.site.config / "web" / "default.toml"
    good = config.read_text()
    for old, new, told in (
        ("127.0.0.1:", "0.0.0.0:", ""),
        ('"g"', "7", "member"),
        (str(page.port), "99999", "listenAddress"),
        ("tlsKeyFile", "#", "need each other"),
    ):
        config.write_text(good.replace(old, new, 1) if old != "127.0.0.1:" else plain(page, good))
        done = page.site.run("sr_web", status=78)
        assert (told or "only a loopback address") in done.stderr


def plain(page: Page, text: str) -> str:
    text = text.replace(f"127.0.0.1:{page.port}", f"0.0.0.0:{page.port}")
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("tls"))
