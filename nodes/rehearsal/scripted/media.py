"""A media process without sockets: prompts end when their time is up, and callees answer what they are asked.

A channel is its wanted state, as in a real one; so a spare that takes over goes on from the same instants. The callee
says hello once they can be heard, and one utterance after each prompt at whose end an engine listens. An engine that
takes over hears it again.
"""

from __future__ import annotations

import asyncio
import os
import time
from itertools import count
from typing import Final

from nodes.config import Config
from nodes.links.load import LoadTeller
from nodes.links.roster import Roster
from nodes.links.tasks import Tasks, closing
from nodes.mesh.mesh import Mesh
from nodes.rehearsal.scripted.pace import Pace
from protocols.wire import messages as wire
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.load import MediaLoad
from supervisors.parent import Activate, Parent, Told

CHANNELS: Final = 1_000_000
"""Nothing here runs out."""
HELLO_S: Final = 0.8
_FRAME: Final = bytes(160)
_PORTS: Final = 32_000


class _Channel:
    """`said`: the play after which the callee has spoken last; -1: they say it again, -2: hello is to be said."""

    def __init__(self, wanted: wire.Channel) -> None:
        self.wanted = wanted
        self.ended, self.said = -3, -2
        self.utterance = 0
        self.is_speaking = False
        self.timers: list[asyncio.TimerHandle] = []

    def stop(self) -> None:
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()


class ScriptedMedia:
    """All channels of one process; a spare knows them, and waits."""

    def __init__(self, mesh: Mesh, pace: Pace, *, is_spare: bool) -> None:
        self._mesh, self._pace, self._is_active = mesh, pace, not is_spare
        self._channels: dict[ChannelId, _Channel] = {}
        self._ports = count(1)
        self._loop = asyncio.get_running_loop()
        mesh.serve(wire.OpenChannel, self.open)
        mesh.serve(wire.SetChannel, self.set)
        mesh.serve(wire.CloseChannel, self.close)
        mesh.serve(wire.GetStatus, self.status)

    def open(self, order: wire.OpenChannel, sender: Identity) -> wire.ChannelOpened:
        """Give a number that looks like a port."""
        return wire.ChannelOpened(1024 + 2 * (next(self._ports) % _PORTS))

    def set(self, order: wire.SetChannel, sender: Identity) -> wire.Done:
        """Make a channel be as wanted."""
        wanted = order.channel
        channel = self._channels.setdefault(wanted.channel_id, _Channel(wanted))
        before, channel.wanted = channel.wanted, wanted
        if channel.is_speaking and wanted.engine and wanted.engine != before.engine:
            self._speak(channel)  # the new engine hears it from the beginning
        if (wanted.owner, wanted.epoch) != (before.owner, before.epoch):
            self._tell_again(channel)
        if self._is_active:
            self._go_on(channel)
        return wire.Done()

    def close(self, order: wire.CloseChannel, sender: Identity) -> wire.ChannelClosed:
        """Forget a channel."""
        if channel := self._channels.pop(order.channel_id, None):
            channel.stop()
        return wire.ChannelClosed(0, 0, 0, 0, 0.0)

    def status(self, _: wire.GetStatus, sender: Identity) -> wire.Status:
        """How many channels there are."""
        return wire.Status("media", os.getpid(), {"channels": float(len(self._channels))})

    def load(self, late_s: float) -> MediaLoad:
        """Say that nothing is ever late."""
        return MediaLoad(0.0, 0.0, CHANNELS)

    def activate(self) -> None:
        """Play on."""
        self._is_active = True
        for channel in self._channels.values():
            self._go_on(channel)

    # ---- one channel -----------------------------------------------------------------------------------------------

    def _go_on(self, channel: _Channel) -> None:
        wanted = channel.wanted
        if channel.is_speaking or not wanted.remote_host:
            return  # what is wanted meanwhile is looked at when they have spoken
        channel.stop()
        if channel.said == -2:
            channel.said = -1
            self._later(channel, HELLO_S, self._hello)
        if wanted.playing and wanted.playing.play_id != channel.ended:
            until_s = wanted.playing.at_s + self._pace.prompt_s * len(wanted.playing.prompts)
            self._later(channel, until_s - time.monotonic(), self._played)
        elif wanted.engine and channel.said != channel.ended:
            self._later(channel, self._pace.think_s, self._begin)

    def _tell_again(self, channel: _Channel) -> None:
        """What was told last may have been told to nobody: a play's end, and who is not answered says it again."""
        channel.said = -1 if channel.said == channel.ended else channel.said
        if channel.wanted.playing and channel.wanted.playing.play_id == channel.ended:
            self._tell(channel, wire.PlayEnded(channel.wanted.channel_id, channel.ended, time.monotonic()))

    def _later(self, channel: _Channel, after_s: float, what: object) -> None:
        assert callable(what)
        channel.timers.append(self._loop.call_later(max(0.0, after_s), what, channel))

    def _hello(self, channel: _Channel) -> None:
        self._start(channel)
        self._tell(channel, wire.SpeechEnded(channel.wanted.channel_id, channel.utterance, time.monotonic()))

    def _played(self, channel: _Channel) -> None:
        playing = channel.wanted.playing
        assert playing is not None
        channel.ended = playing.play_id
        self._tell(channel, wire.PlayEnded(channel.wanted.channel_id, playing.play_id, time.monotonic()))
        self._go_on(channel)

    def _begin(self, channel: _Channel) -> None:
        channel.said = channel.ended
        channel.is_speaking = True
        self._start(channel)
        self._later(channel, self._pace.speak_s, self._end)

    def _end(self, channel: _Channel) -> None:
        channel.is_speaking = False
        self._tell(channel, wire.SpeechEnded(channel.wanted.channel_id, channel.utterance, time.monotonic()))
        self._speak(channel)
        self._go_on(channel)

    def _start(self, channel: _Channel) -> None:
        channel.utterance += 1
        self._tell(channel, wire.SpeechStarted(channel.wanted.channel_id, channel.utterance, time.monotonic()))

    def _speak(self, channel: _Channel) -> None:
        now, wanted = time.monotonic(), channel.wanted
        frame = wire.AudioFrame(wanted.channel_id, channel.utterance, 0, True, _FRAME, now, last=True)
        self._mesh.tell(wanted.engine, wire.Audio((frame,)))

    def _tell(self, channel: _Channel, news: object) -> None:
        self._mesh.tell(channel.wanted.owner, news)


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Stand in for a media process until the launcher says stop."""
    async with closing(await Mesh.start(identity, config.paths.endpoint(identity))) as mesh, Tasks() as tasks:
        media = ScriptedMedia(mesh, Pace.read(), is_spare=parent.is_spare)
        teller = LoadTeller(mesh, media.load)
        await parent.ready({"identity": mesh.identity, "endpoint": mesh.endpoint})
        if not parent.is_spare:
            tasks.spawn(teller.run())
        async for order in parent.orders:
            match order:
                case Activate():
                    media.activate()
                    tasks.spawn(teller.run())
                case Told(body={"roster": roster}):
                    teller.roster = Roster.of(roster)
                    mesh.roster(teller.roster)
                case _:
                    pass


__all__ = ["ScriptedMedia", "run"]
