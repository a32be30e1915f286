"""Monitors and links between actors of different processes: the herald that the kernel's FarRefs need, over the mesh.

What it does: an actor that monitors `far.ref(peer, "calls/7")` is told once how that life ended. The roster's word that
a process is gone is NoConnection at once, because the mesh fails the open ask. What was lost on the way is asked again,
for the life's number is its own: nothing takes a successor under the same path for it. Silence is NoConnection after
`SILENCE_S`, as after OTP's net_ticktime. What it does not: start, ask or tell actors elsewhere.

The watched process keeps a *ward* for each life that is asked about, and forgets it when nobody has asked for `KEEP_S`.
"""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from itertools import count
from typing import Final, assert_never

from nodes.links.errors import AskTimeout, FarCrash, LinkError, PeerGone, Refused
from nodes.mesh.mesh import Mesh
from protocols.wire.ids import Identity
from protocols.wire.lives import AwaitEnd, End, Fate, Watch
from supervisors import (
    Actor,
    Crash,
    Exit,
    FarRef,
    Killed,
    Name,
    NoConnection,
    NoProc,
    Normal,
    NoSuchChild,
    Ref,
    Shutdown,
    System,
    tie,
)

HOLD_S: Final = 10.0
"""A question is answered after this at the latest: the life goes on."""
ANSWER_S: Final = 5.0
"""What an answer may take beyond that."""
SILENCE_S: Final = 30.0
"""Two questions in a row without an answer: the process, which the roster still holds, cannot be heard."""
PAUSE_S: Final = 1.0
"""Before asking again what was refused, because a buffer is full."""
KEEP_S: Final = 60.0
"""A ward's life without questions: longer than anybody who still waits is silent."""
MAX_DETAIL: Final = 1000
"""Characters of what was raised, or of why it was shut down, that are told."""


class Far:
    """The herald of this process, one for its mesh: of the lives of others, and of those in `system` to others."""

    def __init__(self, mesh: Mesh, system: System) -> None:
        self._mesh, self._system = mesh, system
        self._numbers = count(1)
        self._wards: dict[int, Ward] = {}
        mesh.serve(Watch, self._watch)
        mesh.serve(AwaitEnd, self._await_end)

    def ref(self, process: Identity, actor: str) -> FarRef:
        """Return the address of an actor of `process`: the name it has registered there, else its path."""
        return FarRef(process, actor, self)

    async def end_of(self, ref: FarRef, linked: Ref[Actor] | None = None) -> Exit:
        """Wait for the end of the life that `ref` has now, and return its reason (`supervisors.Herald`).

        NoProc: no such process in the roster, no such actor in it, or one without actors. NoConnection: the process
        has gone, or the question is not answered; it may have been heard, so it is not asked a second time.
        """
        peer = Identity(ref.process)
        if not self._mesh.knows(peer):
            return NoProc()
        back = self._ward(linked) if linked else None
        try:
            fate = await self._mesh.ask(peer, Watch(ref.path, back.number if back else 0), ANSWER_S)
            return exit_of(fate) if fate.end is not End.NONE else await self._follow(peer, fate.number)
        except LinkError as error:
            is_without_actors = isinstance(error, Refused) and error.reason == "not_served"
            return NoProc() if is_without_actors else NoConnection()
        except asyncio.CancelledError:
            if back and linked and linked.is_alive:
                back.part()
            raise

    async def _follow(self, peer: Identity, number: int) -> Exit:
        """Return how the life ends that `peer` has under `number`."""
        loop = self._system.loop
        heard_s = loop.time()
        while loop.time() - heard_s < SILENCE_S:
            try:
                fate = await self._mesh.ask(peer, AwaitEnd(number), HOLD_S + ANSWER_S)
            except PeerGone:
                break
            except AskTimeout:
                continue
            except Refused:
                await asyncio.sleep(PAUSE_S)
            else:
                if fate.end is not End.NONE:
                    return exit_of(fate)
                heard_s = loop.time()
        return NoConnection()

    # ---- what others ask -------------------------------------------------------------------------------------------

    def _watch(self, order: Watch, watcher: Identity) -> Fate:
        ref = self._find(order.actor)
        if ref is None or not ref.is_alive:
            return Fate(0, End.NO_PROC)
        if order.back:
            tie(ref, self._follow(watcher, order.back))
        return Fate(self._ward(ref).number)

    def _await_end(self, order: AwaitEnd, watcher: Identity) -> Fate | asyncio.Future[Fate]:
        ward = self._wards.get(order.number)
        return ward.asked() if ward else Fate(order.number, End.NO_CONNECTION)

    def _find(self, actor: str) -> Ref[Actor] | None:
        if named := self._system.find(Name[Actor](actor)):
            return named
        try:
            return self._system.ref(actor, Actor)
        except NoSuchChild:
            return None

    def _ward(self, ref: Ref[Actor]) -> Ward:
        number = next(self._numbers)
        ward = self._wards[number] = Ward(number, ref.down(), forget=self._wards.pop)
        return ward


