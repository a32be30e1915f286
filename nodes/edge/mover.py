"""Calls moved on purpose, each to its heir: it goes on here until its far end has agreed to be there.

What it does: gives records away, brings what the two edges have to say to each other about a call on its way, and moves
many, some at a time. What it does not: choose them (`departures`), decide when a call may go, or what it does meanwhile
(`nodes.call.moving`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Final

from nodes.call.effects import Arrived, GiveBack, HandOn, Moving
from nodes.call.inputs import CameBack, Leaving, Left, LetGo
from nodes.call.moving import AGREES_S, brought, is_movable
from nodes.call.record import UP, CallRecord, pack, unpack
from nodes.edge.arrivals import have_ready
from nodes.edge.departures import Departures, may_go, n_of
from nodes.edge.holder import Holder
from nodes.edge.line import NoMedia
from nodes.edge.ownership import Ownership
from nodes.edge.services import EdgeServices
from nodes.edge.trunk import Unreachable
from nodes.links.errors import LinkError, Refused
from nodes.telemetry import logs
from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.wire.cluster import Member, NodeState
from protocols.wire.desk import MoveShare, ShareMoves
from protocols.wire.ids import CallId, Identity, NodeId, PromptHash, node_of
from protocols.wire.messages import Done
from protocols.wire.takeover import CallArrived, CallCameBack, CallLeft, MoveCall

log = logs.get(__name__)
AT_ONCE: Final = 8
"""Moves under way: each is a re-INVITE that waits for its answer."""
LOOK_S: Final = 0.1
"""Until the next look at who can be moved now, or whether a place among `AT_ONCE` is free."""
TAKES_S: Final = 3.0
ENDS_S: Final = AGREES_S + 5.0
"""What becomes of a move is known by then, or never."""


class Mover:
    """`calls`: who has ours. `is_here`: whether prompts are on this disk. `spawn`: runs what waits for others."""

    def __init__(
        self, services: EdgeServices, calls: Holder, ownership: Ownership,
        is_here: Callable[[Sequence[PromptHash]], bool], spawn: Callable[[Coroutine[object, object, None]], object],
    ) -> None:  # fmt: skip
        self._services, self._calls, self._ownership, self._spawn = services, calls, ownership, spawn
        self._is_here, self._now = is_here, asyncio.get_running_loop().time
        self._to: dict[CallId, tuple[Identity, asyncio.Future[bool]]] = {}
        """Our calls that are on their way, and whom they go to."""
        self._from: dict[CallId, tuple[Identity, int]] = {}
        """Others' calls that come here, from whom, and how often each had moved before."""
        self._departures = Departures()
        self._refused: set[CallId] = set()
        """Of those that are on their way: whose far end does not want to."""
        self._is_moving = False
        self.n_moved = self.n_came_back = 0
        services.moving = self._say
        services.members.on_change(self._changed)

    def serve(self) -> None:
        """Hear from other machines from now on."""
        mesh = self._services.mesh
        mesh.serve(MoveCall, self._come)
        mesh.serve(CallArrived, self._arrived)
        mesh.serve(CallLeft, self._left)
        mesh.serve(CallCameBack, self._came_back)

    # ---- away -------------------------------------------------------------------------------------------------------

    def want(self, is_wanted: bool) -> None:
        """Move every call away, as soon as each may go; or no more of them."""
        self._departures.want_all(is_wanted)
        self._begin()

    def share(self, order: MoveShare) -> ShareMoves:
        """Move a share of the calls that are up. Refuses: `bad_share`, `draining`, `nobody` takes them."""
        if not 0.0 <= order.share <= 1.0:
            raise Refused("bad_share")
        if self._departures.is_all:
            raise Refused("draining")
        if not self._ownership.able:
            raise Refused("nobody")
        records, now, to = [one.record for one in self._calls.stores.values()], self._now(), frozenset(order.to)
        n_up = sum(record.phase in UP for record in records)
        n_able = sum(may_go(record, now, order.rests_s, to) for record in records)
        n = min(n_able, n_of(order.share, n_up))
        self._departures.want(n, now, order.rests_s, to)
        self._begin()
        return ShareMoves(n, n_up)

    def figures(self) -> dict[str, float]:
        """What an operator sees of it. `moving`: calls of a share that have not gone yet."""
        moving = float(self._departures.n_wanted(self._now()))
        return {"moving": moving, "moved": float(self.n_moved), "came_back": float(self.n_came_back)}

    def _begin(self) -> None:
        if not self._is_moving and self._departures.is_on(self._now()):
            self._is_moving = True
            self._spawn(self._move_all())

    async def _move_all(self) -> None:
        while self._departures.is_on(self._now()):
            records = {call_id: one.record for call_id, one in self._calls.stores.items()}
            for call_id in self._departures.next(records, AT_ONCE - len(self._to), self._now()):
                self._spawn(self._depart(call_id))
            await asyncio.sleep(LOOK_S)
        self._is_moving = False

    async def _depart(self, call_id: CallId) -> None:
        if await self.move(call_id):
            self._departures.gone(call_id)
        else:
            self._departures.stays(call_id, self._now(), is_refused=call_id in self._refused)
            self._refused.discard(call_id)

    async def move(self, call_id: CallId) -> bool:
        """Move a call to its heir; say whether it has gone. It goes on, here or there, in any case."""
        store, to = self._calls.stores.get(call_id), self._ownership.heir_of(call_id)
        if store is None or to is None or call_id in self._to or not is_movable(store.record):
            return False
        if self._calls.is_asleep(call_id):
            return False
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._to[call_id] = to, done
        try:
            await self._services.mesh.ask(to, MoveCall(call_id, pack(store.record)), timeout_s=TAKES_S)
            self._calls.tell(call_id, Leaving())
            async with asyncio.timeout(ENDS_S):
                return await done
        except TimeoutError:
            self._lost(call_id)
            return False
        except Refused as error:
            log.warning("call.not_moved", call_id=call_id, reason=error.reason)
            return False
        except LocalProtocolError as error:  # it is too long for a message: this call alone cannot go
            log.error("call.not_moved", call_id=call_id, reason=str(error))
            self._refused.add(call_id)
            return False
        except LinkError:  # perhaps it has asked the far end already
            self._calls.tell(call_id, Leaving())
            self._lost(call_id)
            return False
        finally:
            del self._to[call_id]

    def _arrived(self, given: CallArrived, sender: Identity) -> None:
        to, _ = self._to.get(given.call_id, (None, None))
        if to == sender and given.call_id in self._calls.stores:
            self._calls.tell(given.call_id, LetGo())
            return
        self._services.mesh.tell(sender, CallLeft(given.call_id, b""))
        if given.call_id in self._calls.stores:  # we have not waited for it
            self._calls.tell(given.call_id, Leaving())
            self._lost(given.call_id)

    def _changed(self, member: Member) -> None:
        """Who was to have our calls is dead: it has not said what their far ends had agreed to."""
        if member.state is NodeState.DEAD:
            for call_id, (to, done) in self._to.items():
                if node_of(to) == member.word.node and not done.done():
                    self._lost(call_id)
                    done.set_result(False)

    def _lost(self, call_id: CallId) -> None:
        """Have the far end asked whether it is ours still: it may be sending to where nobody is."""
        log.warning("call.not_moved", call_id=call_id, reason="no word from there")
        self._calls.tell(call_id, CameBack(0))

    def _came_back(self, given: CallCameBack, sender: Identity) -> None:
        to, done = self._to.get(given.call_id, (None, None))
        if to == sender and done is not None:
            self.n_came_back += 1
            self._refused.add(given.call_id)
            self._calls.tell(given.call_id, CameBack(given.code))
            if not done.done():
                done.set_result(False)

    # ---- here -------------------------------------------------------------------------------------------------------

    def is_waiting(self, call_id: CallId) -> bool:
        """Say whether a call is here, and another machine's still."""
        store, come = self._calls.stores.get(call_id), self._from.get(call_id)
        return store is not None and come is not None and store.record.n_moves == come[1]

    async def _come(self, given: MoveCall, sender: Identity) -> Done:
        """Have the far end asked. Refuses as `MoveCall` says."""
        if not self._calls.is_active:
            raise Refused("not_active")
        if self._calls.is_draining:
            raise Refused("draining")
        if not self._calls.load.takes():
            raise Refused("node_full")
        if given.call_id in self._calls.stores:
            raise Refused("here_already")
        try:
            record = replace(self._here(given.record, sender), heir=NodeId(""))
            if record.channel and record.channel.playing and not self._is_here(record.channel.playing.prompts):
                raise Refused("no_prompt")  # it is on its way
            moved = await have_ready(self._services, record, 0.0)
        except RemoteProtocolError as error:
            raise Refused("bad_record") from error
        except (NoMedia, Unreachable) as error:
            raise Refused(f"not_reached: {error}") from error
        if given.call_id in self._calls.stores:
            raise Refused("here_already")
        self._from[given.call_id] = sender, record.n_moves
        store = self._calls.keep(record, replace(moved, is_planned=True))
        self._spawn(self._calls.go_on(store))
        return Done()

    def _left(self, given: CallLeft, sender: Identity) -> None:
        come, store = self._from.get(given.call_id), self._calls.stores.get(given.call_id)
        if come is None or come[0] != sender or store is None:
            return
        if not given.record:
            self._calls.tell(given.call_id, LetGo())
            return
        record = self._here(given.record, sender)
        self._calls.tell(given.call_id, Left(replace(record, order=store.record.order, heir=NodeId(""))))

    def _here(self, packed: bytes, sender: Identity) -> CallRecord:
        return brought(unpack(packed), self._services.mesh.clock_of(sender) or 0.0)

    def over(self, call_id: CallId) -> None:
        """A call is not here any more; what it says in this turn is still brought on its way."""
        asyncio.get_running_loop().call_soon(self._forget, call_id)

    def _forget(self, call_id: CallId) -> None:
        self._from.pop(call_id, None)
        _, done = self._to.get(call_id, (None, None))
        if done is not None and not done.done():  # it has ended, or is another's, without us
            done.set_result(False)

    # ---- both -------------------------------------------------------------------------------------------------------

    def _say(self, call_id: CallId, word: Moving) -> None:
        match word:
            case Arrived() if call_id in self._from:
                self._services.mesh.tell(self._from[call_id][0], CallArrived(call_id))
            case GiveBack(code=code) if call_id in self._from:
                self._services.mesh.tell(self._from[call_id][0], CallCameBack(call_id, code))
            case HandOn(record=record) if call_id in self._to:
                to, done = self._to[call_id]
                left = pack(replace(record, order=replace(record.order, script=b""))) if record else b""
                self._services.mesh.tell(to, CallLeft(call_id, left))
                self.n_moved += record is not None
                if not done.done():
                    done.set_result(record is not None)
            case _:
                log.error("call.says_to_nobody", call_id=call_id, word=type(word).__name__)


__all__ = ["AT_ONCE", "Mover"]
