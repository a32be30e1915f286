"""Campaigns played to rehearsal callees: brought to central, run to their end, watched, and disturbed if wanted."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nodes.commands import central
from nodes.commands.captions import Captions
from nodes.commands.stage import Stage
from nodes.links.roster import Roster
from nodes.rehearsal.victims import choose
from protocols.wire.events import CallEvent, Kind

LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Part:
    """One campaign: its plan, its script's text, and its contacts as CSV with `@callees` for the callees' address."""

    campaign: central.Campaign
    script: str
    contacts: str


@dataclass(slots=True)
class Watch:
    """What was seen while the campaigns ran."""

    events: dict[str, CallEvent] = field(default_factory=dict)
    """By event id, in the order in which they came."""
    kills: list[str] = field(default_factory=list)
    restarts: int = 0
    """Processes that have ended since it began, and so been replaced."""

    @property
    def n_heard(self) -> int:
        """Turns so far in which somebody spoke."""
        return sum(event.kind is Kind.HEARD for event in self.events.values())


async def play(stage: Stage, parts: Sequence[Part], captions: Captions, kills: Mapping[int, str]) -> Watch:
    """Run all campaigns at once to their ends and return what was seen.

    `kills`: after so many heard turns, kill -9 the active process of this role. Raises: NodeError.
    """
    watch, n_ended = Watch(), ends(stage.client.roster())
    waiting = dict(kills)

    def take(event: CallEvent) -> None:
        if event.event_id not in watch.events:
            watch.events[event.event_id] = event
            captions.show(event)
        due = [n for n in waiting if event.kind is Kind.HEARD and watch.n_heard >= n]
        for n in due:
            kill(stage, waiting.pop(n), watch, captions)

    await stage.client.events(take)
    for part in parts:
        contacts = part.contacts.replace("@callees", f"@127.0.0.1:{stage.callees_port}").encode()
        await central.bring(stage.client, part.campaign, f"{part.campaign.id}.csv", contacts, part.script)
    for part in parts:
        await central.steer(stage.client, part.campaign.id, "running")
    going = [part.campaign.id for part in parts]
    while going:
        watch.restarts = ends(stage.client.roster()) - n_ended
        going = [one for one in going if not await central.is_done(stage.client, one)]
        await asyncio.sleep(LOOK_S)
    return watch


def ends(roster: Roster) -> int:
    """Return how many processes have ended since the launcher began."""
    return sum(history.n_ended for history in roster.launcher.histories) if roster.launcher else 0


def kill(stage: Stage, role: str, watch: Watch, captions: Captions) -> None:
    """End the active process of a role as nothing but SIGKILL can."""
    if victim := choose(role, {stage.client.config.node.id: stage.client.roster()}):
        os.kill(victim.pid, signal.SIGKILL)
        watch.kills.append(victim.name)
        captions.say(f"kill -9 {victim.pid}: {victim.name} is dead")


__all__ = ["Part", "Watch", "kill", "play"]