class Ward:
    """One life of this process that another asks about: one open question at most, the last one asked."""

    __slots__ = ("_answer", "_down", "_fate", "_forget", "_timer", "number")

    def __init__(self, number: int, down: asyncio.Future[Exit], forget: Callable[[int], object]) -> None:
        self.number = number
        self._fate = Fate(number)
        self._down = down
        self._forget = forget
        self._answer: asyncio.Future[Fate] | None = None
        self._timer = down.get_loop().call_later(KEEP_S, self._drop)
        down.add_done_callback(self._ended)

    def asked(self) -> Fate | asyncio.Future[Fate]:
        """Return how it ended, or a future of that, which comes true after `HOLD_S` at the latest: it lives."""
        self._settle()
        if self._fate.end is not End.NONE:
            return self._fate
        loop = self._down.get_loop()
        self._timer.cancel()
        self._timer = loop.call_later(HOLD_S, self._settle)
        self._answer = loop.create_future()
        return self._answer

    def part(self) -> None:
        """Undo the link: the other side is told an end for which no linked life ends."""
        self._down.cancel()
        self._tell(Normal())

    def _ended(self, down: asyncio.Future[Exit]) -> None:
        if not down.cancelled():
            self._tell(down.result())

    def _tell(self, reason: Exit) -> None:
        self._fate = fate_of(self.number, reason)  # not the reason itself: a crash holds the frames of its actor
        self._settle()

    def _settle(self) -> None:
        """Answer the open question with what is so now, and wait for the next."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._fate)
        self._timer.cancel()
        self._timer = self._down.get_loop().call_later(KEEP_S, self._drop)

    def _drop(self) -> None:
        self._down.cancel()
        self._forget(self.number)


def fate_of(number: int, reason: Exit) -> Fate:
    """Return an exit reason as it can be told on a wire."""
    match reason:
        case Normal():
            return Fate(number, End.NORMAL)
        case Shutdown(detail=detail):
            return Fate(number, End.SHUTDOWN, _sendable(detail))
        case Killed():
            return Fate(number, End.KILLED)
        case Crash(error=error):
            told = str(error) if isinstance(error, FarCrash) else "".join(traceback.format_exception_only(error))
            return Fate(number, End.CRASH, _sendable(told.strip()))
        case NoProc():
            return Fate(number, End.NO_PROC)
        case NoConnection():
            return Fate(number, End.NO_CONNECTION)
        case _:
            assert_never(reason)


def exit_of(fate: Fate) -> Exit:
    """Return the exit reason that was told; a crash is one with a `FarCrash`, which has its text."""
    match fate.end:
        case End.NORMAL:
            return Normal()
        case End.SHUTDOWN:
            return Shutdown(fate.detail)
        case End.KILLED:
            return Killed()
        case End.CRASH:
            return Crash(FarCrash(fate.detail))
        case End.NO_PROC:
            return NoProc()
        case End.NO_CONNECTION | End.NONE:
            return NoConnection()
        case _:
            assert_never(fate.end)


def _sendable(text: str) -> str:
    """Return the beginning of `text`, without what UTF-8 cannot say."""
    return text[:MAX_DETAIL].encode(errors="replace").decode()


__all__ = ["Far", "exit_of", "fate_of"]
