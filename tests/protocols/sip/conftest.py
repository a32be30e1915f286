"""SIP phones for a test line, and hand-made answers for machines that are tested alone."""

import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from protocols.machine import Address, Effect, Expired, Notify, Transmit
from protocols.sip import (
    Dial,
    LegEvent,
    LegInput,
    Listening,
    Local,
    Received,
    Request,
    Responder,
    Response,
    Uac,
    Uas,
)
from protocols.sip.build import response
from protocols.sip.message import parse

OURS: Address = ("10.0.0.1", 5060)
THEIRS: Address = ("10.0.0.2", 5060)


@dataclass
class Datagram:
    """What the line brings to a phone."""

    data: bytes
    source: Address


@dataclass
class Phone:
    """A front door and the legs behind it; `script` says what a leg does so many seconds after it was invited."""

    address: Address
    dice: random.Random
    script: Sequence[tuple[float, LegInput]] = ()
    legs: dict[str, Uac | Uas] = field(default_factory=dict)
    _plan: list[tuple[float, str, LegInput]] = field(default_factory=list)
    front: Responder = field(default_factory=Responder)

    @property
    def local(self) -> Local:
        return Local(*self.address)

    @property
    def deadline(self) -> float | None:
        due = [leg.deadline for leg in self.legs.values()] + [at for at, _, _ in self._plan]
        return min((at for at in due if at is not None), default=None)

    def step(self, given: Datagram | tuple[str, LegInput] | Expired, now: float) -> list[Effect[LegEvent]]:
        match given:
            case Datagram():
                return self._datagram(given, now)
            case Expired():
                return self._expired(now)
            case (key, command):
                return self.legs[key].step(command, now)

    def _expired(self, now: float) -> list[Effect[LegEvent]]:
        effects: list[Effect[LegEvent]] = []
        for leg in self.legs.values():
            if leg.deadline is not None and leg.deadline <= now:
                effects += leg.step(Expired(), now)
        due = [one for one in self._plan if one[0] <= now]
        self._plan = [one for one in self._plan if one[0] > now]
        for _, key, command in due:
            effects += self.legs[key].step(command, now)
        return effects

    def _datagram(self, given: Datagram, now: float) -> list[Effect[LegEvent]]:
        admitted = self.front.admit(given.data, given.source)
        if not isinstance(admitted, Request | Response):
            return [admitted] if admitted else []
        leg = self.legs.get(admitted.sip_call_id)
        if leg is None and isinstance(admitted, Request) and admitted.is_new_invite and self.script:
            leg = self.legs[admitted.sip_call_id] = Uas(self.local, self.dice.randbytes)
            self._plan += [(now + at, admitted.sip_call_id, command) for at, command in self.script]
        if leg:
            return leg.step(Received(admitted, given.source), now)
        answer = self.front.answer(admitted, given.source)
        return [answer] if answer else []


@pytest.fixture
def make_phone() -> Callable[..., Phone]:
    """Make a phone at an address, with dice of its own."""

    def make(address: Address, *script: tuple[float, LegInput], seed: int = 1) -> Phone:
        return Phone(address, random.Random(f"{address}{seed}"), script)

    return make


