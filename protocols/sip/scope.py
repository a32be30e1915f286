"""What we understand of SIP, as tables: methods, extensions, bodies; and the answer to what we do not (RFC 3261 s.8.2).

The same for a leg and for a request that belongs to none.
"""

from dataclasses import dataclass
from typing import Final

from protocols.sip.message import Fields, Request

METHODS: Final = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE")
ALLOW: Final = ("allow", ", ".join(METHODS))
"""What every leg answers."""
KNOWN: Final = frozenset({*METHODS, "REGISTER", "PRACK", "SUBSCRIBE", "NOTIFY", "PUBLISH", "REFER", "MESSAGE"})
"""Methods we have heard of: refused with 405, the others with 501 (s.8.2.1)."""
EXTENSIONS: Final = frozenset({"timer"})
"""Option tags that may be required of us (s.8.2.2.3)."""
SDP: Final = "application/sdp"
ACCEPT: Final = ("accept", SDP)


@dataclass(frozen=True, slots=True)
class Objection:
    """The answer to a request that we cannot take up, whoever it is for."""

    code: int
    fields: Fields = ()


def objection(request: Request) -> Objection | None:
    """Return the refusal that a request deserves by itself, or None; in the order of RFC 3261 s.8.2.

    405, 501 method; 420 extension; 415 body or encoding; 406 an INVITE that could not read our answer. An ACK or a
    CANCEL is never refused (s.8.2.2.3, s.9.2).
    """
    if request.method in ("ACK", "CANCEL"):
        return None
    if request.method not in METHODS:
        return Objection(405 if request.method in KNOWN else 501, (ALLOW,))
    if missing := request.tokens("require") - EXTENSIONS:
        return Objection(420, (("unsupported", ", ".join(sorted(missing))),))
    is_offer = request.method in ("INVITE", "UPDATE") and request.body != b""
    if request.tokens("content-encoding") - {"identity"} or (is_offer and request.content_type not in ("", SDP)):
        return Objection(415, (ACCEPT,))
    ranges = {one.partition(";")[0].strip().lower() for one in request.tokens("accept")}
    if request.method == "INVITE" and ranges and not ranges & {SDP, "application/*", "*/*"}:
        return Objection(406, (ACCEPT,))
    return None


__all__ = ["ACCEPT", "ALLOW", "EXTENSIONS", "KNOWN", "METHODS", "Objection", "SDP", "objection"]
