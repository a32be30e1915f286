"""What operators ask of central, over the mesh: import a campaign, steer it, look at it. Only the leader answers."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Collection

from grammars.errors import ScriptError
from nodes.central.campaign import Campaign
from nodes.central.contacts import BadContactList
from nodes.central.imports import entries_of, script_problems
from nodes.central.leader import Leader
from nodes.central.memory import Memory
from nodes.checking import Scripts
from nodes.dial_plan import Barred, nothing_barred
from nodes.links.errors import Refused
from nodes.links.mesh import Mesh
from nodes.telemetry import logs
from protocols.wire import campaigns as wire
from protocols.wire.ids import CampaignId, Identity
from protocols.wire.journal import Phase, Steered

MAX_LIST = 64 * 1024 * 1024
"""Bytes of a contact list: a million contacts with a few columns."""
STEERABLE = (Phase.RUNNING, Phase.PAUSED, Phase.STOPPED)

log = logs.get(__name__)


class Requests:
    """The handlers. `leader` is set while this process leads."""

    def __init__(self, memory: Memory, key: bytes, trunks: Collection[str], barred: Barred = nothing_barred) -> None:
        self._memory, self._key, self._trunks, self._barred = memory, key, trunks, barred
        self._lists: dict[Identity, bytearray] = {}
        self._importing = asyncio.Lock()
        self._scripts = Scripts()
        self.leader: Leader | None = None

    def serve(self, mesh: Mesh) -> None:
        """Answer from now on."""
        mesh.serve(wire.ListPart, self.take_part)
        mesh.serve(wire.ImportCampaign, self.take_campaign)
        mesh.serve(wire.SteerCampaign, self.steer)
        mesh.serve(wire.GetCampaign, self.get)
        mesh.serve(wire.ListCampaigns, self.all)

    def take_part(self, part: wire.ListPart, sender: Identity) -> wire.ListTaken:
        """Keep a part of the sender's list; one list at a time is kept, the newest."""
        self._leading()
        if part.offset == 0:
            self._lists = {sender: bytearray()}
        taken = self._lists.get(sender, bytearray())
        if part.offset != len(taken):
            raise Refused("wrong_offset")
        if len(taken) + len(part.data) > MAX_LIST:
            raise Refused("list_too_long")
        taken += part.data
        return wire.ListTaken(len(taken))

    async def take_campaign(self, request: wire.ImportCampaign, sender: Identity) -> wire.CampaignImported:
        """Check everything, and write it down if all of it is right. Reading the list is another thread's work."""
        self._leading()
        data = bytes(self._lists.pop(sender, b""))
        if len(data) != request.n_bytes:
            raise Refused("list_incomplete")
        async with self._importing:
            if request.campaign_id in self._memory.campaigns.campaigns:
                raise Refused("campaign_exists")
            try:
                return await self._import(request, data)
            except BadContactList as bad:
                return wire.CampaignImported(0, bad.problems)

    async def steer(self, request: wire.SteerCampaign, sender: Identity) -> wire.CampaignStatus:
        """Have a campaign running, paused or stopped."""
        leader, campaign = self._leading(), self._campaign(request.campaign_id)
        phase = next((phase for phase in STEERABLE if phase.value == request.phase), None)
        if phase is None:
            raise Refused("unknown_phase")
        if campaign.phase is Phase.STOPPED and phase is not Phase.STOPPED:
            raise Refused("campaign_stopped")
        if phase is not campaign.phase:
            log.info("campaign.steered", campaign_id=campaign.campaign_id, phase=phase.value)
            await self._memory.write(Steered(campaign.campaign_id, phase, campaign.at(self._memory.clock.wall())))
        return leader.status(campaign)

    def get(self, request: wire.GetCampaign, sender: Identity) -> wire.CampaignStatus:
        """Say how a campaign is going."""
        return self._leading().status(self._campaign(request.campaign_id))

    def all(self, request: wire.ListCampaigns, sender: Identity) -> wire.Campaigns:
        """Say how all campaigns are going."""
        leader = self._leading()
        return wire.Campaigns(tuple(map(leader.status, self._memory.campaigns.campaigns.values())))

    async def _import(self, request: wire.ImportCampaign, data: bytes) -> wire.CampaignImported:
        try:
            packed = await self._scripts.packed(request.script)
        except ScriptError as error:
            return wire.CampaignImported(0, script_problems(error))
        entries = await asyncio.to_thread(
            entries_of,
            request,
            packed,
            data,
            import_id=secrets.token_hex(8),
            key=self._key,
            trunks=self._trunks,
            barred=self._barred,
            wall=self._memory.clock.wall(),
        )
        for entry in entries:
            await self._memory.write(entry)
        n_contacts = len(self._campaign(request.campaign_id).contacts)
        log.info("campaign.imported", campaign_id=request.campaign_id, contacts=n_contacts)
        return wire.CampaignImported(n_contacts)

    def _leading(self) -> Leader:
        if self.leader is None:
            raise Refused("not_leading")
        return self.leader

    def _campaign(self, name: CampaignId) -> Campaign:
        campaign = self._memory.campaigns.campaigns.get(name)
        if campaign is None:
            raise Refused("unknown_campaign")
        return campaign


__all__ = ["Requests"]
