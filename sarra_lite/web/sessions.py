"""Who is logged in, and how often somebody may try: both in memory, forgotten by a restart.

Times are seconds of a monotonic clock, which the caller passes.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections import OrderedDict, deque
from typing import Final, NamedTuple

_MAX_SESSIONS: Final = 20  # of one user; the oldest ends
_MAX_KEYS: Final = 10_000  # whose attempts are remembered
_MAX_ATTEMPTS: Final = 5  # failures of one user from one address
_MAX_ADDRESS: Final = 30  # failures from one address, whichever the users
_WINDOW: Final = 300.0  # seconds in which failures count


class Session(NamedTuple):
    """A login: who, the token of his forms, and until when."""

    user: str
    form_token: str
    expires: float


class Sessions:
    """The sessions of all users, by the secret of their cookies."""

    def __init__(self, lifetime: float) -> None:
        """``lifetime``: seconds."""
        self.lifetime = lifetime
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, user: str, now: float) -> str:
        """Return the cookie of a new session."""
        # All live equally long, so the oldest ones are those that expire first.
        while self._sessions and next(iter(self._sessions.values())).expires <= now:
            self._sessions.popitem(last=False)
        own = [cookie for cookie, known in self._sessions.items() if known.user == user]
        for cookie in own[: max(0, len(own) + 1 - _MAX_SESSIONS)]:
            del self._sessions[cookie]
        cookie = secrets.token_urlsafe(32)
        self._sessions[cookie] = Session(user, secrets.token_urlsafe(32), now + self.lifetime)
        return cookie

    def find(self, cookie: str | None, now: float) -> Session | None:
        """Return the session of a cookie, None when there is none or it has expired."""
        session = self._sessions.get(cookie or "")
        return session if session is not None and session.expires > now else None

    def end(self, cookie: str | None) -> None:
        """End a session."""
        self._sessions.pop(cookie or "", None)


class FormTokens:
    """Tokens of the login form, each bound to a cookie of the browser that got the form."""

    def __init__(self) -> None:
        """Make a key; a form that was shown before a restart must be loaded again."""
        self._key = secrets.token_bytes(32)

    def token(self, cookie: str) -> str:
        """Return the token for a cookie."""
        return hmac.new(self._key, cookie.encode(), "sha256").hexdigest()

    def fits(self, cookie: str | None, token: str) -> bool:
        """Return whether a form has the token of the cookie."""
        return bool(cookie) and same(self.token(cookie or ""), token)


def same(known: str, given: str) -> bool:
    """Compare secrets in a time that does not depend on where they differ."""
    return hmac.compare_digest(known.encode(), given.encode(errors="replace"))


class Attempts:
    """Failed logins, by address and user, and by address."""

    def __init__(self) -> None:
        """Begin without any."""
        self._failures: OrderedDict[tuple[str, str], deque[float]] = OrderedDict()

    def begin(self, address: str, user: str, now: float) -> float:
        """Return 0 and count an attempt, or return the seconds until the next may be made."""
        network = _network(address)
        keys = {(network, user): _MAX_ATTEMPTS, (network, ""): _MAX_ADDRESS}
        waits = [self._wait(key, limit, now) for key, limit in keys.items()]
        if max(waits) > 0:
            return max(waits)
        for key in keys:
            self._failures.setdefault(key, deque()).append(now)
            self._failures.move_to_end(key)
        while len(self._failures) > _MAX_KEYS:
            self._failures.popitem(last=False)
        return 0.0

    def _wait(self, key: tuple[str, str], limit: int, now: float) -> float:
        failures = self._failures.get(key, deque())
        while failures and failures[0] <= now - _WINDOW:
            failures.popleft()
        return failures[0] + _WINDOW - now if len(failures) >= limit else 0.0

    def forget(self, address: str, user: str) -> None:
        """Take back the last attempt, since it was none, or forget all of a user who logged in."""
        network = _network(address)
        self._failures.pop((network, user), None)
        if all_of_it := self._failures.get((network, "")):
            all_of_it.pop()


def _network(address: str) -> str:
    """Return what one client has of addresses: of IPv6 the 64 bits that its network has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:  # noqa: PLR2004  as it is called
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
