"""Who the far end is: the one source whose packets are heard, and where we send.

What it does: judges packets by where they come from, and says which of them are the far end's. What it does not: read
their audio, count them (`reception`), or look at a clock.

The far end says in its SDP where it listens, and mostly sends from there; behind a translator of addresses it cannot
know. A stranger can reach the same port with any packet. So nobody is believed for one packet: a source is *proven* by
`PROOF` packets of one SSRC in a row, and the proven one is *latched*: it alone is heard, and we send to it. Until then
we send to the SDP's address, and hear nobody.

A source may be proven                  when
  the SDP's address                     always; if its stream is latched and this is another, that one has fallen silent
  another one, nobody is latched, or    up to `WINDOW_S` after the SDP came, while nothing has come from its address;
  nobody was heard since another SDP
                                        on another host than that not before `GRACE_S`, or `LATE_S` if it had begun to
                                        send long before there was an SDP
  the latched one, with another SSRC    the latched stream has fallen silent
  another one, with the latched SSRC    the latched stream has fallen silent, and the sequence goes on where it stopped

Silent: not one packet of the latched stream came between the first packet of the proof and the last. A new address in
an SDP (a re-INVITE) begins anew. On a strict trunk only the SDP's address counts. RFC 3550 s.8.2 leaves this to us;
RFC 4961 is why an answer to the source arrives. What a stranger can still do: be taken for a far end that stays silent
for the first second, or who is behind a translator and begins later than they. A strict trunk rules that out.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Final

from protocols.errors import RemoteProtocolError
from protocols.machine import Address
from protocols.rtp.packet import Packet

PROOF: Final = 3
"""Packets in a row. RFC 3550 A.1 asks for two (MIN_SEQUENTIAL); a third costs 20 ms, and nothing that was said: they
are kept, and played once they are believed."""
GRACE_S: Final = 0.3
"""The SDP's address has this long for itself: phones begin to send within a quarter of a second of their answer."""
LATE_S: Final = 1.0
"""Who sprays packets does so all the time; a far end that sends before its SDP is known is one whose 183 was lost."""
LEAD_S: Final = 0.25
"""Audio may be quicker than the SDP it belongs to, by so much at most: signalling passes proxies."""
WINDOW_S: Final = 2.0
"""From the SDP on. Who translates addresses sends as soon as it has answered; whoever comes later is somebody else."""
_LEAP: Final = 3000
"""MAX_DROPOUT of RFC 3550 A.1: a sequence further ahead does not go on with anything."""
_MOST: Final = 8
"""Sources that are watched at once; of more, those that are watched longest are forgotten."""
_MOST_SEEN: Final = 32
"""Sources of which it is remembered since when they send."""

Judged = list[tuple[Packet, float]]
"""Packets that are the far end's, in order, each with the time at which it came."""


@dataclass(slots=True)
class _Candidate:
    """A stream that is being proven. `latched` is the sequence number of the latched stream when this one began."""

    ssrc: int
    sequence: int
    latched: int
    packets: Judged