class Peer:
    """A hand-operated far end for one `Uac` or `Uas`: reads what it sends, makes answers, steps it."""

    def __init__(self, leg: Uac | Uas) -> None:
        self.leg = leg
        self.now = 0.0
        self.sent: list[Request | Response] = []
        self.told: list[LegEvent] = []
        self.went_to: list[Address | None] = []

    def give(self, given: LegInput) -> list[Request | Response]:
        """Step the leg; return what it sends in this step."""
        effects = self.leg.step(given, self.now)
        sent = [parse(one.data) for one in effects if isinstance(one, Transmit)]
        self.went_to += [one.to for one in effects if isinstance(one, Transmit)]
        self.sent += sent
        self.told += [one.event for one in effects if isinstance(one, Notify)]
        return sent

    def wait(self, seconds: float) -> list[Request | Response]:
        """Let time pass, step by step as the deadlines fall."""
        until, sent = self.now + seconds, []
        while self.leg.deadline is not None and self.leg.deadline <= until:
            self.now = max(self.now, self.leg.deadline)
            sent += self.give(Expired())
        self.now = until
        return sent

    def answer(
        self, request: Request, code: int, *fields: tuple[str, str], tag: str = "them", body: bytes = b""
    ) -> list[Request | Response]:
        """Answer one of the leg's requests, as a user agent at THEIRS would."""
        about = (("contact", f"<sip:them@{THEIRS[0]}:{THEIRS[1]}>"), *fields)
        if body:
            about = (*about, ("content-type", "application/sdp"))
        made = response(request, OURS, code, *about, to_tag=tag, body=body)
        return self.hear(bytes(made))

    def hear(self, data: bytes) -> list[Request | Response]:
        """Have these bytes arrive from THEIRS."""
        message = parse(data)
        return self.give(Received(message, THEIRS))

    def ask(
        self, method: str, cseq: int, *fields: tuple[str, str], body: bytes = b"", branch: str = ""
    ) -> list[Request | Response]:
        """Send the leg a request in its dialog, as the far end would."""
        dialog = self.leg.dialog
        headers = (
            ("via", f"SIP/2.0/UDP {THEIRS[0]}:{THEIRS[1]};rport;branch=z9hG4bK{branch or f'{method}{cseq}'}"),
            ("max-forwards", "70"),
            ("from", f"{dialog.remote};tag={dialog.remote_tag}"),
            ("to", f"{dialog.local};tag={dialog.local_tag}"),
            ("call-id", dialog.sip_call_id),
            ("cseq", f"{cseq} {method}"),
            *fields,
        )
        if body:
            headers = (*headers, ("content-type", "application/sdp"))
        return self.hear(bytes(Request(method=method, uri="sip:us@10.0.0.1", headers=headers, body=body)))

    def requests(self, method: str) -> list[Request]:
        """All requests of this method that the leg has sent."""
        return [one for one in self.sent if isinstance(one, Request) and one.method == method]

    def kinds(self) -> list[str]:
        """The names of what the leg has told, in order."""
        return [type(one).__name__ for one in self.told]


@pytest.fixture
def sdp() -> Callable[..., bytes]:
    """Make a session description of theirs."""

    def make(*lines: str, port: int = 30000, host: str = "10.0.0.2", formats: str = "0 101") -> bytes:
        head = ("v=0", f"o=them 1 1 IN IP4 {host}", "s=-", f"c=IN IP4 {host}", "t=0 0")
        media = (f"m=audio {port} RTP/AVP {formats}", "a=rtpmap:101 telephone-event/8000", *lines)
        return "".join(f"{line}\r\n" for line in (*head, *media)).encode()

    return make


@pytest.fixture
def dialled() -> Peer:
    """A Uac that has just dialled; its INVITE is the peer's first message."""
    peer = Peer(Uac(Local(*OURS), random.Random(7).randbytes))
    peer.give(Dial("sip:bob@example.com", "sip:robot@example.org", Listening("10.0.0.1", 4000), THEIRS, headers=()))
    return peer


@pytest.fixture
def invite(dialled: Peer) -> Request:
    """The INVITE of `dialled`."""
    return dialled.requests("INVITE")[0]


@pytest.fixture
def talking(dialled: Peer, invite: Request, sdp: Callable[..., bytes]) -> Peer:
    """A Uac whose call is answered."""
    dialled.answer(invite, 200, body=sdp())
    return dialled


@pytest.fixture
def make_peer() -> Callable[[Uac | Uas], Peer]:
    """Put a hand-operated far end at a leg."""
    return Peer


@pytest.fixture
def corpus() -> Path:
    """The folder of external corpora, or a skip."""
    beside = Path(__file__).parents[4] / "shared" / "data"
    folder = Path(os.environ.get("RINGMASTER_CORPUS", beside)) / "rfc4475"
    if not folder.is_dir():
        pytest.skip("corpus not present")
    return folder
