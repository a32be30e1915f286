"""Who asks: a person by their session's cookie, a machine by its bearer, and whoever can read the node's token.

The node's token is random; it lies in `<state>/token` for as long as the state does, and where commands look for it:
`<state>/run/token`, both readable by their owner only. A machine's bearer is `NAME.SECRET`. Whoever is wrong too often
has to wait: from one address, for one name there, and, much later, for one name from anywhere. The last could keep the
name's owner out, so it does not hold where the name was right before. A machine's secret that was right once is known
from then on.

A cookie comes with whatever any page has the browser ask for, so it counts only where the browser says that the page is
ours: `Sec-Fetch-Site` where it sends that, and `Origin` for whatever changes something or opens a socket.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Final

from aiohttp import web

from nodes.admin.audit import Audit
from nodes.admin.hashing import Busy, Hasher
from nodes.admin.places import origin_of
from nodes.admin.roles import NODE, Role, Who
from nodes.admin.sessions import Sessions
from nodes.admin.throttle import MOST, Throttle
from nodes.admin.users import Users
from nodes.files import write_private

TOKEN_FILE: Final = "token"
ADDRESS_RATE, ADDRESS_BURST = 0.5, 20.0
"""Wrong secrets a second and at once, from one address, which may be a whole office's."""
NAME_RATE, NAME_BURST = 1 / 30, 10.0
"""The same for one name from one address: 3,000 a day, of which none is a word that a person of eight letters has
chosen with care."""
ANYWHERE_RATE, ANYWHERE_BURST = 1 / 3, 1000.0
"""The same for one name from all addresses: those of many who guess together."""

WHO: Final = web.RequestKey("who", Who)
"""Who asks, on a request that has passed the guard; absent where anybody may."""
_BEARER: Final = "Bearer "
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{32,128}")


class Denied(Exception):
    """The request is refused for who asks: `status`, `reason`, and the seconds after which another try makes sense."""

    def __init__(self, status: int, reason: str, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.status, self.reason, self.wait_s = status, reason, wait_s


def own_token(state: Path, run: Path) -> str:
    """Return the node's token, made when there is none, and leave it in the run directory. Raises: OSError."""
    file = state / TOKEN_FILE
    token = ""
    with suppress(FileNotFoundError):
        token = file.read_text(errors="replace")
    if not _TOKEN.fullmatch(token):
        token = secrets.token_urlsafe(24)
        write_private(file, token.encode())
    write_private(run / TOKEN_FILE, token.encode())
    return token


class Access:
    """Finds out who asks. `cookie`: the name of the session's, which is this node's own."""

    def __init__(self, token: str, users: Users, sessions: Sessions, audit: Audit, cookie: str) -> None:
        self.users, self.sessions, self.audit, self.cookie = users, sessions, audit, cookie
        self._token = token
        self._hasher = Hasher()
        self._addresses = Throttle(ADDRESS_RATE, ADDRESS_BURST)
        self._names = Throttle(NAME_RATE, NAME_BURST)
        self._anywhere = Throttle(ANYWHERE_RATE, ANYWHERE_BURST)
        self._right: OrderedDict[str, None] = OrderedDict()
        """Names and where they were right, the latest last; `MOST` of them."""
        self._known: dict[str, tuple[str, bytes]] = {}
        """Machines whose secret was right: its generation and fingerprint."""

    async def who(self, request: web.Request) -> Who | None:
        """Return who sends a request; None: nobody known. Raises: Denied."""
        given = request.headers.get("Authorization")
        if given is not None:
            return await self._bearer(given.removeprefix(_BEARER), request) if given.startswith(_BEARER) else None
        return self._session(request)

    def at_socket(self, request: web.Request, token: str) -> Who | None:
        """Return who opened a WebSocket: by the node's token, which is its first word, or by their session.

        Raises: Denied.
        """
        if token:
            return NODE if self._is_token(token) else None
        return self._session(request)

    async def sign_in(self, name: str, password: str, origin: str) -> str:
        """Return the secret of a new session of a person's. Raises: Denied."""
        user = self.users.find(name)
        is_person = user is not None and user.role is not Role.MACHINE
        if not await self._shows(name, password, user.hash if user and is_person else None, origin):
            self.audit.refused("session.refused", origin, name=name[:64])
            raise Denied(401, "name or password is wrong")
        return await self.sessions.begin(name)

    async def _bearer(self, given: str, request: web.Request) -> Who | None:
        if self._is_token(given):
            return NODE
        name, _, secret = given.partition(".")
        user = self.users.find(name)
        print_ = hashlib.sha256(secret.encode(errors="surrogatepass")).digest()
        if user and self._known.get(name) == (user.generation, print_):
            return Who(name, user.role)
        if not secret:
            return None
        is_machine = user is not None and user.role is Role.MACHINE
        origin = origin_of(request.remote)
        if not await self._shows(name, secret, user.hash if user and is_machine else None, origin):
            self.audit.refused("bearer.refused", origin, name=name[:64])
            return None
        assert user is not None
        self._known[name] = (user.generation, print_)
        return Who(name, user.role)

    async def _shows(self, name: str, secret: str, known: str | None, origin: str) -> bool:
        """Say whether a secret is right; the wrong ones are counted. Raises: Denied."""
        name = name[:64]
        here, now = f"{origin} {name}", time.monotonic()
        waits = [self._addresses.wait_s(origin, now), self._names.wait_s(here, now)]
        if here not in self._right:
            waits.append(self._anywhere.wait_s(name, now))
        if (wait_s := max(waits)) > 0:
            raise Denied(429, "too many wrong tries; wait", wait_s)
        try:
            is_right = await self._hasher.matches(known, secret)
        except Busy:
            raise Denied(429, "too many are signing in at once", 1.0) from None
        if is_right:
            self._was_right(here)
        else:
            now = time.monotonic()
            self._addresses.failed(origin, now)
            self._names.failed(here, now)
            self._anywhere.failed(name, now)
        return is_right

    def _was_right(self, here: str) -> None:
        self._right[here] = None
        self._right.move_to_end(here)
        if len(self._right) > MOST:
            self._right.popitem(last=False)

    def _session(self, request: web.Request) -> Who | None:
        if not (secret := request.cookies.get(self.cookie)):
            return None
        if not _is_ours(request):
            raise Denied(403, "a page of ours has to ask, with its Origin")
        return self.sessions.who(secret)

    def _is_token(self, given: str) -> bool:
        """In the same time whatever is wrong; bytes that are no UTF-8 reach us as surrogates (PEP 383)."""
        return hmac.compare_digest(given.encode(errors="surrogatepass"), self._token.encode())


def is_foreign(request: web.Request) -> bool:
    """Say whether a page of another site asks."""
    origin = request.headers.get("Origin")
    return origin is not None and origin not in (f"http://{request.host}", f"https://{request.host}")


def _is_ours(request: web.Request) -> bool:
    """Say whether a request with a cookie comes from a page of ours, `is_foreign` having looked at its origin."""
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        return False
    only_reads = request.method == "GET" and "Upgrade" not in request.headers
    return only_reads or "Origin" in request.headers


__all__ = ["TOKEN_FILE", "WHO", "Access", "Denied", "is_foreign", "own_token"]
