"""What all seats have: a page, the call that has it, and the audio between them.

Frames of the page go to where the call's frames come from, so that nobody has to tell the desk which media process has
the call, nor that it is another one now. Before the first frame of the call nothing of the page is sent anywhere.
"""

from __future__ import annotations

from nodes.desk.browser import Browser
from nodes.desk.control import Said
from nodes.mesh.mesh import Mesh
from protocols.wire import desk as wire
from protocols.wire.ids import CallId, ChannelId, Identity


class Seat:
    """One page's place. `edge` has the call, or had it when it last said so."""

    def __init__(self, name: str, browser: Browser, mesh: Mesh) -> None:
        self.name = name
        self.browser = browser
        self.edge = Identity("")
        self.channel = ChannelId("")
        self._mesh = mesh
        self._media = Identity("")
        self._n_spoken = 0
        self._hears = False

    @property
    def call(self) -> CallId:
        """The call that has the seat; empty: none."""
        raise NotImplementedError

    def offer(self, channel: ChannelId) -> None:
        """Let the page ring for the call that has the seat."""
        raise NotImplementedError

    def release(self, is_missed: bool) -> None:
        """The call does not want the seat any more."""
        raise NotImplementedError

    def orphaned(self) -> None:
        """The edge that had the call has died, and no other has said that it has it."""
        raise NotImplementedError

    def said(self, given: Said) -> None:
        """The page has said something."""
        raise NotImplementedError

    def gone(self) -> None:
        """The page has gone."""
        raise NotImplementedError

    def keep(self, edge: Identity) -> None:
        """The call is another edge's now; it is told again what its predecessor may have died with."""
        self.edge, self._hears = edge, False

    # ---- audio -----------------------------------------------------------------------------------------------------

    def hear(self, frame: wire.LinkFrame, media: Identity) -> None:
        """Play 20 ms of the call to the person."""
        self._media = media
        self.browser.play(frame.payload, None if self._hears else self._has_heard)
        self._hears = True

    def spoke(self, frame: bytes) -> None:
        """Take 20 ms of the person's voice."""
        if self._media and self.channel:
            self._n_spoken += 1
            self._mesh.tell(self._media, wire.LinkAudio((wire.LinkFrame(self.channel, self._n_spoken, frame),)))

    # ---- for the kinds of seat -------------------------------------------------------------------------------------

    def heard(self) -> None:
        """The first frame of the call is on its way to the person's ear."""

    def tell(self, kind: type[wire.SeatNews], call: CallId) -> None:
        """Tell the call's edge."""
        self._mesh.tell(self.edge, kind(call, self.name))

    def clear(self) -> None:
        """Forget the call's audio."""
        self.channel, self._media, self._hears = ChannelId(""), Identity(""), False

    def _has_heard(self) -> None:
        if self.call:
            self.heard()
            self.tell(wire.SeatHears, self.call)


__all__ = ["Seat"]
