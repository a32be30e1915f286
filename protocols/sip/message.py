"""One SIP message: bytes to a checked, frozen `Request` or `Response`, and back (RFC 3261 s.7, s.20).

Reading goes in two stages, because a request that is wrong may still be readable enough to be told so:

1. `read`   start line and header fields; failing here, there is nobody to answer.
2. `check`  everything that RFC 3261 asks of a message before anyone acts on it; failing here, the error's `code` is
            the answer (400 unless it says otherwise), and a broken response is dropped.

`parse` is both. What passed `parse` can be asked for its Via, CSeq, From and To without further care. Header names
are kept in lower case, compact forms written out (s.7.3.3); values are kept as they came.

Not here: what a request asks for (`responder`, the legs), the grammars inside values (`syntax`).
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Self, TypeAlias

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.sip import syntax
from protocols.sip.syntax import CSeq, NameAddr, Via

Fields: TypeAlias = tuple[tuple[str, str], ...]
"""Header fields in order: name in lower case, value without folding."""

MAX_HEADERS: Final = 256
"""A request that has passed Max-Forwards (70) proxies carries two fields from each and some 30 of its own."""
MAX_LINE: Final = 8192
"""Characters in a header field: what web servers allow; the longest torture message (RFC 4475) has 3.5 kB in all."""
BRANCH_MAGIC: Final = "z9hG4bK"
"""RFC 3261 s.8.1.1.7."""

COMPACT: Final = {
    "a": "accept-contact", "b": "referred-by", "c": "content-type", "d": "request-disposition", "e": "content-encoding",
    "f": "from", "i": "call-id", "j": "reject-contact", "k": "supported", "l": "content-length", "m": "contact",
    "o": "event", "r": "refer-to", "s": "subject", "t": "to", "u": "allow-events", "v": "via", "x": "session-expires",
    "y": "identity",
}  # fmt: skip
"""The one-letter names (IANA, SIP parameters)."""
SPELLED: Final = {"call-id": "Call-ID", "cseq": "CSeq", "www-authenticate": "WWW-Authenticate", "min-se": "Min-SE"}
"""Names that are not simply capitalised words. No receiver may care (RFC 3261 s.7.3.1); people who read traces do."""
SINGLETONS: Final = frozenset({
    "call-id", "content-length", "content-type", "cseq", "date", "expires", "from", "max-forwards", "min-expires",
    "session-expires", "to",
})  # fmt: skip
"""Fields that are no list (RFC 3261 s.7.3.1): twice means the sender, or an attacker, meant two things."""
REQUIRED: Final = ("via", "from", "to", "call-id", "cseq")
"""RFC 3261 s.8.1.1; Max-Forwards is left out, as peers older than the RFC leave it out (RFC 4475 s.3.1.1.13)."""

_field = re.compile(rf"({syntax.TOKEN})[ \t]*:([^\r\n]*)")
_status = re.compile(r"SIP/2\.0 ([1-6][0-9]{2}) (.*)", re.IGNORECASE)
_unfold = re.compile(r"\r\n[ \t]+")
_version = re.compile(r"SIP/\d+\.\d+", re.IGNORECASE)
_number = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What requests and responses share. Content-Length is no field here: it is checked, and written, from the body."""

    headers: Fields
    body: bytes = b""

    def first(self, name: str) -> str:
        """Return the first value of a header field (name in lower case), or an empty text."""
        return next((value for key, value in self.headers if key == name), "")

    def values(self, name: str) -> list[str]:
        """Return every line of a header field, each as it came; one line may hold a list."""
        return [value for key, value in self.headers if key == name]

    def tokens(self, name: str) -> frozenset[str]:
        """Return the words of a list field such as Supported, Require or Allow."""
        return frozenset(word.strip() for value in self.values(name) for word in value.split(",") if word.strip())

    def addresses(self, name: str) -> list[NameAddr]:
        """Return the addresses of a list field such as Contact or Record-Route."""
        return syntax.each(self.values(name), syntax.name_addr)

    @property
    def via(self) -> Via:
        """The topmost Via: the last hop of a request, ourselves in a response."""
        return syntax.via(syntax.items(self.first("via"))[0])

    @property
    def cseq(self) -> CSeq:
        """The CSeq of the request, or of the request that this answers."""
        return syntax.cseq(self.first("cseq"))

    @property
    def sender(self) -> NameAddr:
        """The From of the request: who asked. It is the same in the response."""
        return syntax.name_addr(self.first("from"))

    @property
    def to(self) -> NameAddr:
        """The To of the request: who was asked."""
        return syntax.name_addr(self.first("to"))

    @property
    def sip_call_id(self) -> str:
        """The Call-ID: the key by which a datagram finds its leg."""
        return self.first("call-id")

    @property
    def content_type(self) -> str:
        """The media type of the body in lower case, without parameters."""
        return self.first("content-type").partition(";")[0].strip().lower()

    def adding(self, *fields: tuple[str, str]) -> Self:
        """Return the message with more header fields at its end; one with an empty value is left out."""
        return replace(self, headers=self.headers + tuple(one for one in fields if one[1]))

    def setting(self, name: str, value: str) -> Self:
        """Return the message with this value in the first header field of that name, which it has."""
        at = next(index for index, (key, _) in enumerate(self.headers) if key == name)
        return replace(self, headers=(*self.headers[:at], (name, value), *self.headers[at + 1 :]))

    def _serialised(self, start: str) -> bytes:
        if any("\n" in value or "\r" in value for _, value in self.headers):
            raise LocalProtocolError("line_end_in_header")  # theirs hold none: `read` has split there
        lines = [f"{SPELLED.get(name) or name.title()}: {value}\r\n" for name, value in self.headers]
        length = f"Content-Length: {len(self.body)}\r\n\r\n"
        return "".join([start, "\r\n", *lines, length]).encode() + self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class Request(Message):
    """A request."""

    method: str
    uri: str

    def __bytes__(self) -> bytes:
        """Return the datagram."""
        return self._serialised(f"{self.method} {self.uri} SIP/2.0")

    @property
    def is_new_invite(self) -> bool:
        """Say whether this asks for a new call: an INVITE outside any dialog (RFC 3261 s.12.2)."""
        return self.method == "INVITE" and not self.to.tag


