"""The seats of a call, as its record says: the channel of the agent's side, and how all of them are given back."""

from __future__ import annotations

from collections.abc import Mapping

from nodes.call.record import CallRecord
from nodes.edge.browser import seat_of
from nodes.links.mesh import Mesh
from protocols.wire.desk import ReleaseSeat
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import Channel, CloseChannel


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


def side(record: CallRecord, owner: Identity, is_bridged: bool) -> Channel:
    """Return the wanted state of the agent's side: silent until it is bridged; all of it follows from the record."""
    caller, handed = record.channel, record.handover
    assert caller is not None, "who is handed over has been answered"
    assert handed is not None, "a handover is wanted"
    return Channel(
        link_of(record), owner, 0, 0, 0, 0, caller.born_s, sends=is_bridged, link=handed.desk,
        bridge=caller.channel_id if is_bridged else ChannelId(""),
    )  # fmt: skip


def give_back(record: CallRecord, mesh: Mesh, media: Identity) -> None:
    """Give back every seat that a call has, its callee's own at a browser too: nobody goes on with the call."""
    call_id, handed = record.order.call_id, record.handover
    if handed and handed.seat:
        mesh.tell(handed.desk, ReleaseSeat(call_id, handed.seat))
        mesh.tell(media, CloseChannel(link_of(record)))
    if browser := seat_of(record.order.target):
        mesh.tell(browser[0], ReleaseSeat(call_id, browser[1]))


__all__ = ["channels_of", "give_back", "is_known", "link_of", "side"]
