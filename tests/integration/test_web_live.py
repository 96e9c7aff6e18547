"""An open page Now is kept up to date by events, as long as its user is logged in."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.lab.page import Page, announced, ended, token_of
from tests.lab.site import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.lab.authority import Authority
    from tests.lab.site import Site


@pytest.fixture
def page(site: Site, authority: Authority) -> Page:
    page = Page(site, authority)
    page.keep()
    return page


def events(answer: httpx.Response) -> Iterator[str]:
    """Yield the HTML of each event."""
    text: list[str] = []
    for line in answer.iter_lines():
        if line.startswith("data: "):
            text.append(line.removeprefix("data: "))
        elif not line and text:
            yield "\n".join(text)
            text = []


def test_what_changes_comes_by_itself_and_only_that(page: Page) -> None:
    page.keep(announced(page.other, b"first"))
    with page.running(), page.client(page.other) as client, client.stream("GET", "/live") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        coming = events(answer)
        whole = next(coming)
        for part in ("problem", "alarm", "counts", "attention", "underway", "volume", "shown"):
            assert f'id="{part}"' in whole
        assert ">first<" in whole
        page.keep(ended(page.other, b"bad", 507, "disk full"))
        change = next(event for event in coming if "disk full" in event)
        assert "1 failed in a day, 0 late." in change
        assert 'id="problem"' not in change
        assert 'id="underway"' not in change or ">first<" in change


def test_nobody_gets_events_about_files_of_others(page: Page) -> None:
    with page.running(), page.client(page.other) as client, page.client(page.netops) as netops:
        streams = (client.stream("GET", "/live"), netops.stream("GET", "/live"))
        with streams[0] as mine, streams[1] as of_all:
            own, everything = events(mine), events(of_all)
            next(own)
            next(everything)
            page.keep(ended(page.mate, b"secret", 507), announced(page.other, b"own"))
            assert any(">secret<" in event for event in everything)
            for event in own:
                assert "secret" not in event
                if ">own<" in event:
                    break


def test_a_store_that_cannot_be_read_is_told_and_then_read_again(page: Page) -> None:
    with page.running(), page.client(page.other) as client, client.stream("GET", "/live") as answer:
        coming = events(answer)
        next(coming)
        away = page.history.rename(page.history.with_suffix(".away"))
        assert any("cannot be read now" in event for event in coming)
        away.rename(page.history)
        assert any('<div id="problem"></div>' in event for event in coming)


def test_events_end_with_the_session_and_need_one(site: Site, authority: Authority) -> None:
    page = Page(site, authority, 'sessionLifetime = "3s"\n')
    page.keep()
    with page.running(), page.client(page.other) as client:
        cookies = dict(client.cookies)
        with client.stream("GET", "/live") as answer:
            assert list(events(answer))  # and then it ends
        client.cookies.update(cookies)  # as a browser that does not forget
        assert client.get("/live").status_code == 401


def test_after_a_logout_no_event_comes(page: Page) -> None:
    with page.running(), page.client(page.other) as client, client.stream("GET", "/live") as answer:
        coming = events(answer)
        next(coming)
        token = token_of(client.get("/"))
        assert client.post("/logout", data={"token": token}).status_code == 303
        page.keep(announced(page.other, b"secret"))
        assert not any("secret" in event for event in coming)


def test_a_user_has_so_many_open_pages_and_closed_ones_do_not_count(page: Page) -> None:
    clients = page.client(page.other), page.client(page.mate)
    with page.running() as process, clients[0] as client, clients[1] as mate:
        with ExitStack() as stack:
            answers = [stack.enter_context(client.stream("GET", "/live")) for _ in range(20)]
            lines = [answer.iter_lines() for answer in answers]
            assert {next(line) for line in lines} == {"retry: 3000"}
            assert client.get("/live").status_code == 503
            assert client.get("/").status_code == 200
            with mate.stream("GET", "/live") as answer:
                assert answer.status_code == 200

        def open_again() -> bool:
            with client.stream("GET", "/live") as answer:
                return answer.status_code == 200

        wait_until(open_again)
        assert "Traceback" not in process.said()


def test_a_signal_ends_it_at_once_although_pages_are_open(page: Page) -> None:
    with page.running() as process, page.client(page.other) as client:
        with client.stream("GET", "/live", headers={"connection": "close"}) as answer:
            coming = events(answer)
            next(coming)
            reader = threading.Thread(target=lambda: list(coming))
            reader.start()
            process.terminate()
            assert process.wait(4) == 0  # without the 5 seconds that requests have
            reader.join()
        assert "Traceback" not in process.said()
