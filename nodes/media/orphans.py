"""Media and edge made to agree: the edges are asked whose each channel is, and what is nobody's is closed.

A channel belongs to a call of an edge. When that edge has died, its successor claims the channel by saying what it
wants of it, or says that it is not its own; an edge that lives may have forgotten one, too: a word to close it was
lost, or it was opened after its asker had given up. `N_DENIED` looks, `LOOK_S` apart, must find it so, for a call may
be on its way. Closing publishes the recording; the callee is hung up on by the edge, which has the call's record.

The question goes to every edge, also with no channel in it: from what is not in it an edge learns what this process
has missed, and tells that again. So a message that was lost is a hole of one look, whatever lost it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Final, TypeAlias

from nodes.links.errors import LinkError
from nodes.links.roster import NOBODY, Roster
from nodes.media.plane import MediaPlane
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.reconcile import FindChannels

log = logs.get(__name__)
LOOK_S: Final = 2.0
N_DENIED: Final = 2
N_ALONE: Final = 15
"""Its edge is dead, and no other one answers, or has it: after half a minute nobody waits for one any more."""

Answers: TypeAlias = Mapping[Identity, Set[ChannelId] | None]
"""Which channels each edge has said to be its own; None: it has not answered."""


class Unowned:
    """How many looks in a row each channel was nobody's. Pure."""

    def __init__(self) -> None:
        self._denied: Counter[ChannelId] = Counter()
        self._alone: Counter[ChannelId] = Counter()

    def look(
        self,
        owners: Mapping[ChannelId, Identity],
        active: Sequence[Identity],
        answers: Answers,
        *,
        are_all: bool = True,
    ) -> Set[ChannelId]:
        """Take the answers of one look; return the channels to close. `active`: the edges that there are.

        `are_all`: none of them is between two lives; its successor may own what no other does.
        """
        for counts in (self._denied, self._alone):
            for channel_id in counts.keys() - owners.keys():
                del counts[channel_id]
        for channel_id, owner in owners.items():
            answer = answers.get(owner)
            is_asked_alone = answer is not None or owner in active
            given = [answer] if is_asked_alone else [answers.get(edge) for edge in active]
            if any(owned is not None and channel_id in owned for owned in given):
                del self._denied[channel_id]
                del self._alone[channel_id]
            elif given and None not in given and (are_all or is_asked_alone):
                self._denied[channel_id] += 1
            elif owner not in active:
                self._alone[channel_id] += 1
        return {channel_id for channel_id, n in self._denied.items() if n >= N_DENIED} | {
            channel_id for channel_id, n in self._alone.items() if n >= N_ALONE
        }


def asked_of(owner: Identity, active: Sequence[Identity]) -> Sequence[Identity]:
    """Return who is asked about a channel: its owner; all edges, too, when that is in no roster.

    It may be a guest that lives, and then its word counts; who has died fails to answer at once.
    """
    return [owner] if owner in active else [owner, *active]


class Orphans:
    """Looks for them, in one media process; a spare has its own to look after."""

    def __init__(self, plane: MediaPlane, mesh: Mesh) -> None:
        self._plane, self._mesh = plane, mesh
        self._unowned = Unowned()
        self.roster: Roster = NOBODY

    async def watch(self) -> None:
        """Look, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Ask once, every edge that there is, and close what is nobody's."""
        wanted = self._plane.wanted()
        owners = {channel_id: channel.owner for channel_id, channel in wanted.items()}
        active = [peer.identity for peer in self.roster.active("edge")]
        questions: dict[Identity, dict[ChannelId, int]] = {edge: {} for edge in active}
        for channel_id, channel in wanted.items():
            for edge in asked_of(channel.owner, active):
                questions.setdefault(edge, {})[channel_id] = channel.revision
        found = await asyncio.gather(*(self._ask(edge, channels) for edge, channels in questions.items()))
        now = self._plane.wanted()  # whatever was claimed or closed meanwhile is not looked at
        same = {
            channel_id: owner
            for channel_id, owner in owners.items()
            if channel_id in now and now[channel_id].owner == owner
        }
        answers, are_all = dict(zip(questions, found, strict=True)), len(active) >= self.roster.n_wanted("edge")
        for channel_id in self._unowned.look(same, active, answers, are_all=are_all):
            log.warning("channel.orphaned", channel_id=channel_id, owner=owners[channel_id])
            self._plane.orphaned(channel_id)

    async def _ask(self, edge: Identity, channels: dict[ChannelId, int]) -> Set[ChannelId] | None:
        try:
            return set((await self._mesh.ask(edge, FindChannels(channels), timeout_s=LOOK_S)).channels)
        except LinkError:
            return None


__all__ = ["LOOK_S", "N_ALONE", "N_DENIED", "Orphans", "Unowned"]
