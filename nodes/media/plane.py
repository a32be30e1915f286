"""All channels of one process: which socket is whose, and what happens in a slot.

What it does: opens, sets and closes channels; at each beat moves one slot's channels one frame on; has what engines
are to hear gathered (`batches`). What it does not: talk to other processes; it is given `tell`, and `process` serves
what it offers. `tick` is a plain function of the instant, so a test can be the pacer.

A process that takes over is told the same channels with `set`: nothing here tells a new channel from an inherited one.
"""

from __future__ import annotations

import select
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping
from functools import partial
from socket import socket as Socket  # noqa: N812  a class
from typing import Final

from nodes.links.errors import Refused
from nodes.media.batches import Batches
from nodes.media.channel import Channel
from nodes.media.echo import MOST, Echo, compare, without_echo
from nodes.media.hearing import HUSH, analyse
from nodes.media.line import Line
from nodes.media.link import Link
from nodes.media.pacer import SLOTS, Lateness, Pacer
from nodes.media.prompts import Prompts
from nodes.media.recording import Writer
from protocols.wire import messages as wire
from protocols.wire.desk import LinkAudio, LinkFrame
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.load import MediaLoad
from protocols.wire.messages import AudioFrame
from protocols.wire.takeover import Beware

_REPLAY_FRAMES: Final = 50
"""In one message, when an engine is told what it has missed."""
_MAX_ROUNDS: Final = 8
"""A flood of one socket gets 1600 packets a second of our time, no more."""

_LATE_SHARE: Final = 0.98
_FIRST_SLOTS: Final = (0, 2)
"""Used alone as long as they have room: every wake-up costs as much as ten calls."""
_FULL_SLOT: Final = 64
"""Calls in a slot whose sending takes a millisecond."""

Tell = Callable[[Identity, object], bool]


