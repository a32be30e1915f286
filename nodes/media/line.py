"""One RTP socket and the far end it speaks with.

What it does: reads datagrams and sorts them (audio to the jitter buffer, keys and reports to whom they concern), and
sends. What it does not: decide what is sent, when, or who is heard: that is `protocols.rtp.latch`; a stranger's packets
are dropped and counted (`foreign`). The owner is told which source is latched, and keeps it for a successor.
"""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from nodes.audio.g711 import alaw_to_ulaw, ulaw_to_alaw
from nodes.links.errors import Refused
from protocols.errors import RemoteProtocolError
from protocols.machine import Address
from protocols.rtp import Frame, Gap, JitterBuffer, Latch, Numbers, Packet, Reception, is_rtcp, rtcp
from protocols.rtp.dtmf import KeyReceiver, Press, TelephoneEvent
from protocols.rtp.latch import Judged
from protocols.rtp.packet import COMFORT_NOISE, HEADER_BYTES, PCMA, PCMU
from protocols.wire import messages as wire

DSCP_EF: Final = 46
LOST_S: Final = 3.0
"""One heartbeat of the cluster: after this, silence on the line is news."""
QUIET_S: Final = 1.0
"""And after this, while the far end may have gone on with another machine (`protocols.takeover`)."""
_MAX_DATAGRAM: Final = 2048
_MAX_PAYLOAD: Final = 960
"""120 ms in one packet; real ones carry 20, and none over 60."""
_REPORT_S: Final = 1.0
_CNAME: Final = "ringmaster"


