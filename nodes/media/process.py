"""The media process: the plane behind the mesh, and the launcher's orders.

What it does: turns messages into calls of `MediaPlane` and back. What it does not: anything else. A spare serves too:
it is told of every channel, and neither reads nor beats until the launcher has waited for its predecessor's end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from socket import socket as Socket  # noqa: N812  a class
from typing import Final

from nodes.config import Config
from nodes.links.load import LoadTeller
from nodes.links.members import Members
from nodes.links.roster import Roster
from nodes.links.tasks import Tasks, closing
from nodes.media import realtime
from nodes.media.orphans import Orphans
from nodes.media.plane import MediaPlane
from nodes.media.prompts import Prompts
from nodes.media.recording import LEFT_S, Writer, left_over
from nodes.mesh.mesh import Mesh
from nodes.mesh.outside import Outside
from nodes.telemetry import logs
from protocols.wire import messages as wire
from protocols.wire.desk import LinkAudio
from protocols.wire.ids import Identity
from protocols.wire.takeover import Beware
from supervisors.parent import Activate, Parent, Stop, Told

_RTP: Final = "rtp-"

log = logs.get(__name__)


class Served:
    """What other processes may ask of this one: a handler for each message."""

    def __init__(self, plane: MediaPlane, mesh: Mesh, is_realtime: bool) -> None:
        self._plane, self._mesh, self._is_realtime = plane, mesh, is_realtime
        mesh.serve(wire.OpenChannel, self.open)
        mesh.serve(wire.SetChannel, self.set)
        mesh.serve(wire.SendDigits, self.press)
        mesh.serve(wire.CloseChannel, self.close)
        mesh.serve(LinkAudio, self.link)
        mesh.serve(Beware, lambda order, _: plane.beware(order))
        mesh.serve(wire.GetStatus, self.status)

    def open(self, order: wire.OpenChannel, sender: Identity) -> wire.ChannelOpened:
        """Reserve a socket. Refused: `no_port_free`, `saturated`."""
        return wire.ChannelOpened(self._plane.open(order.channel_id, order.owner))

    def set(self, order: wire.SetChannel, sender: Identity) -> wire.Done:
        """Make a channel be as wanted. Refused: see `MediaPlane.set`."""
        self._plane.set(order.channel)
        return wire.Done()

    def link(self, audio: LinkAudio, sender: Identity) -> None:
        """What seats of a desk have said."""
        self._plane.link(audio)

    def press(self, order: wire.SendDigits, sender: Identity) -> wire.Done:
        """Queue keys. Refused: see `MediaPlane.press`."""
        self._plane.press(order.channel_id, order.digits, order.ms)
        return wire.Done()

    async def close(self, order: wire.CloseChannel, sender: Identity) -> wire.ChannelClosed:
        """Give the socket back; answered when the recording is published."""
        return await self._plane.close(order.channel_id)

    def status(self, _: wire.GetStatus, sender: Identity) -> wire.Status:
        """How this process is."""
        mesh = {f"mesh_{word}": float(count) for word, count in self._mesh.counts.items()}
        figures = {"realtime": float(self._is_realtime), **self._plane.figures(), **mesh}
        return wire.Status("media", os.getpid(), figures)


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Be a media process until the launcher says stop."""
    async with (
        closing(await Mesh.start(identity, config.paths.endpoint(identity), Outside.of(config))) as mesh,
        Tasks() as tasks,
    ):
        with contextlib.closing(Writer(config.paths.recordings)) as writer:
            await _run(parent, config, mesh, writer, tasks)


async def _run(parent: Parent, config: Config, mesh: Mesh, writer: Writer, tasks: Tasks) -> None:
    prompts = Prompts(config.paths.prompts)
    plane = MediaPlane(_rtp_sockets(parent), mesh.tell, prompts, writer, is_spare=parent.is_spare)
    is_realtime = realtime.claim()
    log.info("media.started", scheduler=realtime.scheduler(), realtime=is_realtime)
    Served(plane, mesh, is_realtime)
    orphans = Orphans(plane, mesh)
    tasks.spawn(orphans.watch())
    teller, members = LoadTeller(mesh, plane.load), Members(mesh, config)
    writer.start()
    await parent.ready(mesh.whereabouts())

    def begin() -> None:
        plane.start()
        tasks.spawn(teller.run())
        tasks.spawn(_publish_left_over(writer, config.recording_roots))

    if not parent.is_spare:
        begin()
    async for order in parent.orders:
        match order:
            case Activate():
                begin()
            case Told(body={"roster": roster}):
                teller.roster = orphans.roster = Roster.of(roster)
                mesh.roster(orphans.roster)
                members.follow(orphans.roster)
            case Stop():
                plane.stop()
            case _:
                pass


async def _publish_left_over(writer: Writer, roots: Sequence[Path]) -> None:
    """Publish what a machine that died was recording, whose calls have gone on elsewhere; look again and again."""
    while True:
        for root in roots:
            for base in await asyncio.to_thread(left_over, root, time.time()):
                log.warning("recording.left_over", recording=base)
                writer.finish(base)
        await asyncio.sleep(LEFT_S)


def _rtp_sockets(parent: Parent) -> dict[int, Socket]:
    """Return the inherited RTP sockets by port."""
    return {int(name.removeprefix(_RTP)): sock for name, sock in parent.sockets.items() if name.startswith(_RTP)}


__all__ = ["Served", "run"]