class MediaPlane:
    """`sockets`: RTP sockets by port, bound and non-blocking; none is read until a channel has it.

    `tell(identity, message)` sends and says whether it could. `clock`: seconds, the loop's own. `is_spare`: until
    `start`, channels are set and closed, but what they carry, and their recordings, are another process's.
    `cancels_echo`: not, to show what an echo does.
    """

    def __init__(self, sockets: Mapping[int, Socket], tell: Tell, prompts: Prompts, writer: Writer,
                 clock: Callable[[], float] = time.monotonic, is_spare: bool = False,
                 cancels_echo: bool = True) -> None:  # fmt: skip
        self._sockets = sockets
        self._free = deque(sockets)  # longest unused first, so that a late packet finds its port still nobody's
        self._send, self._prompts, self._writer, self._clock = tell, prompts, writer, clock
        self._channels: dict[ChannelId, Channel] = {}
        self._slots: list[list[Channel]] = [[] for _ in range(SLOTS)]
        self._counts: Counter[str] = Counter()
        self._epoll = select.epoll()
        self._readers: dict[int, Callable[[float], None]] = {}  # by file descriptor
        self._linked: defaultdict[Identity, list[LinkFrame]] = defaultdict(list)  # of this slot, by desk
        self._batches = Batches(self._tell)
        self._is_spare, self._cancels_echo = is_spare, cancels_echo
        self.pacer = Pacer(self.tick, self.wait_anew, lambda slot: bool(self._slots[slot]))
        self.lateness = Lateness()

    def start(self) -> None:
        """Begin to beat. A spare does not, until it is activated: then its channels go on from this moment."""
        self._is_spare = False
        self.wait_anew()
        self.pacer.start()

    def wait_anew(self) -> None:
        """Count the silence of every far end from now on: until now it was we who did not listen."""
        for channel in self._channels.values():
            if isinstance(channel.line, Line):
                channel.line.expect()

    def stop(self) -> None:
        """Leave everything to a successor: no beat, no reading, and recordings on disk as far as they are."""
        self.pacer.stop()
        self._batches.send_all()
        for channel in self._channels.values():
            channel.flush()

    # ---- what the messages ask for ----------------------------------------------------------------------------------

    def open(self, channel_id: ChannelId, owner: Identity) -> int:
        """Return the port that is now this channel's; asked again, the same one.

        Raises: Refused: `no_port_free`, or `saturated` when this core can carry no more.
        """
        if channel := self._channels.get(channel_id):
            return channel.wanted.port
        if self.pacer.is_saturated():
            self._counts["saturated"] += 1
            raise Refused("saturated")
        if not self._free:
            self._counts["no_port_free"] += 1
            raise Refused("no_port_free")
        wanted = wire.Channel(channel_id, owner, self._free[0], ssrc=0, seq0=0, ts0=0, born_s=self._clock())
        self._create(wanted)
        return wanted.port

    def set(self, wanted: wire.Channel) -> None:
        """Make the channel be like this, whatever it was.

        Raises: Refused: `port_not_ours`, `port_taken`, `bad_remote`, `bad_payload_type`; then it is as it was, and one
        that was unknown is open.
        """
        channel = self._channels.get(wanted.channel_id) or self._create(wanted)
        if channel.wanted.port != wanted.port:
            raise Refused("port_taken")
        is_new_engine = bool(wanted.engine) and wanted.engine != channel.wanted.engine
        missed = channel.replay(self._clock()) if is_new_engine else []
        channel.set(wanted)
        for k in range(0, len(missed), _REPLAY_FRAMES):
            self._tell(wanted.engine, wire.Audio(tuple(missed[k : k + _REPLAY_FRAMES])))
        if peer := self._channels.get(wanted.bridge):
            self._move_beside(channel, peer)

    def beware(self, order: Beware) -> None:
        """Send nothing on these while their far ends are not heard; or send again. Unknown channels are ignored."""
        for channel_id in order.channels:
            channel = self._channels.get(channel_id)
            if channel and isinstance(channel.line, Line):
                channel.line.beware(is_wary=order.is_wary)

    def link(self, audio: LinkAudio) -> None:
        """Take what seats have said; frames of channels that are gone are dropped."""
        now = self._clock()
        for frame in audio.frames:
            channel = self._channels.get(frame.channel_id)
            if channel and isinstance(channel.line, Link):
                channel.line.put(frame, now)

    def press(self, channel_id: ChannelId, keys: str, ms: int) -> None:
        """Send keys on a channel. Raises: Refused: `no_such_channel`, or as `Channel.press`."""
        if channel_id not in self._channels:
            raise Refused("no_such_channel")
        self._channels[channel_id].press(keys, ms)

    async def close(self, channel_id: ChannelId) -> wire.ChannelClosed:
        """Give the port back, publish the recording, and say what was carried; an unknown channel carried nothing."""
        channel = self._channels.get(channel_id)
        if channel is None:
            return wire.ChannelClosed(sent=0, received=0, lost=0, late=0, jitter_ms=0.0)
        self._drop(channel)
        if self._is_spare:
            return wire.ChannelClosed(sent=0, received=0, lost=0, late=0, jitter_ms=0.0)
        return await channel.close()

    def wanted(self) -> dict[ChannelId, wire.Channel]:
        """Return what each channel should be, as its owner last said."""
        return {channel_id: channel.wanted for channel_id, channel in self._channels.items()}

    def orphaned(self, channel_id: ChannelId) -> None:
        """Close a channel that nobody owns; its recording is published."""
        channel = self._channels[channel_id]
        self._counts["orphans_closed"] += 1
        self._drop(channel)
        if not self._is_spare:
            channel.abandon()

    def figures(self) -> dict[str, float]:
        """Return counters and gauges by name; packets are those of the open channels."""
        lines = [channel.line for channel in self._channels.values()]
        return {
            "sent": sum(line.sent for line in lines),
            "received": sum(line.reception.received for line in lines),
            "lost": sum(line.reception.lost for line in lines),
            "late": sum(line.late for line in lines),
            "channels": len(self._channels),
            "ports_free": len(self._free),
            "late_p50_ms": self.lateness.quantile_ms(0.5),
            "late_p99_ms": self.lateness.quantile_ms(0.99),
            "late_max_ms": round(self.lateness.max_s * 1000, 3),
            "slots_missed": self.pacer.missed,
            "busy": round(self.pacer.busy, 3),
            "prompts_missing": self._prompts.missing,
            "recording_blocks_dropped": self._writer.dropped,
            "recording_blocks_failed": self._writer.failed,
            "recording_blocks_too_long": self._writer.too_long,
            **self._counts,
        }

    def load(self, late_s: float) -> MediaLoad:
        """Return how this process was since it was last asked; `late_s`: of the event loop, when nothing is sent."""
        late_s = self.lateness.recent_ms(_LATE_SHARE) / 1000 if self._channels else late_s
        return MediaLoad(late_s, round(self.pacer.busy, 3), len(self._sockets))

    # ---- a slot -----------------------------------------------------------------------------------------------------

    def tick(self, slot: int, at: float) -> None:
        """Move the channels of one slot on by the frame that is due at `at`."""
        n_read = self._read(at)
        channels = [channel for channel in self._slots[slot] if channel.line.is_open]
        for channel in channels:
            channel.receive(at)
        for channel in channels:
            channel.transmit(at, self._channels.get(channel.wanted.bridge))
            self.lateness.add(self._clock() - at)
        linked, self._linked = self._linked, defaultdict(list)
        for desk, frames in linked.items():
            self._tell(desk, LinkAudio(tuple(frames)))
        for _ in range(_MAX_ROUNDS - 1):
            if not n_read:
                break
            n_read = self._read(at)
        self._listen(channels, at)

    def _read(self, at: float) -> int:
        """Take one datagram from each socket, of every slot, that has any; return how many there were.

        On the beat and not when the loop sees it: a wake-up for each packet costs as much as all that is done with it,
        and nobody waits for it: it is played at a beat anyway. So it counts as come at the beat, and before the beat
        plays: what it has waited for us is not waited again. Of a burst, the rest is taken when all has been sent.
        """
        ready = self._epoll.poll(0)
        for descriptor, _ in ready:
            self._readers[descriptor](at)
        return len(ready)

    def _listen(self, channels: list[Channel], at: float) -> None:
        analysed = iter(analyse([channel.heard for channel in channels if channel.has_audio]))
        sounds = [next(analysed) if channel.has_audio else HUSH for channel in channels]
        sounds = without_echo([channel.echo for channel in channels], sounds)
        for channel, sound in zip(channels, sounds, strict=True):
            self._to_engine(channel, channel.listen(sound, at), at)
        if held := [channel for channel in channels if channel.echo.is_due][:MOST]:
            compare([channel.echo for channel in held])
            for channel in held:
                if (is_ours := channel.echo.is_ours) is not None:
                    self._counts["echoes"] += is_ours
                    self._to_engine(channel, channel.settle(is_ours=is_ours), at)
        self._batches.send(at)

    def _to_engine(self, channel: Channel, frames: list[AudioFrame], at: float) -> None:
        if frames and channel.wanted.engine:
            self._batches.add(channel.wanted.engine, frames, at, is_urgent=channel.is_decisive)

    # ---- channels and slots -----------------------------------------------------------------------------------------

    def _create(self, wanted: wire.Channel) -> Channel:
        line = Link(wanted, self._put, self._counts) if wanted.link else self._line(wanted)
        tell = partial(self._tell_owner, wanted.channel_id)
        channel = Channel(line, wanted, tell, self._prompts, self._writer, Echo(is_off=not self._cancels_echo))
        self._channels[wanted.channel_id] = channel
        self._roomiest().append(channel)
        return channel

    def _line(self, wanted: wire.Channel) -> Line:
        """Return a line on the socket of the wanted port, and read it from now on.

        Of two channels that want one port, the younger has it: the other has ended, and we were not told.
        """
        if wanted.port not in self._sockets:
            raise Refused("port_not_ours")
        for other in list(self._channels.values()):
            if isinstance(other.line, Line) and other.wanted.port == wanted.port:
                if other.wanted.born_s >= wanted.born_s:
                    raise Refused("port_taken")
                self.orphaned(other.wanted.channel_id)
        sock = self._sockets[wanted.port]
        line = Line(sock, wanted, partial(self._tell_owner, wanted.channel_id), self._counts, self._clock)
        self._free.remove(wanted.port)
        self._epoll.register(sock, select.EPOLLIN)
        self._readers[sock.fileno()] = line.read
        return line

    def _put(self, desk: Identity, frame: LinkFrame) -> None:
        self._linked[desk].append(frame)

    def _drop(self, channel: Channel) -> None:
        del self._channels[channel.wanted.channel_id]
        self._slot_of(channel).remove(channel)
        if isinstance(channel.line, Line):
            sock = self._sockets[channel.wanted.port]
            self._epoll.unregister(sock)
            del self._readers[sock.fileno()]
            self._free.append(channel.wanted.port)

    def _move_beside(self, channel: Channel, peer: Channel) -> None:
        """Put a bridged channel into its peer's slot: then neither voice waits for the other's beat."""
        self._slot_of(channel).remove(channel)
        self._slot_of(peer).append(channel)

    def _roomiest(self) -> list[Channel]:
        """Return the slot for a new channel."""
        first = min((self._slots[slot] for slot in _FIRST_SLOTS), key=len)
        return first if len(first) < _FULL_SLOT else min(self._slots, key=len)

    def _slot_of(self, channel: Channel) -> list[Channel]:
        return next(slot for slot in self._slots if channel in slot)

    def _tell_owner(self, channel_id: ChannelId, message: object) -> None:
        if channel := self._channels.get(channel_id):
            self._tell(channel.wanted.owner, message)

    def _tell(self, to: Identity, message: object) -> None:
        if not self._send(to, message):
            self._counts["untold"] += 1


__all__ = ["MediaPlane", "Tell"]