class Line:
    """`tell` hears of arrival, loss and keys; `counts` is shared by all lines of the process."""

    def __init__(self, sock: socket.socket, wanted: wire.Channel, tell: Callable[[object], None],
                 counts: Counter[str], clock: Callable[[], float]) -> None:  # fmt: skip
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_EF << 2)
        self._socket, self._tell, self._counts, self._clock = sock, tell, counts, clock
        self._wanted = wanted
        self._numbers = Numbers(wanted.ssrc, wanted.seq0, wanted.ts0, wanted.born_s)
        self._latch = Latch()
        self._far: Address | None = None  # where we send
        self._buffer = JitterBuffer()
        self._keys = KeyReceiver()
        self.reception = Reception()
        self._heard_at = 0.0  # seconds, of the last packet, or of when we began to wait for one
        self._is_heard = self._is_lost = self._is_wary = False
        self._sent_n = -2  # number of the last packet sent; the first is after a pause
        self._reported_at = 0.0
        self.sent = self._octets = 0

    @property
    def is_open(self) -> bool:
        """Whether the far end has said where it listens."""
        return self._far is not None

    @property
    def position(self) -> int | None:
        """The far end's media time that is heard next, in samples; None before it was heard."""
        return self._buffer.cursor

    @property
    def late(self) -> int:
        """Packets that came after their time."""
        return self._buffer.late

    def set(self, wanted: wire.Channel) -> None:
        """Speak as `wanted` says from the next packet on. Raises: Refused (`bad_remote`, `bad_payload_type`)."""
        agreed = _address(wanted.remote_host, wanted.remote_port) if wanted.remote_host else None
        if wanted.payload_type not in (PCMU, PCMA):
            raise Refused("bad_payload_type")
        given = _address(*wanted.source) if wanted.source else None
        is_moved = agreed != self._latch.agreed
        if is_moved or (wanted.sends and not self._wanted.sends):
            self._heard_at = self._clock()  # from now on we wait
        self._latch.agree(agreed, wanted.agreed_s, wanted.strict, given)
        self._far = self._latch.far
        numbers = Numbers(wanted.ssrc, wanted.seq0, wanted.ts0, wanted.born_s)
        if numbers != self._numbers:
            self._numbers, self._sent_n = numbers, -2
        self._wanted = wanted

    def beware(self, *, is_wary: bool) -> None:
        """Send nothing to a far end that is not heard: it may have gone on with another machine."""
        self._is_wary = is_wary

    def expect(self) -> None:
        """Wait for the far end from now on: what came before went to another process."""
        self._heard_at = self._clock()

    def tell_again(self) -> None:
        """Tell the owner whether the far end is heard: the last message may have gone to an owner that had died."""
        if self._is_lost:
            self._tell(wire.AudioLost(self._wanted.channel_id, self._clock() - self._heard_at))
        elif self._is_heard:
            self._arrived()

    # ---- in ---------------------------------------------------------------------------------------------------------

    def read(self, now: float) -> None:
        """Take one datagram, as come at `now`; called while the socket is readable. Never raises for what was sent.

        One, because nearly always there is one: asking for a second costs as much as the first and finds nothing.
        """
        try:
            data, source = self._socket.recvfrom(_MAX_DATAGRAM)
        except BlockingIOError:
            return
        except OSError:
            self._counts["receive_failed"] += 1
            return
        self._take(data, source, now)

    def playout(self, at: float) -> Frame | Gap:
        """Return the caller's next 20 ms, or the gap; tells of keys and silence that are over their time."""
        if self._keys.deadline is not None:
            self._pressed(self._keys.lapse(at), at)
        if at - self._heard_at > (QUIET_S if self._is_wary else LOST_S) and self._wanted.sends and not self._is_lost:
            self._is_lost, self._is_heard = True, False
            self._tell(wire.AudioLost(self._wanted.channel_id, at - self._heard_at))
        return self._buffer.playout(at)

    def _take(self, data: bytes, source: Address, now: float) -> None:
        try:
            if is_rtcp(data):
                self._take_reports(data, source, now)
            else:
                self._take_packet(Packet.parse(data), source, now)
        except RemoteProtocolError as error:
            self._counts[error.what] += 1

    def _take_packet(self, packet: Packet, source: Address, now: float) -> None:
        kind = packet.payload_type
        if kind not in (PCMU, PCMA, COMFORT_NOISE, self._wanted.dtmf_type):
            raise RemoteProtocolError("unknown_type")
        if len(packet.payload) > _MAX_PAYLOAD:
            raise RemoteProtocolError("huge")
        latch = self._latch
        if packet.ssrc == latch.ssrc and source == latch.source:
            latch.sequence = packet.sequence
            self._hear(packet, now)
            return
        for one, at in self._judged(packet, source, now):
            self._hear(one, at)

    def _judged(self, packet: Packet, source: Address, now: float) -> Judged:
        """Return what the latch makes of a packet of another stream; one that it latches is told as it is heard."""
        latch = self._latch
        before = latch.source
        packets = latch.judge(packet, source, now)
        if latch.source != before:
            self._far = latch.source
            self._is_heard = False  # and so it is told
            self._counts["learnt"] += latch.source != latch.agreed
        return packets

    def _hear(self, packet: Packet, now: float) -> None:
        """Take a packet of the far end's."""
        kind = packet.payload_type
        self._heard(now)
        if self.reception.arrived(packet, now, is_timed=kind != self._wanted.dtmf_type):
            self._buffer.restart()
        if kind == PCMU:
            self._buffer.put(packet.timestamp, packet.payload, now)
        elif kind == PCMA:
            self._buffer.put(packet.timestamp, alaw_to_ulaw(packet.payload), now)
        elif kind == self._wanted.dtmf_type:
            self._pressed(self._keys.hear(TelephoneEvent.parse(packet.payload), packet.timestamp, now), now)

    def _heard(self, now: float) -> None:
        self._heard_at = now
        if not self._is_heard:
            self._is_heard, self._is_lost = True, False
            self._arrived()

    def _arrived(self) -> None:
        latch = self._latch
        self._tell(wire.AudioArrived(self._wanted.channel_id, self._heard_at, latch.source, latch.agreed))

    def _pressed(self, keys: str, now: float) -> None:
        for key in keys:
            self._tell(wire.DigitPressed(self._wanted.channel_id, key, now))

    def _take_reports(self, data: bytes, source: Address, now: float) -> None:
        """Answer the far end's report with ours, at most once a second (RFC 3550 s.6.4 over one port, RFC 5761)."""
        if source != self._latch.source:
            raise RemoteProtocolError("foreign")
        reports = rtcp.parse(data)
        if reports and now - self._reported_at >= _REPORT_S:
            self._reported_at = now
            self._put(rtcp.build(self._report(now), _CNAME))

    def _report(self, now: float) -> rtcp.Report:
        block = self.reception.report()
        n = self._numbers.index(now)
        sender = rtcp.SenderInfo(rtcp.ntp(time.time()), self._numbers.timestamp(n), self.sent, self._octets)
        return rtcp.Report(self._wanted.ssrc, sender if self.sent else None, (block,) if block else ())

    # ---- out --------------------------------------------------------------------------------------------------------

    def send(self, at: float, ulaw: bytes, press: Press | None = None) -> bool:
        """Send what is due at `at`: 20 ms of audio, or a telephone event instead. False when nothing was to be sent.

        The first packet after a pause carries the marker bit (RFC 3551 s.4.1), as does the first of a press.
        """
        n = self._numbers.index(at)
        if n <= self._sent_n or not self._wanted.sends or (self._is_wary and self._is_lost):
            return False
        if press is not None:
            header = self._numbers.header(n, self._wanted.dtmf_type, press.is_first, press.age)
            data = header + press.event.build()
        else:
            is_alaw = self._wanted.payload_type == PCMA
            header = self._numbers.header(n, self._wanted.payload_type, n != self._sent_n + 1)
            data = header + (ulaw_to_alaw(ulaw) if is_alaw else ulaw)
        self._sent_n = n
        self.sent += 1
        self._octets += len(data) - HEADER_BYTES
        self._put(data)
        return True

    def _put(self, data: bytes) -> None:
        assert self._far is not None
        try:
            self._socket.sendto(data, self._far)
        except BlockingIOError:
            self._counts["send_full"] += 1
        except OSError:  # no route, for as long as it lasts; the call's owner hears of it as audio that is lost
            self._counts["send_failed"] += 1


def _address(host: str, port: int) -> Address:
    """Return the address as the socket will name it. A name instead of a number would block the beat, so: refused."""
    try:
        numeric = socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        raise Refused("bad_remote") from None
    if not 0 < port < 65536:
        raise Refused("bad_remote")
    return numeric, port


__all__ = ["DSCP_EF", "LOST_S", "QUIET_S", "Line"]
