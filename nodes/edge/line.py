"""The call's side of media: what its channels are to be is told to whoever serves them now, as the roster says.

The media process is known by its name, because its sockets are; which incarnation serves the name is the roster's word.
Its spares are told the same, so that nobody has to be asked when one is needed: it plays on. What is wanted is
`nodes.call.line`'s; here it is only carried out.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from nodes.call.ending import NOTHING_CARRIED
from nodes.call.inputs import RosterChanged
from nodes.call.line import channels_of
from nodes.call.placing import seat_of
from nodes.call.record import CallRecord
from nodes.edge.tries import is_fault
from nodes.errors import NodeError
from nodes.links.errors import LinkError
from nodes.links.roster import Roster
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import (
    Channel,
    ChannelClosed,
    CloseChannel,
    Deafen,
    OpenChannel,
    PlaceCall,
    SetChannel,
)  # fmt: skip

if TYPE_CHECKING:
    from nodes.edge.services import EdgeServices

OPEN_S = 2.0
CLOSE_S = 3.0
"""Closing publishes the recording."""


class NoMedia(NodeError):
    """No media process has a free port: the node is full, or none is up."""


def serving(roster: Roster, name: str) -> Identity:
    """Return the media process that bears a name now; empty while none does."""
    return next((peer.identity for peer in roster.active("media") if peer.name == name), Identity(""))


def spares(roster: Roster, name: str) -> list[Identity]:
    """Return those that take a media process's place when it dies, and its sockets."""
    return [peer.identity for peer in roster.spare("media") if peer.name == name]


def changed(before: Roster, after: Roster, name: str, desks: frozenset[Identity]) -> RosterChanged:
    """Return what a new roster means for a call whose sockets the media process of this name has.

    `desks`: of all nodes, those that may have a seat.
    """
    is_new = serving(after, name) not in ("", serving(before, name))
    return RosterChanged(
        engines=frozenset(peer.identity for peer in after.active("speech")),
        desks=desks,
        is_media_new=is_new,
        is_media_other=is_new or spares(after, name) != spares(before, name),
    )


async def open_port(services: EdgeServices, channel_id: ChannelId) -> tuple[str, int]:
    """Return the name of the first media process with a free port, and its port for this channel. Raises: NoMedia."""
    for peer in services.roster.active("media"):
        try:
            opened = await services.mesh.ask(
                peer.identity, OpenChannel(channel_id, services.mesh.identity), timeout_s=OPEN_S
            )
        except LinkError as error:
            services.tries.link += is_fault(error)
            continue
        return peer.name, opened.port
    raise NoMedia("no media process has a free port")


async def open_channel(services: EdgeServices, order: PlaceCall) -> tuple[str, Channel]:
    """Return the name of a media process, and the call's new channel there. Raises: NoMedia.

    A browser's needs no port: its far end is a seat of a desk. It sends nothing before it is answered, as a telephone's
    does not: media may be told of it earlier (`MediaLacks`), and the first frame tells a page that the two talk.
    """
    channel_id, us, peers = ChannelId(order.call_id), services.mesh.identity, services.roster.active("media")
    if seat := seat_of(order.target):
        if not peers:
            raise NoMedia("no media process is up")
        return peers[0].name, Channel(channel_id, us, 0, 0, 0, 0, born_s=time.monotonic(), sends=False, link=seat[0])
    name, port = await open_port(services, channel_id)
    strict = services.trunk.is_strict(order.target)
    return name, Channel(channel_id, us, port, *_rtp_numbers(), born_s=time.monotonic(), strict=strict)


def set_channel(services: EdgeServices, name: str, channel: Channel, *, to_spares: bool) -> None:
    """Tell what a channel is to be; to the spares, too, so that one goes on without a word when it is needed."""
    services.mesh.tell(serving(services.roster, name), SetChannel(channel))
    for spare in spares(services.roster, name) if to_spares else ():
        services.mesh.tell(spare, SetChannel(channel))


def tell_all(services: EdgeServices, name: str, message: object) -> None:
    """Tell a media process and its spares."""
    for one in (serving(services.roster, name), *spares(services.roster, name)):
        services.mesh.tell(one, message)


def unlink(services: EdgeServices, name: str, channel_id: ChannelId) -> None:
    """Close a channel of whose end nobody waits to hear: an agent's side, or one that goes on at another machine."""
    for one in (serving(services.roster, name), *spares(services.roster, name)):
        services.mesh.tell(one, CloseChannel(channel_id))


def let_go(services: EdgeServices, record: CallRecord) -> None:
    """Close the lines of a call that goes on at another machine; its engine need not listen any more."""
    if record.channel is None:
        return
    for channel_id in reversed(channels_of(record)):
        tell_all(services, record.media, CloseChannel(channel_id))
    if record.channel.engine:
        services.mesh.tell(record.channel.engine, Deafen(record.channel.channel_id))


async def close_channel(services: EdgeServices, name: str, channel_id: ChannelId) -> ChannelClosed:
    """Give the port back; return what was carried, as far as anybody still knows."""
    order = CloseChannel(channel_id)
    for spare in spares(services.roster, name):
        services.mesh.tell(spare, order)
    try:
        return await services.mesh.ask(serving(services.roster, name), order, timeout_s=CLOSE_S)
    except LinkError:
        return NOTHING_CARRIED


def _rtp_numbers() -> tuple[int, int, int]:
    """SSRC, first sequence number, first timestamp: random, so that streams cannot be guessed (RFC 3550 s.5.1)."""
    entropy = os.urandom(10)
    return int.from_bytes(entropy[:4]), int.from_bytes(entropy[4:6]), int.from_bytes(entropy[6:])


__all__ = [
    "NoMedia",
    "changed",
    "close_channel",
    "let_go",
    "open_channel",
    "open_port",
    "serving",
    "set_channel",
    "spares",
    "tell_all",
    "unlink",
]
