"""The small grammars inside SIP header fields: URIs, addresses, Via, CSeq, parameters, credentials (RFC 3261 s.25.1).

What it does: text to frozen values. What it does not: whole messages (`message.py`), meaning.
A value that is used again keeps its own `text`, because a route or a remote target has to go back to its owner byte
for byte (RFC 3261 s.12.1.2), and no parser that takes apart and puts together keeps that promise.

Every expression here is linear: alternatives that follow each other never begin with the same character, so hostile
text costs time in proportion to its length. Where carriers are looser than the RFC and the meaning is plain, we are
as loose (a host name may have an underscore or end in a digit; a tag may hold an `@`); where the RFC's torture
messages (4475) say reject, we reject. Everything raises `RemoteProtocolError`, nothing else.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

from protocols.errors import RemoteProtocolError

T = TypeVar("T")

MAX_CSEQ = 2**31 - 1
"""RFC 3261 s.8.1.1.5."""

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]+"
QUOTED = r'"(?:[^"\\]|\\.)*"'
HOST = r"(?:[A-Za-z0-9_.\-]+|\[[0-9A-Fa-f:.]+\])"
VALUE = rf'(?:{QUOTED}|[^;,?"<>\s]+)'
PARAMS = rf"((?:\s*;\s*{TOKEN}(?:\s*=\s*{VALUE})?)*)"

_token = re.compile(TOKEN)
_param = re.compile(rf"\s*;\s*({TOKEN})(?:\s*=\s*({VALUE}))?", re.DOTALL)
_userinfo = r'(?:([^@:\s<>"]+)(?::[^@\s<>"]*)?@)?'
_sip_uri = re.compile(rf"(?i:(sips?)):{_userinfo}({HOST})(?::([0-9]{{1,5}}))?((?:;[^;?\s]+)*)(\?\S*)?")
_other_uri = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):[^\s<>\"]+")
_bad_escape = re.compile(r"%(?![0-9A-Fa-f]{2})")
_name_addr = re.compile(rf"(?:({QUOTED})\s*|([A-Za-z0-9\-.!%*_+`'~ \t]*))<([^<>\s]+)>{PARAMS}\s*", re.DOTALL)
_addr_spec = re.compile(rf'([^\s;,?<>"]+){PARAMS}\s*', re.DOTALL)
_via = re.compile(
    rf"SIP\s*/\s*2\.0\s*/\s*({TOKEN})\s+({HOST})(?:\s*:\s*([0-9]{{1,5}}))?{PARAMS}\s*", re.DOTALL | re.IGNORECASE
)
_cseq = re.compile(rf"([0-9]{{1,10}})\s+({TOKEN})")
_list_item = re.compile(rf"(?:[^\",<]|{QUOTED}|<[^>]*>)+", re.DOTALL)
_auth_param = re.compile(rf"\s*({TOKEN})\s*=\s*({QUOTED}|[^\s,\"]+)\s*(?:,|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Uri:
    """A URI as it was written, and what we read in it. `host` is empty for schemes other than sip and sips."""

    text: str
    scheme: str
    user: str = ""
    host: str = ""
    port: int | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    headers: str = ""
    """What follows a question mark: allowed in a Contact, never in a request line (RFC 3261 s.19.1.1)."""


@dataclass(frozen=True, slots=True)
class NameAddr:
    """The value of From, To, Contact, Route and Record-Route: who, and the parameters of the header field."""

    uri: Uri
    name: str = ""
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def tag(self) -> str:
        """The tag that makes this end of the dialog unique (RFC 3261 s.19.3), or an empty text."""
        return self.params.get("tag", "")


@dataclass(frozen=True, slots=True)
class Via:
    """One hop that a request has passed, and the branch that names its transaction there (RFC 3261 s.20.42)."""

    text: str
    transport: str
    host: str
    port: int | None
    params: Mapping[str, str]

    @property
    def branch(self) -> str:
        """The transaction's name; empty from elements older than RFC 3261."""
        return self.params.get("branch", "")


@dataclass(frozen=True, slots=True)
class CSeq:
    """The place of a request in its dialog."""

    number: int
    method: str


# The same few values come back in every message of a dialog, and reading them is most of the cost of a message. The
# size bounds what strangers can have us keep: as many texts of `message.MAX_LINE`.
@lru_cache(maxsize=1024)
def uri(text: str) -> Uri:
    """Read one URI. Unknown schemes are read as opaque; what a request line may hold is decided in `message`.

    >>> uri("sip:+31201234567@10.0.0.1:5070;user=phone").host
    '10.0.0.1'
    """
    if _bad_escape.search(text):
        raise RemoteProtocolError("bad_uri", "a percent sign without two hexadecimal digits")
    if match := _sip_uri.fullmatch(text):
        scheme, user, host, port, params, headers = match.groups()
        return Uri(text, scheme.lower(), user or "", host, _port(port), dict(_uri_params(params)), headers or "")
    match = _other_uri.fullmatch(text)
    if match is None or match[1].lower() in ("sip", "sips"):
        raise RemoteProtocolError("bad_uri", text[:80])
    return Uri(text, match[1].lower())


