"""All callers that this process hears: wishes and frames go to the channel they belong to."""

from __future__ import annotations

from collections.abc import Iterable

from nodes.links.tasks import Tasks
from nodes.speech.channel import Channel, Surroundings
from nodes.speech.ears import Ears
from protocols.wire.ids import ChannelId
from protocols.wire.messages import AudioFrame, Hear

__all__ = ["Listening"]


class Listening:
    """Channels by id, each with its task in `tasks`. Lives on the event loop."""

    def __init__(self, ears: Ears, around: Surroundings, tasks: Tasks) -> None:
        self._ears = ears
        self._around = around
        self._tasks = tasks
        self._channels: dict[ChannelId, Channel] = {}

    def hear(self, wanted: Hear) -> None:
        """From the channel's next utterance on, hear it like this. Raises: UnknownScript, UnknownRule."""
        ear = self._ears.find(wanted.script)
        ear.check(wanted.rules)
        channel = self._channels.get(wanted.channel_id)
        if channel is None:
            channel = self._channels[wanted.channel_id] = Channel(self._around, wanted.after_s)
            self._tasks.spawn(self._attend(wanted.channel_id, channel))
        channel.hear(wanted, ear)

    def deafen(self, channel_id: ChannelId) -> None:
        """Forget the channel and what it was saying. An unknown one is forgotten already."""
        if channel := self._channels.pop(channel_id, None):
            channel.leave()

    def audio(self, frames: Iterable[AudioFrame]) -> None:
        """Take frames of any channels; those of channels that nobody asked to hear are dropped and counted."""
        for frame in frames:
            if channel := self._channels.get(frame.channel_id):
                channel.take(frame)
            else:
                self._around.counts["unasked"] += 1

    @property
    def n_channels(self) -> int:
        """Callers being heard."""
        return len(self._channels)

    def close(self) -> None:
        """Forget everybody: their tasks end."""
        for channel_id in list(self._channels):
            self.deafen(channel_id)

    async def _attend(self, channel_id: ChannelId, channel: Channel) -> None:
        await channel.attend()
        if self._channels.get(channel_id) is channel:
            del self._channels[channel_id]