@dataclass(frozen=True, slots=True, kw_only=True)
class Response(Message):
    """A response. `code` is 100 to 699; the phrase is for people."""

    code: int
    phrase: str

    def __bytes__(self) -> bytes:
        """Return the datagram."""
        return self._serialised(f"SIP/2.0 {self.code} {self.phrase}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft(Message):
    """What has the form of a message, and is not yet known to be a good one."""

    start: str

    @property
    def is_response(self) -> bool:
        """Say whether the start line is meant as a status line; such a message is never answered."""
        return self.start[:4].upper() == "SIP/"


def parse(data: bytes) -> Request | Response:
    """Return the one message in a datagram, fit to be acted upon.

    Raises `RemoteProtocolError`: `code` is what to answer, if it was a request and can be answered at all.
    """
    return check(read(data))


def read(data: bytes) -> Draft:
    """Return start line, header fields and whatever follows them.

    Folded lines are joined, blanks before a colon dropped (s.7.3.1), line ends before the start line ignored (s.7.5).
    Raises `RemoteProtocolError`: there is nobody to answer.
    """
    head, separator, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    if not separator:
        raise RemoteProtocolError("no_end_of_headers")
    try:
        start, *lines = _unfold.sub(" ", head.decode()).split("\r\n")
    except UnicodeDecodeError as error:
        raise RemoteProtocolError("not_utf8", str(error)) from None
    if len(lines) > MAX_HEADERS:
        raise RemoteProtocolError("too_many_headers", str(len(lines)))
    if any(len(line) > MAX_LINE for line in (start, *lines)):
        raise RemoteProtocolError("header_too_long")
    return Draft(start=start, headers=tuple(map(_read_field, lines)), body=body)


def _read_field(line: str) -> tuple[str, str]:
    match = _field.fullmatch(line)
    if match is None:
        raise RemoteProtocolError("bad_header", line[:80])
    name = match[1].lower()
    return COMPACT.get(name, name), match[2].strip()


def check(draft: Draft) -> Request | Response:
    """Return the message that the draft is. Raises `RemoteProtocolError` with the status code to answer."""
    code, phrase = _status_line(draft.start) if draft.is_response else (0, "")
    method, target = ("", "") if draft.is_response else _request_line(draft.start)
    _check_fields(draft)
    headers = tuple(one for one in draft.headers if one[0] != "content-length")
    if draft.is_response:
        n_vias = len(syntax.each(draft.values("via"), syntax.via))
        _require(n_vias == 1, "not_our_response", f"{n_vias} Vias (RFC 3261 s.8.1.3.3)")
        return Response(headers=headers, body=_body(draft), code=code, phrase=phrase)
    _require(draft.cseq.method == method, "cseq_mismatch", f"{method} with CSeq of {draft.cseq.method}")
    _require(_small(draft.first("max-forwards") or "70", 255), "bad_max_forwards")
    return Request(headers=headers, body=_body(draft), method=method, uri=target)


def _check_fields(draft: Draft) -> None:
    """Read once, and throw away, what the properties of a message will read again without a word."""
    for name in REQUIRED:
        _require(draft.first(name) != "", "missing_header", name)
    for name in SINGLETONS:
        _require(len(draft.values(name)) <= 1, "header_twice", name)
    _ = syntax.each(draft.values("via"), syntax.via), draft.cseq, draft.sender, draft.to
    for name in ("contact", "route", "record-route"):
        _ = draft.first(name) == "*" or draft.addresses(name)


def _status_line(start: str) -> tuple[int, str]:
    match = _status.fullmatch(start)
    if match is None:
        raise RemoteProtocolError("bad_status_line", start[:80])
    return int(match[1]), match[2]


def _request_line(start: str) -> tuple[str, str]:
    """One blank between the parts, none elsewhere (s.7.1); an unknown version is 505, an unknown scheme 416."""
    method, *rest = start.split(" ")
    _require(len(rest) == 2 and syntax.is_token(method), "bad_request_line", start[:80])
    target, version = rest
    if version.upper() != "SIP/2.0":
        raise RemoteProtocolError("unknown_version", version[:80], 505 if _version.fullmatch(version) else 400)
    uri = syntax.uri(target)
    if uri.scheme not in ("sip", "sips", "tel"):
        raise RemoteProtocolError("unknown_scheme", uri.scheme, 416)
    _require(not uri.headers, "headers_in_request_uri")
    return method, target


def _body(draft: Draft) -> bytes:
    """A datagram may be longer than its message, and is never shorter (s.18.3)."""
    stated = draft.first("content-length") or str(len(draft.body))
    _require(_small(stated, len(draft.body)), "bad_content_length", stated[:80])
    return draft.body[: int(stated)]


def _small(text: str, limit: int) -> bool:
    return _number.fullmatch(text) is not None and int(text) <= limit


def _require(holds: bool, what: str, detail: str = "") -> None:
    if not holds:
        raise RemoteProtocolError(what, detail)


__all__ = ["BRANCH_MAGIC", "Draft", "Fields", "Message", "Request", "Response", "check", "parse", "read"]
