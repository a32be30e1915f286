"""What operators ask of central, over the mesh: import a campaign, steer it, look at it. Only the leader answers."""

from __future__ import annotations

import asyncio
from datetime import datetime

from nodes.central.campaign import Campaign
from nodes.central.importing import Importer
from nodes.central.leader import Leader
from nodes.central.memory import Memory
from nodes.links.errors import BusAway, ObjectBroken, Refused
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from nodes.mesh.pieces import is_name
from nodes.people import NotAPerson, person
from nodes.telemetry import logs
from protocols.wire import campaigns as wire
from protocols.wire.campaigns import contact_id
from protocols.wire.forgetting import (
    MOST_CALLS,
    MOST_PEOPLE,
    ForgetAgain,
    ForgottenPeople,
    GetForgotten,
    GetRemoved,
    Person,
    Removed,
)
from protocols.wire.ids import CampaignId, Identity
from protocols.wire.journal import CampaignPhase, Forgotten, Steered
from protocols.wire.scale import GetScale, ScaleAdvice

SWEEP_S = 5.0
"""How long a new leader may take to tidy up before it imports anything."""
STEERABLE = (CampaignPhase.RUNNING, CampaignPhase.PAUSED, CampaignPhase.STOPPED)

log = logs.get(__name__)


class Requests:
    """The handlers. `leader`, and `term`, the tasks of its term, are set while this process leads."""

    def __init__(self, memory: Memory, importer: Importer, key: bytes) -> None:
        self._memory, self._importer, self._key = memory, importer, key
        self.leader: Leader | None = None
        self.term: Tasks | None = None

    def serve(self, mesh: Mesh) -> None:
        """Answer from now on."""
        mesh.serve(wire.BeginImport, self.begin_import)
        mesh.serve(wire.ListPart, self.take_part)
        mesh.serve(wire.CommitImport, self.commit_import)
        mesh.serve(wire.SteerCampaign, self.steer)
        mesh.serve(wire.GetCampaign, self.get)
        mesh.serve(wire.ListCampaigns, self.all)
        mesh.serve(wire.GetScript, self.script)
        mesh.serve(wire.ForgetContact, self.forget)
        mesh.serve(GetScale, self.scale)
        mesh.serve(wire.TakeSnapshot, self.take_snapshot)
        mesh.serve(ForgetAgain, self.forget_again)
        mesh.serve(GetForgotten, self.forgotten)
        mesh.serve(GetRemoved, self.removed)

    async def begin_import(self, request: wire.BeginImport, sender: Identity) -> wire.ImportBegun:
        """Take plan and script, and expect a list."""
        leader = self._leading()
        try:
            async with asyncio.timeout(SWEEP_S):
                await leader.memory_store.swept.wait()
        except TimeoutError:
            raise Refused("not_leading") from None
        if self.leader is not leader or self.term is None:
            raise Refused("not_leading")
        return await self._importer.begin(request, self.term)

    async def take_part(self, part: wire.ListPart, sender: Identity) -> wire.ListTaken:
        """Have the next part of the list read."""
        self._leading()
        return await self._importer.take(part)

    async def commit_import(self, request: wire.CommitImport, sender: Identity) -> wire.CampaignImported:
        """Have the campaign exist, if all of the list is right."""
        self._leading()
        return await self._importer.commit(request)

    async def forget(self, request: wire.ForgetContact, sender: Identity) -> wire.ContactForgotten:
        """Forget somebody, in all campaigns."""
        leader = self._leading()
        try:
            name = contact_id(person(request.target), self._key)
        except NotAPerson as error:
            raise Refused(f"bad_target: {error}") from error
        fold = self._memory.campaigns
        if len(request.calls) > MOST_CALLS:
            raise Refused("too_many_calls")
        if not all(map(is_name, request.calls)):
            raise Refused("bad_call")  # what is empty would be in everything
        if name in fold.in_flight:
            raise Refused("call_is_up")
        found = [one for one in fold.campaigns.values() if one.roll.find(name) is not None]
        at = await self._forget(leader, Person(name, self._memory.clock.wall(), request.calls))
        if name in fold.in_flight:
            raise Refused("call_is_up")  # it began in this moment: what it leaves is for whoever asks again
        log.info("contact.forgotten", contact_id=name, campaigns=len(found))
        return wire.ContactForgotten(len(found), name, at)

    async def _forget(self, leader: Leader, wanted: Person) -> datetime:
        await self._memory.write(Forgotten(wanted.contact_id, wanted.at, wanted.calls))
        leader.memory_store.soon()
        leader.forgetting.forgotten.soon()
        return self._memory.campaigns.forgotten[wanted.contact_id].at

    async def take_snapshot(self, request: wire.TakeSnapshot, sender: Identity) -> wire.SnapshotTaken:
        """Have a snapshot of what is known now."""
        try:
            await self._leading().memory_store.keep()
        except (BusAway, ObjectBroken) as error:
            raise Refused(f"not_taken: {error}") from error
        return wire.SnapshotTaken(self._memory.kept or 0)

    async def forget_again(self, request: ForgetAgain, sender: Identity) -> ForgottenPeople:
        """Forget those whom the journal does not know to be forgotten: it is a backup's, which is older."""
        leader, known = self._leading(), self._memory.campaigns.forgotten
        latest = {one.contact_id: one.over(known.get(one.contact_id, one)) for one in request.people}
        news = [one for name, one in latest.items() if known.get(name) != one]
        for one in news:
            await self._forget(leader, one)
        return ForgottenPeople(tuple(news))

    def forgotten(self, asked: GetForgotten, sender: Identity) -> ForgottenPeople:
        """Say who was forgotten, page by page."""
        self._leading()
        people = sorted(self._memory.campaigns.forgotten.values(), key=lambda one: one.contact_id)
        behind = [one for one in people if one.contact_id > asked.after]
        return ForgottenPeople(tuple(behind[:MOST_PEOPLE]), len(behind) <= MOST_PEOPLE)

    async def removed(self, asked: GetRemoved, sender: Identity) -> Removed:
        """Say what central has removed of somebody."""
        return await self._leading().forgetting.removed(asked)

    async def steer(self, request: wire.SteerCampaign, sender: Identity) -> wire.CampaignStatus:
        """Have a campaign running, paused or stopped."""
        leader, campaign = self._leading(), self._campaign(request.campaign_id)
        phase = next((phase for phase in STEERABLE if phase.value == request.phase), None)
        if phase is None:
            raise Refused("unknown_phase")
        if campaign.phase is CampaignPhase.STOPPED and phase is not CampaignPhase.STOPPED:
            raise Refused("campaign_stopped")
        if phase is not campaign.phase:
            log.info("campaign.steered", campaign_id=campaign.campaign_id, phase=phase.value)
            await self._memory.write(Steered(campaign.campaign_id, phase, campaign.at(self._memory.clock.wall())))
        return leader.status(campaign)

    def get(self, request: wire.GetCampaign, sender: Identity) -> wire.CampaignStatus:
        """Say how a campaign is going."""
        return self._leading().status(self._campaign(request.campaign_id))

    def script(self, request: wire.GetScript, sender: Identity) -> wire.CampaignScript:
        """Say what a campaign's calls say."""
        self._leading()
        return wire.CampaignScript(self._campaign(request.campaign_id).script)

    def all(self, request: wire.ListCampaigns, sender: Identity) -> wire.Campaigns:
        """Say how all campaigns are going."""
        leader = self._leading()
        return wire.Campaigns(tuple(map(leader.status, self._memory.campaigns.campaigns.values())))

    def scale(self, request: GetScale, sender: Identity) -> ScaleAdvice:
        """Say how many machines with an edge there should be."""
        if (advice := self._leading().advising.advice) is None:
            raise Refused("not_leading")
        return advice

    def _leading(self) -> Leader:
        if self.leader is None or not self.leader.is_on:
            raise Refused("not_leading")
        return self.leader

    def _campaign(self, name: CampaignId) -> Campaign:
        campaign = self._memory.campaigns.campaigns.get(name)
        if campaign is None:
            raise Refused("unknown_campaign")
        return campaign


__all__ = ["Requests"]