@lru_cache(maxsize=1024)
def name_addr(text: str) -> NameAddr:
    """Read one name-addr or addr-spec with its parameters.

    >>> name_addr('"Bob" <sip:bob@example.com>;tag=7').tag
    '7'
    """
    if match := _name_addr.fullmatch(text):
        quoted, plain, target, params = match.groups()
        return NameAddr(uri(target), unquote(quoted) if quoted else plain.strip(), dict(_params(params)))
    if match := _addr_spec.fullmatch(text):
        return NameAddr(uri(match[1]), "", dict(_params(match[2])))
    raise RemoteProtocolError("bad_address", text[:80])


@lru_cache(maxsize=1024)
def via(text: str) -> Via:
    """Read one Via value.

    >>> via("SIP/2.0/UDP pbx1:5070;branch=z9hG4bK7;rport").branch
    'z9hG4bK7'
    """
    match = _via.fullmatch(text)
    if match is None:
        raise RemoteProtocolError("bad_via", text[:80])
    transport, host, port, params = match.groups()
    return Via(text, transport.upper(), host, _port(port), dict(_params(params)))


@lru_cache(maxsize=1024)
def cseq(text: str) -> CSeq:
    """Read a CSeq; its number is below 2^31 (RFC 3261 s.8.1.1.5).

    >>> cseq("314159 INVITE")
    CSeq(number=314159, method='INVITE')
    """
    match = _cseq.fullmatch(text.strip())
    if match is None or int(match[1]) > MAX_CSEQ:
        raise RemoteProtocolError("bad_cseq", text[:80])
    return CSeq(int(match[1]), match[2])


def items(value: str) -> list[str]:
    """Split a header value at the commas that stand outside quotes and angle brackets (RFC 3261 s.7.3.1).

    >>> items('"a, b" <sip:a,b@c>;x=1, <sip:d@e>')
    ['"a, b" <sip:a,b@c>;x=1', '<sip:d@e>']
    """
    found = [match[0].strip() for match in _list_item.finditer(value)]
    if not all(found) or _list_item.sub("", value) != "," * (len(found) - 1):
        raise RemoteProtocolError("bad_list", value[:80])
    return found


def each(values: list[str], read: Callable[[str], T]) -> list[T]:
    """Read a header field that is a list, whether it came in one line or several."""
    return [read(item) for value in values for item in items(value)]


def auth_params(value: str) -> tuple[str, dict[str, str]]:
    """Read a challenge or credentials: the scheme in lower case, and its parameters without quotes (RFC 3261 s.25.1).

    >>> auth_params('Digest realm="a, b", qop="auth,auth-int", stale=FALSE')[1]["qop"]
    'auth,auth-int'
    """
    scheme, _, rest = value.strip().partition(" ")
    found: dict[str, str] = {}
    at = 0
    while at < len(rest):
        match = _auth_param.match(rest, at)
        if match is None:
            raise RemoteProtocolError("bad_auth", scheme[:80])
        found[match[1].lower()] = unquote(match[2])
        at = match.end()
    return scheme.lower(), found


def quote(text: str) -> str:
    r"""Return a quoted-string.

    >>> print(quote('say "hi"'))
    "say \"hi\""
    """
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquote(text: str) -> str:
    """Return what a quoted-string says; a token says itself."""
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL) if text.startswith('"') else text


def is_token(text: str) -> bool:
    """Say whether the text may be a method or a header name (RFC 3261 s.25.1)."""
    return _token.fullmatch(text) is not None


def _params(text: str) -> Iterator[tuple[str, str]]:
    return ((match[1].lower(), unquote(match[2] or "")) for match in _param.finditer(text))


def _uri_params(text: str) -> Iterator[tuple[str, str]]:
    for part in text.split(";")[1:]:
        name, _, value = part.partition("=")
        yield name.lower(), value


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if not 0 < int(text) < 65536:
        raise RemoteProtocolError("bad_port", text)
    return int(text)


__all__ = [
    "CSeq", "MAX_CSEQ", "TOKEN", "NameAddr", "Uri", "Via",
    "auth_params", "cseq", "each", "is_token", "items", "name_addr", "quote", "unquote", "uri", "via",
]  # fmt: skip
