"""Who calls and who is called, as people write them: read once where they come in, and written out for a message.

What it does: a caller id or a target as text to a value that every message can carry, or the reason why not, in words
for whoever wrote it. What it does not: say whether somebody may be called (`nodes/dial_plan.py`).

A caller id                                       becomes the From
  `+1 202 555 0100`, `12025550100`, `tel:+1...`     <sip:+12025550100@our address>
  `anonymous`                                       "Anonymous" <sip:anonymous@anonymous.invalid>, and Privacy: id
  `sip:robot@carrier.example`                       <sip:robot@carrier.example>
  `"Acme, Inc." <any of these>`, `Acme <...>`       the same, with the name
  nothing                                           our own address
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from protocols.errors import RemoteProtocolError
from protocols.sip import syntax
from protocols.sip.callee import BETWEEN
from protocols.sip.message import Fields

MOST: Final = 256
"""Characters of a caller id or a target: more is nobody's name, and an INVITE has to fit into a datagram."""
ANONYMOUS: Final = "sip:anonymous@anonymous.invalid"
"""RFC 3323 s.4.1.1.3."""

_number = re.compile(r"\+?[0-9]{3,15}")
"""E.164 numbers have 15 digits at most; without `+` it is what the carrier makes of it."""
_named = re.compile(rf"(?:({syntax.QUOTED})|([^\"<>]*?))\s*<([^<>]*)>")


@dataclass(frozen=True, slots=True)
class CallerId:
    """Who we say that we are. `uri` is empty where `user` at our own address is meant; both empty: we ourselves."""

    name: str = ""
    user: str = ""
    uri: str = ""

    def uri_at(self, host: str, user: str) -> str:
        """Return the URI for a From; `user`, `host`: our own."""
        return self.uri or f"sip:{self.user or user}@{host}"

    @property
    def headers(self) -> Fields:
        """What else an INVITE must say: that the number is not to be shown (RFC 3323 s.4.2, RFC 3325 s.9.3)."""
        return (("privacy", "id"),) if self.uri == ANONYMOUS else ()


def caller_id(text: str) -> CallerId:
    """Read a caller id. Raises: RemoteProtocolError (`bad_caller_id`), its detail in words for people.

    >>> caller_id('"Acme, Inc." <+1 202-555-0100>')
    CallerId(name='Acme, Inc.', user='+12025550100', uri='')
    """
    try:
        text = _clean(text)
        match = _named.fullmatch(text)
        if match is None:
            return _caller(text, "")
        quoted, plain, who = match.groups()
        if not who.strip(" "):
            raise ValueError("has nobody between < and >")
        return _caller(who.strip(" "), syntax.unquote(quoted) if quoted else plain)
    except ValueError as error:
        raise RemoteProtocolError("bad_caller_id", str(error)) from None


def target(text: str) -> str:
    """Return the SIP URI to dial. Raises: RemoteProtocolError (`bad_target`), its detail in words for people.

    >>> target("sip:ann@192.0.2.1")
    'sip:ann@192.0.2.1'
    """
    try:
        return _uri(_clean(text), ("sip", "sips")).text
    except ValueError as error:
        raise RemoteProtocolError("bad_target", str(error)) from None


def _clean(text: str) -> str:
    text = text.strip(" ")
    if len(text) > MOST:
        raise ValueError(f"has more than {MOST} characters")
    if not text.isprintable():
        raise ValueError("has a character that cannot be printed, such as a line end")
    return text


def _caller(who: str, name: str) -> CallerId:
    if who.lower() == "anonymous" or who.lower() == ANONYMOUS:
        return CallerId(name or "Anonymous", uri=ANONYMOUS)
    if not who and not name:
        return CallerId()
    if who.lower().startswith("sip:"):
        return CallerId(name, uri=_uri(who, ("sip",)).text)
    number = BETWEEN.sub("", who.removeprefix("tel:"))
    if not (who.isascii() and _number.fullmatch(number)):
        raise ValueError("is neither a number, nor `anonymous`, nor a SIP URI, nor a name and one of them in <>")
    return CallerId(name, user=number)


def _uri(text: str, schemes: tuple[str, ...]) -> syntax.Uri:
    try:
        read = syntax.uri(text)
    except RemoteProtocolError:
        raise ValueError("is not a SIP URI, as sip:ann@192.0.2.1") from None
    if read.scheme not in schemes or not read.host:
        raise ValueError("is not a SIP URI with a host, as sip:ann@192.0.2.1")
    if not read.host.startswith("[") and not all(0 < len(one) < 64 for one in read.host.removesuffix(".").split(".")):
        raise ValueError("has a host that no name can be: 1 to 63 letters stand between two dots")
    if read.headers:
        raise ValueError("has header fields behind a question mark, which no call may set")
    if not text.isascii():
        raise ValueError("has a letter that a URI cannot have, other than escaped (%C3%BC)")
    if ":" in text[len(read.scheme) + 1 :].rpartition("@")[0]:
        raise ValueError("has a password")
    if "(0)" in unquote(read.user):
        raise ValueError("has a (0), which is dialled in its own country only: write it without")
    return read


__all__ = ["ANONYMOUS", "MOST", "CallerId", "caller_id", "target"]
