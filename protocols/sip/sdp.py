"""Offer and answer for one line of audio: what we say, what they said, what it comes to (RFC 3264, 4566).

We speak PCMU and PCMA in frames of 20 ms, and telephone events (RFC 4733). Everything else in a description is read
past; everything else in an offer is declined with port 0, in its place (RFC 3264 s.6). All that raises here is
`RemoteProtocolError`, with the code 488 that an offer deserves.

`LocalMedia` is our side of the exchange as plain data: whoever has it can go on with the exchange.
"""

import re
from dataclasses import dataclass, field, replace
from typing import Final

from protocols.errors import RemoteProtocolError
from protocols.sip.dialog import is_ipv4

CODECS: Final = {0: "PCMU/8000", 8: "PCMA/8000"}
"""RFC 3551 table 4. A common codec is looked for in the order of the one who offers."""
DTMF: Final = "telephone-event/8000"
DTMF_TYPE: Final = 101
"""What most of the world offers; the far end may name another (RFC 4733 s.2.4.1)."""

_port = re.compile(r"[0-9]{1,5}")
_payload_type = re.compile(r"[0-9]{1,2}|1[01][0-9]|12[0-7]")

DIRECTIONS: Final = {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}
"""(sends, hears) to the attribute; anything else is inactive."""


