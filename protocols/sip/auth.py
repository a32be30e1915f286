"""Digest authentication, both ends: answer a challenge, or make one and check the answer (RFC 7616, 2617, 3261 s.22).

Algorithms MD5 and SHA-256, quality of protection `auth`, and the older form without it. A password is seen here and
goes nowhere. The server side keeps no table of nonces: a nonce carries the time at which it was given, and a mark that
only its giver can make, so that any process with the same secret can check it.
"""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from protocols.errors import RemoteProtocolError
from protocols.sip import syntax
from protocols.sip.build import Entropy
from protocols.sip.message import Response

ALGORITHMS: Final = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
"""The stronger one is chosen when both are offered (RFC 7616 s.3.7)."""
NONCE_S: Final = 300.0
"""How long a nonce of ours is good; longer than any INVITE takes to come back with it."""

CHALLENGES: Final = {"www-authenticate": "authorization", "proxy-authenticate": "proxy-authorization"}
"""The header of the challenge to the header of the answer (RFC 3261 s.22.2, s.22.3)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a trunk or a registrar knows us by, and who may ask for it.

    `realms`: of the trunk; empty: they are not known beforehand. `without_qop`: also in the old form (RFC 2069), whose
    answers anybody who has seen one can use again.
    """

    user: str
    password: str
    realms: tuple[str, ...] = ()
    without_qop: bool = False

    def __repr__(self) -> str:
        """Never show the password, not in a log and not in a traceback."""
        return f"Credentials(user={self.user!r})"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a server wants to be answered. `name`: of the header that the answer goes into."""

    name: str
    realm: str
    nonce: str
    algorithm: str = "MD5"
    has_qop: bool = False
    opaque: str = ""
    stale: bool = False
    """The password was right, the nonce too old: try again with this one (RFC 7616 s.3.3)."""

    @property
    def strength(self) -> int:
        """Which of two challenges of one realm is the stronger."""
        return list(ALGORITHMS).index(self.algorithm)


def challenges_in(response: Response) -> list[Challenge]:
    """Return the digest challenges in a 401 or 407 that can be answered: the strongest of each realm.

    There may be several, of proxies and callee, in either (RFC 3261 s.22.3).
    """
    if response.code not in (401, 407):
        return []
    found = [_read_challenge(answer, value) for ask, answer in CHALLENGES.items() for value in response.values(ask)]
    strongest: dict[tuple[str, str], Challenge] = {}
    for one in found:
        if one and one.strength >= strongest.get((one.name, one.realm), one).strength:
            strongest[one.name, one.realm] = one
    return list(strongest.values())


def answer(
    challenge: Challenge, credentials: Credentials, method: str, uri: str, entropy: Entropy, count: int = 1
) -> str:
    """Return the value of Authorization or Proxy-Authorization for a request (RFC 7616 s.3.4).

    `count`: how often this nonce has been used, this time included.
    """
    fields = {
        "username": syntax.quote(credentials.user),
        "realm": syntax.quote(challenge.realm),
        "nonce": syntax.quote(challenge.nonce),
        "uri": syntax.quote(uri),
        "algorithm": challenge.algorithm,
    }
    if challenge.has_qop:
        fields |= {"qop": "auth", "nc": f"{count:08x}", "cnonce": syntax.quote(entropy(8).hex())}
    if challenge.opaque:
        fields["opaque"] = syntax.quote(challenge.opaque)
    plain = {name: syntax.unquote(value) for name, value in fields.items()}
    fields["response"] = syntax.quote(digest(plain, credentials.password, method))
    return "Digest " + ", ".join(f"{name}={value}" for name, value in fields.items())


def digest(fields: Mapping[str, str], password: str, method: str) -> str:
    """Return the response that these fields of an Authorization ask for (RFC 7616 s.3.4.1; without qop, RFC 2617)."""
    algorithm = ALGORITHMS[fields.get("algorithm", "MD5").upper()]

    def h(*parts: str) -> str:
        return algorithm(":".join(parts).encode()).hexdigest()

    secret = h(fields["username"], fields["realm"], password)
    what = h(method, fields["uri"])
    if "qop" in fields:
        return h(secret, fields["nonce"], fields["nc"], fields["cnonce"], fields["qop"], what)
    return h(secret, fields["nonce"], what)


def _read_challenge(name: str, value: str) -> Challenge | None:
    try:
        scheme, found = syntax.auth_params(value)
    except RemoteProtocolError:
        return None
    algorithm = found.get("algorithm", "MD5").upper()
    qop = {one.strip() for one in found.get("qop", "").lower().split(",")} - {""}
    if scheme != "digest" or algorithm not in ALGORITHMS or not {"realm", "nonce"} <= found.keys():
        return None
    if qop and "auth" not in qop:
        return None
    stale = found.get("stale", "").lower() == "true"
    return Challenge(name, found["realm"], found["nonce"], algorithm, bool(qop), found.get("opaque", ""), stale)


class Verdict(Enum):
    """What a server makes of a request's credentials."""

    GOOD = auto()
    STALE = auto()
    """Right, but for a nonce that has run out: challenge again, with `stale`."""
    BAD = auto()
    """None, of another realm, or wrong: challenge."""


class Challenger:
    """The server's side of one realm, for a registrar and for rehearsals."""

    def __init__(self, realm: str, secret: bytes, algorithm: str = "MD5") -> None:
        """`secret`: what marks our nonces; the processes of one realm share it."""
        self._realm = realm
        self._secret = secret
        self._algorithm = algorithm

    def challenge(self, now: float, stale: bool = False) -> str:
        """Return the value of a WWW-Authenticate or Proxy-Authenticate."""
        marked = f"{int(now):x}"
        fields = f'realm={syntax.quote(self._realm)}, nonce="{marked}.{self._mark(marked)}", qop="auth"'
        return f"Digest {fields}, algorithm={self._algorithm}" + (", stale=true" if stale else "")

    def verify(self, value: str, method: str, password_of: Callable[[str], str | None], now: float) -> Verdict:
        """Judge the value of an Authorization or Proxy-Authorization; an empty value is BAD. Never raises."""
        try:
            scheme, fields = syntax.auth_params(value)
            password = password_of(fields["username"])
            expected = digest(fields, password or "", method)
        except (RemoteProtocolError, KeyError):
            return Verdict.BAD
        at, _, mark = fields["nonce"].partition(".")
        ours = hmac.compare_digest(mark.encode(), self._mark(at).encode()) and fields["realm"] == self._realm
        ours = ours and fields.get("algorithm", "MD5").upper() == self._algorithm
        right = hmac.compare_digest(fields.get("response", "").encode(), expected.encode())
        if scheme != "digest" or password is None or not ours or not right:
            return Verdict.BAD
        return Verdict.GOOD if 0 <= now - int(at, 16) <= NONCE_S else Verdict.STALE

    def _mark(self, at: str) -> str:
        return hmac.new(self._secret, f"{self._realm} {at}".encode(), "sha256").hexdigest()[:16]


__all__ = [
    "ALGORITHMS",
    "CHALLENGES",
    "Challenge",
    "Challenger",
    "Credentials",
    "Verdict",
    "answer",
    "challenges_in",
    "digest",
]
