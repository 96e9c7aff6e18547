"""What each answer tells the browser, and how requests are read: headers, cookies, forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION: Final = "__Host-session"
LOGIN: Final = "__Host-login"
_MAX_FORM: Final = 16_384  # bytes
_MAX_FIELDS: Final = 20
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
        " script-src 'self'; connect-src 'self'; base-uri 'none'; frame-ancestors 'none';"
        # HTML may be made from text by the one policy of live.js, which does not run scripts.
        " require-trusted-types-for 'script'; trusted-types live"
    ),
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "strict-transport-security": "max-age=31536000",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class SecurityHeaders:
    """Adds headers to every answer, also to errors."""

    def __init__(self, app: ASGIApp) -> None:
        """``app`` makes the answers."""
        self._app = app
        self._headers = [(name.encode(), value.encode()) for name, value in _HEADERS.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await self._app(scope, receive, sending)


def set_cookie(response: Response, name: str, value: str, seconds: int | None = None) -> None:
    """Set a cookie that no script reads and no other site sends."""
    response.set_cookie(
        name, value, max_age=seconds, path="/", secure=True, httponly=True, samesite="strict"
    )


def remove_cookie(response: Response, name: str) -> None:
    """Have the browser forget a cookie."""
    response.delete_cookie(name, path="/", secure=True, httponly=True, samesite="strict")


def query(request: Request) -> dict[str, str]:
    """Return what a link asks for; file names are any bytes.  What is empty is left out."""
    return _fields(request.scope["query_string"].decode("latin-1"))


async def form(request: Request) -> dict[str, str]:
    """Return the fields of a form; none of one that is too large."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MAX_FORM:
            return {}
    return _fields(body.decode("latin-1"))


def _fields(text: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(text, errors="surrogateescape", max_num_fields=_MAX_FIELDS))
    except ValueError:  # too many
        return {}


def client(request: Request) -> str:
    """Return the address of the client."""
    return request.client.host if request.client is not None else ""
