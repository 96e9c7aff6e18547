"""The pages: who is logged in, what he asks for, and which template shows it."""

from __future__ import annotations

import secrets
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import jinja2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import (
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sarra_lite import units
from sarra_lite.errors import BrokerError, SarraError
from sarra_lite.runtime import log
from sarra_lite.web import display, pages, security
from sarra_lite.web.live import Live
from sarra_lite.web.more import MorePages
from sarra_lite.web.records import Records, records_of, visible_users
from sarra_lite.web.sessions import Attempts, FormTokens, Session, Sessions, same

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp

    from sarra_lite.config.web import WebConfig
    from sarra_lite.web.login import Passwords

_HERE: Final = Path(__file__).parent
_SEE_OTHER: Final = 303
_LOGIN_LEADS_TO: Final = ("/history", "/file", "/people", "/unusual", "/expected", "/health")


class Pages:
    """Answers requests, for the users of one broker."""

    def __init__(self, config: WebConfig, passwords: Passwords) -> None:
        """Nobody is logged in yet."""
        self._config = config
        self._passwords = passwords
        self._sessions = Sessions(config.sessionLifetime)
        self._tokens = FormTokens()
        self._attempts = Attempts()
        loader = jinja2.FileSystemLoader(_HERE / "templates")
        self._templates = jinja2.Environment(
            loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
        )
        self._templates.filters.update(display.FILTERS)
        self._templates.globals.update(display.GLOBALS)
        self._more = MorePages(config)
        self._templates.globals["more_pages"] = self._more.links
        self._live = Live(self._parts, lambda: self._text("shown.html"))

    def application(self) -> ASGIApp:
        """Return the ASGI application."""
        shown = {"/": pages.now, "/history": pages.history, "/file": pages.file}
        shown |= self._more.contents()
        routes: list[Any] = [
            Route(path, partial(self._show, content)) for path, content in shown.items()
        ]
        routes += [
            Route("/live", self._follow),
            Route("/login", self._login_form, methods=["GET"]),
            Route("/login", self._login, methods=["POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ]
        errors: dict[Any, Callable[[Request, Exception], Awaitable[Response]]]
        errors = {HTTPException: self._refused, SarraError: self._unavailable}
        errors[Exception] = self._failed
        # Outside of all, so that the answer to an unexpected error has the headers, too.
        return security.SecurityHeaders(Starlette(routes=routes, exception_handlers=errors))

    def close(self) -> None:
        """End the streams of open pages, for which the server would wait."""
        self._live.close()

    def _session(self, request: Request) -> Session | None:
        return self._sessions.find(request.cookies.get(security.SESSION), time.monotonic())

    async def _show(self, content: pages.Content, request: Request) -> Response:
        """Show a page to a user who is logged in, to others the way to the login."""
        session = self._session(request)
        if session is None:
            target = request.url.path + ("?" + request.url.query if request.url.query else "")
            return RedirectResponse(f"/login?next={quote(target, safe='')}", _SEE_OTHER)
        records = records_of(self._config, session.user)
        values = await run_in_threadpool(content, records, security.query(request))
        return self._render(session, **values)

    async def _follow(self, request: Request) -> Response:
        """Send what changes on the page Now, until the session ends."""
        session = self._session(request)
        if session is None:
            return PlainTextResponse("You are not logged in.", 401)
        if self._live.full(session.user):
            return PlainTextResponse("Too many pages are open.", 503)

        def lasts() -> float:
            found = self._session(request)
            return 0.0 if found is None else found.expires - time.monotonic()

        users = visible_users(self._config, session.user)
        events = self._live.follow(session.user, users, lasts)
        # nginx, and others, would keep events back.
        headers = {"x-accel-buffering": "no"}
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    def _parts(self, users: frozenset[str] | None) -> dict[str, str]:
        """Return the parts of the page Now that change."""
        try:
            values = pages.now(Records(self._config.history_file, users), {})
        except SarraError as error:
            log.warning("%s", error)
            return {"problem": self._text("now/problem.html", problem=True)}
        return {part: self._text(f"now/{part}.html", **values) for part in values["parts"]}

    async def _login_form(self, request: Request) -> Response:
        return self._form(request, target=security.query(request).get("next", "/"))

    def _form(
        self, request: Request, *, target: str, error: str = "", user: str = "", status: int = 200
    ) -> Response:
        cookie = request.cookies.get(security.LOGIN) or secrets.token_urlsafe(32)
        token = self._tokens.token(cookie)
        values = {"form_token": token, "next": target, "error": error, "user": user}
        response = self._render(None, template="login.html", status=status, **values)
        security.set_cookie(response, security.LOGIN, cookie)
        return response

    async def _login(self, request: Request) -> Response:
        fields = await security.form(request)
        user, password = fields.get("user", ""), fields.get("password", "")
        target = fields.get("next", "/")
        again = partial(self._form, request, target=target, user=user)
        if not self._tokens.fits(request.cookies.get(security.LOGIN), fields.get("token", "")):
            return again(error="This form is too old. Please try again.", status=403)
        if not user or not password:
            return again(error="User and password are needed.", status=403)
        address = security.client(request)
        wait = self._attempts.begin(address, user, time.monotonic())
        if wait:
            error = f"Too many attempts. Try again in {units.show_duration(wait)}."
            response = again(error=error, status=429)
            response.headers["retry-after"] = str(int(wait) + 1)
            return response
        try:
            known = await self._passwords.fits(user, password)
        except BrokerError:
            self._attempts.forget(address, user)
            error = "The broker does not answer, so the password cannot be checked. Try later."
            return again(error=error, status=503)
        if not known:
            return again(error="User or password is wrong.", status=403)
        self._attempts.forget(address, user)
        return self._logged_in(request, user, target)

    def _logged_in(self, request: Request, user: str, target: str) -> Response:
        log.info("%s: logged in from %s", user, security.client(request))
        self._sessions.end(request.cookies.get(security.SESSION))
        response = RedirectResponse(_local(target), _SEE_OTHER)
        cookie = self._sessions.begin(user, time.monotonic())
        seconds = int(self._sessions.lifetime)
        security.set_cookie(response, security.SESSION, cookie, seconds)
        security.remove_cookie(response, security.LOGIN)
        return response

    async def _logout(self, request: Request) -> Response:
        session = self._session(request)
        fields = await security.form(request)
        if session is not None and not same(session.form_token, fields.get("token", "")):
            raise HTTPException(403, "This form is not of your session.")
        self._sessions.end(request.cookies.get(security.SESSION))
        response = RedirectResponse("/login", _SEE_OTHER)
        security.remove_cookie(response, security.SESSION)
        return response

    async def _refused(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = error.detail if isinstance(error, HTTPException) else ""
        if detail == "Not Found":  # what starlette says
            detail = "There is no such page."
        return self._error(request, status, detail)

    async def _unavailable(self, request: Request, error: Exception) -> Response:
        log.warning("%s", error)
        return self._error(request, 503, "The history cannot be read now. Try again later.")

    async def _failed(self, request: Request, _: Exception) -> Response:
        """Answer after an unexpected error, which uvicorn logs."""
        return self._error(request, 500, "The page has an error. The operators' log has more.")

    def _error(self, request: Request, status: int, text: str) -> Response:
        session = self._session(request)
        return self._render(session, template="error.html", status=status, text=text)

    def _render(
        self, session: Session | None, *, template: str, status: int = 200, **values: Any
    ) -> HTMLResponse:
        return HTMLResponse(self._text(template, session=session, page=template, **values), status)

    def _text(self, name: str, /, **values: Any) -> str:
        now = datetime.now(UTC).timestamp()
        return self._templates.get_template(name).render(now=now, **values)


def _local(target: str) -> str:
    """Return where a login leads: to a page of ours, whatever the link to it said."""
    path = target.partition("?")[0]
    return target if path in _LOGIN_LEADS_TO and target.isascii() else "/"
