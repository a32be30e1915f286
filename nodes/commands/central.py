"""What commands ask of central: import a list, steer a campaign, wait for its end."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from grammars.script import load
from grammars.script_pack import pack
from nodes.central.contacts import BadContactList
from nodes.central.imports import entries_of
from nodes.commands.client import Client
from nodes.config import ConfigError, Sip
from nodes.dial_plan import barred_by
from nodes.errors import NodeError
from nodes.links.errors import LinkError, Refused
from nodes.links.roster import Peer
from nodes.tables import Reader
from protocols.wire.campaigns import (
    CampaignImported,
    CampaignStatus,
    GetCampaign,
    ImportCampaign,
    Plan,
    Problem,
    SteerCampaign,
    list_parts,
)
from protocols.wire.ids import CampaignId
from protocols.wire.journal import Listed

IMPORT_S = 60.0
LOOK_S = 0.5
LEAD_S = 30.0
"""So long may it take until a central leads: a lease that its last holder did not give back runs out after 15 s."""
IN_WORDS = {
    "unknown_campaign": "there is no such campaign (import it: ringmaster campaign import)",
    "not_leading": "central does not lead yet; try again in a few seconds",
    "list_too_long": "the contact list is too long",
}
"""What central refuses with, for people."""


class BadList(NodeError):
    """The contact list, the script or the plan is not right; `problems` says where."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(_at, self.problems)))


class Declined(NodeError):
    """Central says no, or does not answer."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign as its file says: the plan, and under which name it runs."""

    id: CampaignId
    plan: Plan = field(default_factory=Plan)


def read_campaign(path: Path) -> Campaign:
    """Read a campaign's TOML file: `id`, and a table `plan`. Raises: ConfigError with file and key, OSError."""
    try:
        return Reader(str(path), path.parent).table(Campaign, tomllib.loads(path.read_text(encoding="utf-8")), "")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), "", f"is not TOML: {error}") from error


def check(campaign: Campaign, file: str, contacts: bytes, script: str, sip: Sip) -> int:
    """Return how many contacts there are, if central would take them with this plan and script. Raises: BadList."""
    order = ImportCampaign(campaign.id, file, len(contacts), script, campaign.plan)
    trunks = [trunk.name for trunk in sip.trunks]
    try:
        entries = entries_of(
            order, pack(load(script)), contacts, import_id="check", key=bytes(32), trunks=trunks,
            wall=datetime.now(UTC), barred=barred_by(sip),
        )  # fmt: skip
    except BadContactList as error:
        raise BadList(error.problems) from error
    return sum(len(entry.contacts) for entry in entries if isinstance(entry, Listed))


async def bring(client: Client, campaign: Campaign, file: str, contacts: bytes, script: str) -> int:
    """Import a campaign; return how many contacts it has. Raises: BadList, Declined."""
    central = (await _leading(client)).identity
    try:
        for part in list_parts(contacts):
            await client.mesh.ask(central, part)
        order = ImportCampaign(campaign.id, file, len(contacts), script, campaign.plan)
        imported: CampaignImported = await client.mesh.ask(central, order, timeout_s=IMPORT_S)
    except LinkError as error:
        raise _declined(campaign.id, error) from error
    if imported.problems:
        raise BadList(imported.problems)
    return imported.contacts


async def steer(client: Client, campaign_id: CampaignId, phase: str) -> CampaignStatus:
    """Have the campaign `running`, `paused` or `stopped`. Raises: Declined."""
    try:
        return await client.mesh.ask(client.one("central").identity, SteerCampaign(campaign_id, phase))
    except LinkError as error:
        raise _declined(campaign_id, error) from error


async def status(client: Client, campaign_id: CampaignId) -> CampaignStatus:
    """Return how it is going. Raises: Declined."""
    try:
        return await client.mesh.ask(client.one("central").identity, GetCampaign(campaign_id))
    except LinkError as error:
        raise _declined(campaign_id, error) from error


async def is_done(client: Client, campaign_id: CampaignId) -> bool:
    """Return whether nobody is left to call, and no call is up. Raises: Declined."""
    now = await status(client, campaign_id)
    return now.done == now.contacts


async def _leading(client: Client) -> Peer:
    """Return the central process once it leads."""
    deadline = asyncio.get_running_loop().time() + LEAD_S
    while True:
        peer = client.one("central")
        try:
            await client.mesh.ask(peer.identity, GetCampaign(CampaignId("none")))
        except Refused as error:
            if error.reason != "not_leading":
                return peer
        except LinkError:
            pass
        if asyncio.get_running_loop().time() > deadline:
            raise Declined(f"no central process leads after {LEAD_S:g} s")
        await asyncio.sleep(LOOK_S)


def _declined(campaign_id: CampaignId, error: LinkError) -> Declined:
    reason = IN_WORDS.get(error.reason, error.reason) if isinstance(error, Refused) else str(error)
    return Declined(f"campaign {campaign_id}: {reason}")


def _at(problem: Problem) -> str:
    """Return `file:line: column: reason`; what belongs to no line names no line."""
    where = f"{problem.file}:{problem.line}" if problem.line else problem.file
    return ": ".join(word for word in (where, problem.column, problem.reason) if word)


__all__ = ["BadList", "Campaign", "Declined", "bring", "check", "is_done", "read_campaign", "status", "steer"]
