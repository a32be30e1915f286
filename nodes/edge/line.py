"""The call's side of media: the wanted state of its channel, kept in the record and told to whoever serves it now.

The media process is known by its name, because its sockets are; which incarnation serves the name is the roster's word.
Its spares are told the same, so that nobody has to be asked when one is needed: it plays on. A new incarnation is told
again, and so is one that asks whose its channels are and has not all of ours (`seats.is_known`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeAlias

from nodes.edge.keeper import Keeper
from nodes.errors import NodeError
from nodes.links.errors import LinkError
from nodes.links.mesh import Mesh
from nodes.links.roster import NOBODY, Peer, Roster
from protocols.sip import Media
from protocols.wire.ids import ChannelId, Identity, PromptHash
from protocols.wire.messages import (
    AudioArrived,
    AudioLost,
    BeepHeard,
    Channel,
    ChannelClosed,
    ChannelOpened,
    CloseChannel,
    DigitPressed,
    Heard,
    OpenChannel,
    Partial,
    PlayEnded,
    Playing,
    SendDigits,
    SetChannel,
    SpeechEnded,
    SpeechStarted,
)  # fmt: skip

ChannelNews: TypeAlias = (
    SpeechStarted | SpeechEnded | Partial | Heard | DigitPressed | BeepHeard | PlayEnded | AudioArrived | AudioLost
)
"""What media and speech tell the owner of a channel."""
OPEN_S = 2.0
CLOSE_S = 3.0
"""Closing publishes the recording."""
NOTHING_CARRIED = ChannelClosed(0, 0, 0, 0, 0.0)


class NoMedia(NodeError):
    """No media process has a free port: the node is full, or none is up."""


class Line:
    """One call's channel in a media process. Not an actor: a plain object of the call."""

    def __init__(self, keeper: Keeper, mesh: Mesh) -> None:
        self._keeper, self._mesh = keeper, mesh
        self._roster = NOBODY

    @property
    def channel(self) -> Channel | None:
        """The wanted state, as last written."""
        return self._keeper.record.channel

    async def open(self, channel_id: ChannelId, numbers: tuple[int, int, int], now: float, strict: bool = False) -> int:
        """Reserve a port with the first media process that has one; return it. Raises: NoMedia.

        `numbers`: 32-bit SSRC, 16-bit first sequence number, 32-bit first timestamp; random (RFC 3550 s.5.1, 8.1).
        `strict`: the far end is only where it says that it is.
        """
        ssrc, seq0, ts0 = numbers
        for peer in self._roster.active("media"):
            try:
                order = OpenChannel(channel_id, self._mesh.identity)
                opened: ChannelOpened = await self._mesh.ask(peer.identity, order, timeout_s=OPEN_S)
            except LinkError:
                continue
            channel = Channel(channel_id, self._mesh.identity, opened.port, ssrc, seq0, ts0, born_s=now, strict=strict)
            self._keeper.write(media=peer.name, channel=channel)
            self.tell()
            return opened.port
        raise NoMedia("no media process has a free port")

    def open_link(self, channel_id: ChannelId, desk: Identity, now: float) -> int:
        """Have a channel whose far end is a seat of `desk`; it needs no port and returns 0. Raises: NoMedia."""
        if not (peers := self._roster.active("media")):
            raise NoMedia("no media process is up")
        channel = Channel(channel_id, self._mesh.identity, 0, 0, 0, 0, born_s=now, link=desk)
        self._keeper.write(media=peers[0].name, channel=channel)
        return channel.port

    @property
    def media(self) -> Identity:
        """The process that has our channel now; empty while there is none."""
        return next(iter(self._ours(self._roster.active("media"))), Identity(""))

    def follow(self, roster: Roster) -> bool:
        """Take the launcher's word: True when our media process has a new incarnation. Newcomers are told all."""
        before, spares = self.media, self._spares()
        self._roster = roster
        is_new = self.media not in ("", before)
        if is_new or self._spares() != spares:
            self.tell()
        return is_new

    def tell(self) -> None:
        """Say once more what we want; to the spare, too, so that it goes on without a word when it is needed."""
        if channel := self.channel:
            for media in (*([self.media] if self.media else []), *self._spares()):
                self._mesh.tell(media, SetChannel(channel))

    def agree(self, media: Media, now: float) -> None:
        """The far end has said where it listens, and what (RFC 3264)."""
        is_moved = self.channel and (media.host, media.port) != (self.channel.remote_host, self.channel.remote_port)
        self.want(
            agreed_s=now,
            source=None if is_moved or self.channel is None else self.channel.source,
            remote_host=media.host,
            remote_port=media.port,
            payload_type=media.payload_type,
            dtmf_type=media.dtmf_type,
            sends=media.sends,
        )

    def arrived(self, told: AudioArrived) -> None:
        """Keep where the far end sends from; what was found for another SDP than the last is stale."""
        if (channel := self.channel) and told.remote == (channel.remote_host, channel.remote_port):
            self.want(source=told.source)

    def want(self, **changes: Any) -> None:
        """Change the wanted state and tell it."""
        if self.channel is None:
            return
        record = self._keeper.record
        channel = replace(self.channel, owner=self._mesh.identity, epoch=record.epoch, **changes)
        if channel != self.channel:
            self._keeper.write(channel=replace(channel, revision=channel.revision + 1))
        self.tell()

    def play(self, prompts: tuple[PromptHash, ...], now: float) -> int:
        """Play these from now on, instead of whatever plays; return the number that `PlayEnded` will carry.

        The number is the channel's age in milliseconds, so that no life of the call gives one twice.
        """
        play_id = round((now - self.channel.born_s) * 1000) if self.channel else 0
        self.want(playing=Playing(play_id, prompts, now))
        return play_id

    def hush(self) -> None:
        """Stop playing, at the next tick."""
        self.want(playing=None)

    def heard_by(self, engine: Identity) -> None:
        """Let this engine have the callee's speech; the utterance in progress is replayed to it."""
        self.want(engine=engine)

    async def press(self, digits: str) -> None:
        """Send telephone events (RFC 4733). Raises: LinkError."""
        if (channel := self.channel) and self.media:
            await self._mesh.ask(self.media, SendDigits(channel.channel_id, digits))

    async def close(self) -> ChannelClosed:
        """Give the port back; return what was carried, as far as anybody still knows."""
        if (channel := self.channel) is None or not self.media:
            return NOTHING_CARRIED
        order = CloseChannel(channel.channel_id)
        for spare in self._spares():
            self._mesh.tell(spare, order)
        try:
            return await self._mesh.ask(self.media, order, timeout_s=CLOSE_S)
        except LinkError:
            return NOTHING_CARRIED

    def _ours(self, peers: Iterable[Peer]) -> list[Identity]:
        return [peer.identity for peer in peers if peer.name == self._keeper.record.media]

    def _spares(self) -> list[Identity]:
        return self._ours(self._roster.spare("media"))


__all__ = ["ChannelNews", "Line", "NoMedia", "NOTHING_CARRIED"]