@dataclass(frozen=True, slots=True)
class Listening:
    """Where our RTP is received."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Media:
    """What both ends have agreed, as we have to act on it."""

    host: str
    """Where our RTP goes."""
    port: int
    payload_type: int
    """0 PCMU or 8 PCMA."""
    dtmf_type: int
    """The payload type of telephone-event; -1: not agreed."""
    sends: bool
    """False: they hold us, send nothing (RFC 3264 s.8.4)."""
    hears: bool
    """False: nothing is to be expected from them."""


@dataclass(frozen=True, slots=True)
class LocalMedia:
    """Our side: what was said last, and what we want to say next."""

    session_id: int
    version: int
    """Of the `o=` line: one more for each description that differs from the one before (RFC 3264 s.8)."""
    host: str
    port: int
    holds: bool = False
    """We want to hear nothing."""
    direction: str = ""
    formats: tuple[int, ...] = ()
    dtmf_type: int = DTMF_TYPE
    lines: tuple[str, ...] = ("",)
    """The media lines in order: empty for our audio, the declined ones as text (their number never shrinks, s.8)."""

    def body(self) -> bytes:
        """Return the description that was said last."""
        origin = f"o=- {self.session_id} {self.version} IN IP4 {self.host}"
        head = f"v=0\r\n{origin}\r\ns=-\r\nc=IN IP4 {self.host}\r\nt=0 0\r\n"
        return (head + "".join(f"{line}\r\n" if line else self._audio() for line in self.lines)).encode()

    def _audio(self) -> str:
        names = {**CODECS, self.dtmf_type: DTMF}
        maps = "".join(f"a=rtpmap:{number} {names[number]}\r\n" for number in self.formats)
        events = f"a=fmtp:{self.dtmf_type} 0-16\r\n" if self.dtmf_type in self.formats else ""
        line = f"m=audio {self.port} RTP/AVP {' '.join(map(str, self.formats))}\r\n"
        return f"{line}{maps}{events}a=ptime:20\r\na={self.direction}\r\n"


@dataclass(frozen=True, slots=True)
class Stream:
    """One media line of theirs."""

    kind: str
    port: int
    profile: str
    formats: tuple[str, ...]
    host: str
    direction: str
    names: dict[str, str] = field(default_factory=dict)
    """Format to encoding name, in capitals, where an rtpmap says so."""


def offer(ours: LocalMedia, to: Listening, holds: bool = False) -> LocalMedia:
    """Return our side with a new offer as its last word; a codec that is in use comes first (RFC 3264 s.8.3.2)."""
    in_use = tuple(number for number in ours.formats if number in CODECS)[:1]
    codecs = (*in_use, *(number for number in CODECS if number not in in_use))
    dtmf_type = ours.dtmf_type if ours.dtmf_type >= 0 else DTMF_TYPE
    wanted = replace(ours, host=to.host, port=to.port, holds=holds, formats=(*codecs, dtmf_type), dtmf_type=dtmf_type)
    return _said(ours, replace(wanted, direction=DIRECTIONS[True, not holds]))


def accept(ours: LocalMedia, answer: bytes) -> Media:
    """Return what our offer and their answer come to. Raises: nothing in common, or no description at all."""
    _, stream = _audio_of(read(answer))
    return _agreed(stream, ours)


def answer(ours: LocalMedia, offered: bytes) -> tuple[LocalMedia, Media]:
    """Return our side with the answer to their offer as its last word, and what it comes to. Raises: as `accept`."""
    streams = read(offered)
    place, stream = _audio_of(streams)
    lines = tuple("" if at == place else _declined(one) for at, one in enumerate(streams))
    codec, dtmf_type = _codec_of(stream), _dtmf_of(stream)
    formats = (codec,) if dtmf_type < 0 else (codec, dtmf_type)
    sends, hears = _directions_of(stream)
    direction = DIRECTIONS.get((sends, hears and not ours.holds), "inactive")
    said = _said(ours, replace(ours, formats=formats, dtmf_type=dtmf_type, direction=direction, lines=lines))
    return said, _agreed(stream, said)


def read(body: bytes) -> list[Stream]:
    """Return the media lines of a description; lines of other types and unknown attributes are read past.

    Takes any line ending. Raises `RemoteProtocolError` on a media line that makes no sense.
    """
    streams: list[Stream] = []
    host, direction = "", "sendrecv"
    for line in body.decode("utf-8", "replace").splitlines():
        kind, _, value = line.strip().partition("=")
        if kind == "m":
            streams.append(_stream(value, host, direction))
        elif streams:
            streams[-1] = _with_line(streams[-1], kind, value)
        elif kind == "c":
            host = _connection(value)
        elif kind == "a" and value in (*DIRECTIONS.values(), "inactive"):
            direction = value
    return streams


def _stream(value: str, host: str, direction: str) -> Stream:
    kind, port, profile, *formats = (*value.split(), "", "", "")
    formats = [one for one in formats if one]
    port = port.partition("/")[0]
    if not (_port.fullmatch(port) and int(port) < 65536 and formats):
        raise RemoteProtocolError("bad_media_line", value[:80], 488)
    return Stream(kind, int(port), profile, tuple(formats), host, direction)


def _with_line(stream: Stream, kind: str, value: str) -> Stream:
    if kind == "c":
        return replace(stream, host=_connection(value))
    if kind == "a" and value in (*DIRECTIONS.values(), "inactive"):
        return replace(stream, direction=value)
    if kind == "a" and value.startswith("rtpmap:"):
        number, _, name = value.removeprefix("rtpmap:").strip().partition(" ")
        return replace(stream, names={**stream.names, number: name.strip().upper()})
    return stream


def _connection(value: str) -> str:
    return value.split()[-1].partition("/")[0] if value.split() else ""


def _audio_of(streams: list[Stream]) -> tuple[int, Stream]:
    """The one line that we take up: the first audio line over plain RTP that is not declined itself."""
    for place, stream in enumerate(streams):
        if stream.kind == "audio" and stream.profile == "RTP/AVP" and stream.port and is_ipv4(stream.host):
            return place, stream
    raise RemoteProtocolError("no_audio_line", code=488)


def _codec_of(stream: Stream) -> int:
    for one in stream.formats:
        for number, name in CODECS.items():
            if one == str(number) and stream.names.get(one, name).removesuffix("/1") == name:
                return number
    raise RemoteProtocolError("no_common_codec", " ".join(stream.formats)[:80], 488)


def _dtmf_of(stream: Stream) -> int:
    named = (one for one, name in stream.names.items() if name == DTMF.upper() and one in stream.formats)
    return next((int(one) for one in named if _payload_type.fullmatch(one)), -1)


def _directions_of(stream: Stream) -> tuple[bool, bool]:
    """Whether we may send and will hear: the mirror of what they say; 0.0.0.0 is the old way to hold (s.8.4)."""
    sends = stream.direction in ("sendrecv", "recvonly") and stream.host != "0.0.0.0"
    return sends, stream.direction in ("sendrecv", "sendonly")


def _agreed(stream: Stream, ours: LocalMedia) -> Media:
    sends, hears = _directions_of(stream)
    we_hear = ours.direction in ("sendrecv", "recvonly")
    return Media(stream.host, stream.port, _codec_of(stream), _dtmf_of(stream), sends, hears and we_hear)


def _declined(stream: Stream) -> str:
    return f"m={stream.kind} 0 {stream.profile} {stream.formats[0]}"


def _said(before: LocalMedia, now: LocalMedia) -> LocalMedia:
    return now if now == before else replace(now, version=before.version + 1)


__all__ = ["Listening", "LocalMedia", "Media", "Stream", "accept", "answer", "offer", "read"]