class Latch:
    """One channel's far end. `source`: the latched address, None while nobody is; `ssrc` and `sequence`: its stream.

    The caller takes packets of the latched stream itself, because nearly all are: it sets `sequence` and hears them.
    All others it gives to `judge`.
    """

    __slots__ = ("_agreed_s", "_candidates", "_given_s", "_is_given", "_is_heard", "_seen", "_strict", "agreed",
                 "sequence", "source", "ssrc")  # fmt: skip

    def __init__(self) -> None:
        self.agreed: Address | None = None
        self.source: Address | None = None
        self.ssrc: int | None = None
        self.sequence = -1
        self._agreed_s = self._given_s = 0.0
        self._strict = self._is_given = self._is_heard = False
        self._candidates: dict[Address, _Candidate] = {}
        self._seen: dict[Address, float] = {}  # who is not latched, and when they were first heard of

    @property
    def far(self) -> Address | None:
        """Where to send; None before any SDP has come."""
        return self.source or self.agreed

    @property
    def _is_open(self) -> bool:
        """Say whether anybody may be the far end: also when a source was told of that has not been heard.

        If it was found before the last SDP: a translator of addresses gives a far end another port for each host that
        it sends to, and by that SDP it has been told to send to us.
        """
        is_told_only = self._is_given and self.ssrc is None and self._agreed_s > self._given_s
        return self.source is None or is_told_only

    def agree(self, agreed: Address | None, agreed_s: float, strict: bool, given: Address | None) -> None:
        """Take the SDP's address, which was told at `agreed_s` (again, perhaps: an answer after early media).

        `given`: the source that another process has latched for this channel, which is then ours without a proof.
        """
        if agreed != self.agreed:
            self._latch(None, None)
            self._is_heard = False
        self.agreed, self._agreed_s, self._strict = agreed, agreed_s, strict
        if given and given != self.source and (self.source is None or self._is_given):
            self._latch(given, None)
            self._is_given, self._given_s = True, agreed_s

    def judge(self, packet: Packet, source: Address, now: float) -> Judged:
        """Return the packets that are now known to be the far end's: none, this one, or the whole proof.

        Raises: RemoteProtocolError (`early`, `foreign`) for a packet that cannot be.
        """
        if source not in self._seen:
            if len(self._seen) >= _MOST_SEEN:
                del self._seen[next(iter(self._seen))]
            self._seen[source] = now
        if self.agreed is None:
            raise RemoteProtocolError("early")
        if source == self.source and self.ssrc is None:
            self.ssrc, self.sequence = packet.ssrc, packet.sequence
            return [(packet, now)]
        self._is_heard |= source == self.agreed
        if not self._may_be(packet, source, now):
            raise RemoteProtocolError("foreign")
        proven = self._watched(packet, source, now)
        if len(proven.packets) < PROOF or (self._is_open and now < self._opens_s(source, self.agreed)):
            return []
        self._latch(source, packet.ssrc)
        self.sequence = packet.sequence
        return proven.packets

    def _may_be(self, packet: Packet, source: Address, now: float) -> bool:
        """Say whether this source may be proven at all: the table above, without the silence."""
        if source == self.agreed:
            return True
        if self._strict:
            return False
        if self._is_open:
            return not self._is_heard and now < self._agreed_s + WINDOW_S
        if source == self.source:
            return True
        return packet.ssrc == self.ssrc and 0 < (packet.sequence - self.sequence) % 65536 <= _LEAP

    def _opens_s(self, source: Address, agreed: Address) -> float:
        """Return from when on a proven source is latched, if nobody else is."""
        if source[0] == agreed[0]:
            return -inf
        has_begun_before = self._seen[source] < self._agreed_s - LEAD_S
        return self._agreed_s + (LATE_S if has_begun_before else GRACE_S)

    def _watched(self, packet: Packet, source: Address, now: float) -> _Candidate:
        """Count the packet for its source, and return how far that is."""
        known = self._candidates.get(source)
        if known and packet.ssrc == known.ssrc and packet.sequence == known.sequence:
            return known  # the network's copy
        goes_on = known and packet.ssrc == known.ssrc and packet.sequence == (known.sequence + 1) % 65536
        needs_silence = source != self.agreed or source == self.source
        if known and goes_on and not (needs_silence and known.latched != self.sequence):
            known.sequence = packet.sequence
            known.packets = [*known.packets[1 - PROOF :], (packet, now)]
            return known
        if known is None and len(self._candidates) >= _MOST:
            strangers = (one for one in self._candidates if one not in (self.agreed, self.source))
            del self._candidates[next(strangers)]
        begun = _Candidate(packet.ssrc, packet.sequence, self.sequence, [(packet, now)])
        self._candidates[source] = begun
        return begun

    def _latch(self, source: Address | None, ssrc: int | None) -> None:
        self.source, self.ssrc, self.sequence, self._is_given = source, ssrc, -1, False
        self._candidates.clear()
        if source:
            self._seen.pop(source, None)


__all__ = ["GRACE_S", "LATE_S", "PROOF", "WINDOW_S", "Judged", "Latch"]
