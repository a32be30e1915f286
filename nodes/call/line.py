"""The wanted states of a call's channels in a media process: the callee's side, and an agent's.

All of it is in the record, or follows from it: who has to be told it again is told the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodes.call.effects import Want
from nodes.call.record import CallRecord
from nodes.call.step import CallStep
from protocols.replacing import replace
from protocols.sip import Media
from protocols.wire.ids import ChannelId, Identity, PromptHash
from protocols.wire.messages import AudioArrived, Channel, Playing


def link_of(record: CallRecord) -> ChannelId:
    """Return the channel of the agent's side."""
    return ChannelId(f"{record.order.call_id}-agent")


def channels_of(record: CallRecord) -> tuple[ChannelId, ...]:
    """Return the channels that a call has in its media process, or may have there in a moment."""
    return (ChannelId(record.order.call_id), link_of(record)) if record.handover else (ChannelId(record.order.call_id),)


def is_known(record: CallRecord, has: Mapping[ChannelId, int], is_spare: bool) -> bool:
    """Say whether a media process that has these channels, by name and revision, has the call's as they are wanted.

    The agent's side follows from the record, and a spare is told of it when it takes over.
    """
    has_link = is_spare or not (record.handover and record.handover.seat) or link_of(record) in has
    return record.channel is None or (has.get(record.channel.channel_id) == record.channel.revision and has_link)


def want(step: CallStep, **changes: Any) -> None:
    """Change the wanted state of the callee's channel, and tell it, also when nothing has changed."""
    if (before := step.record.channel) is None:
        return
    channel = replace(before, owner=step.record.owner, epoch=step.record.epoch, **changes)
    if channel != before:
        step.write(channel=replace(channel, revision=channel.revision + 1))
    tell(step)


def tell(step: CallStep) -> None:
    """Say once more what is wanted; to the spares, too, so that one goes on without a word when it is needed.

    A line that is being given back is not told: it would be opened anew.
    """
    if (channel := told(step.record)) is not None and step.record.over is None:
        step.do(Want(channel))


def told(record: CallRecord) -> Channel | None:
    """Return the callee's channel as media is told it: here nobody speaks or hears while another machine does."""
    if record.channel is None or not record.is_waiting:
        return record.channel
    return replace(record.channel, sends=False, playing=None, engine=Identity(""), recording="", bridge=ChannelId(""))


def agree(step: CallStep, media: Media) -> None:
    """The far end has said where it listens, and what (RFC 3264)."""
    if (channel := step.record.channel) is None:
        return
    is_moved = (media.host, media.port) != (channel.remote_host, channel.remote_port)
    want(
        step,
        agreed_s=step.now,
        source=None if is_moved else channel.source,
        remote_host=media.host,
        remote_port=media.port,
        payload_type=media.payload_type,
        dtmf_type=media.dtmf_type,
        sends=media.sends,
    )


def arrived(step: CallStep, told: AudioArrived) -> None:
    """Keep where the far end sends from; what was found for another SDP than the last is stale."""
    if (channel := step.record.channel) and told.remote == (channel.remote_host, channel.remote_port):
        want(step, source=told.source)


def playing(record: CallRecord) -> Playing | None:
    """Return what plays."""
    return record.channel.playing if record.channel else None


def play(step: CallStep, prompts: tuple[PromptHash, ...], skip_s: float = 0.0) -> int:
    """Play these from now on, instead of whatever plays; return the number that `PlayEnded` will carry.

    The number is the channel's age in milliseconds, so that no life of the call gives one twice.
    """
    channel = step.record.channel
    play_id = step.since_ms(channel.born_s) if channel else 0
    want(step, playing=Playing(play_id, prompts, step.now, skip_s))
    return play_id


def played(step: CallStep) -> None:
    """Have it that nothing plays. Media need not be told what it has said: to it the play that is over changes nothing.

    So it knows the channel's newest revision still.
    """
    assert step.record.channel, "it has played"
    step.write(channel=replace(step.record.channel, playing=None))


def tell_link(step: CallStep, *, is_bridged: bool | None = None) -> None:
    """Say what is wanted of the agent's side, if there is one; bridged as the callee's side is, if nothing is said."""
    record = step.record
    if record.channel is not None and record.handover is not None and record.handover.seat:
        step.do(Want(side(record, bool(record.channel.bridge) if is_bridged is None else is_bridged), to_spares=False))


def side(record: CallRecord, is_bridged: bool) -> Channel:
    """Return the wanted state of the agent's side: silent until it is bridged; all of it follows from the record."""
    caller, handed = record.channel, record.handover
    assert caller is not None, "who is handed over has been answered"
    assert handed is not None, "a handover is wanted"
    return Channel(
        link_of(record), record.owner, 0, 0, 0, 0, caller.born_s, sends=is_bridged, link=handed.desk,
        bridge=caller.channel_id if is_bridged else ChannelId(""),
    )  # fmt: skip


__all__ = [
    "agree",
    "arrived",
    "channels_of",
    "is_known",
    "link_of",
    "play",
    "played",
    "playing",
    "side",
    "tell",
    "tell_link",
    "told",
    "want",
]
