"""What commands ask of central: import a list, steer a campaign, wait for its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from grammars.script_model import Script
from nodes.central.contacts import BadContactList
from nodes.central.imports import listing, plan_problems, recording_problems
from nodes.commands.client import Client
from nodes.config import ConfigError, Sip
from nodes.dial_plan import barred_by
from nodes.errors import NodeError
from nodes.links.errors import LinkError, Refused
from nodes.links.roster import Peer
from nodes.tables import Reader, toml
from protocols.wire.campaigns import (
    LIST_PART,
    BeginImport,
    CampaignImported,
    CampaignStatus,
    CommitImport,
    GetCampaign,
    ImportBegun,
    ListPart,
    ListTaken,
    Plan,
    Problem,
    SteerCampaign,
)
from protocols.wire.ids import CampaignId, Identity
from protocols.wire.scale import GetScale, ScaleAdvice

PART_S = 60.0
"""So long may it take until a part of a list is read; a second is much."""
COMMIT_S = 300.0
"""And until all of it is stored, which may wait for an election at NATS."""
LOOK_S = 0.5
LEAD_S = 30.0
"""So long may it take until a central leads: a lease that its last holder did not give back runs out after 15 s."""
IN_WORDS = {
    "unknown_campaign": "there is no such campaign (import it: ringmaster campaign import)",
    "not_leading": "central does not lead yet; try again in a few seconds",
    "importing": "another list is being imported; try again when it is done",
    "unknown_import": "central has given this import up, or another central leads now; nothing was imported, try again",
    "not_read": "central could not read the list to its end (its log says why); nothing was imported",
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
        return Reader(str(path), path.parent).table(Campaign, toml(path.read_text(encoding="utf-8"), str(path)), "")
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), "", f"is not TOML: {error}") from error


def check(campaign: Campaign, file: str, contacts: BinaryIO, script: Script, sip: Sip) -> int:
    """Return how many contacts there are, if central would take them with this plan and script. Raises: BadList."""
    plan, trunks = campaign.plan, [trunk.name for trunk in sip.trunks]
    request = BeginImport(campaign.id, file, "", plan)
    if problems := [*plan_problems(request, trunks), *recording_problems(plan, script)]:
        raise BadList(problems)
    try:
        found = listing(
            file, contacts, plan=plan, script=script, key=bytes(32), trunks=trunks, barred=barred_by(sip)
        )  # fmt: skip
        return sum(1 for _ in found)
    except BadContactList as error:
        raise BadList(error.problems) from error


async def bring(
    client: Client,
    campaign: Campaign,
    file: str,
    contacts: bytes | Iterable[bytes],
    script: str,
    progress: Callable[[ListTaken], object] = lambda taken: None,
) -> int:
    """Import a campaign; return how many contacts it has. Raises: BadList, Declined.

    `contacts`: the list's bytes, at once or as they come. `progress`: told what central has read by now.
    """
    central = (await _leading(client)).identity
    request = BeginImport(campaign.id, file, script, campaign.plan)
    try:
        begun: ImportBegun = await client.mesh.ask(central, request, timeout_s=PART_S)
        if begun.problems:
            raise BadList(begun.problems)
        try:
            n_bytes = await _send(client, central, begun.import_id, contacts, progress)
        except (asyncio.CancelledError, OSError):
            with suppress(LinkError):  # what is incomplete is given up at once
                await client.mesh.ask(central, CommitImport(begun.import_id, -1))
            raise
        imported: CampaignImported = await client.mesh.ask(
            central, CommitImport(begun.import_id, n_bytes), timeout_s=COMMIT_S
        )
    except LinkError as error:
        raise _declined(campaign.id, error) from error
    if imported.problems:
        raise BadList(imported.problems)
    return imported.contacts


async def _send(
    client: Client,
    central: Identity,
    import_id: str,
    contacts: bytes | Iterable[bytes],
    progress: Callable[[ListTaken], object],
) -> int:
    """Send a list as it comes; return how many bytes it had."""
    n_bytes = 0
    for data in _parts(contacts):
        taken: ListTaken = await client.mesh.ask(central, ListPart(import_id, n_bytes, data), timeout_s=PART_S)
        n_bytes = taken.n_bytes
        progress(taken)
        if taken.is_over:
            break
    return n_bytes


async def steer(client: Client, campaign_id: CampaignId, phase: str) -> CampaignStatus:
    """Have the campaign `running`, `paused` or `stopped`. Raises: Declined."""
    try:
        return await client.ask("central", SteerCampaign(campaign_id, phase))
    except LinkError as error:
        raise _declined(campaign_id, error) from error


async def status(client: Client, campaign_id: CampaignId) -> CampaignStatus:
    """Return how it is going. Raises: Declined."""
    try:
        return await client.ask("central", GetCampaign(campaign_id))
    except LinkError as error:
        raise _declined(campaign_id, error) from error


async def is_done(client: Client, campaign_id: CampaignId) -> bool:
    """Return whether nobody is left to call, and no call is up. Raises: Declined."""
    now = await status(client, campaign_id)
    return now.done == now.contacts


async def scale(client: Client) -> ScaleAdvice:
    """Return how many machines with an edge there should be. Raises: Declined."""
    try:
        return await client.ask("central", GetScale())
    except LinkError as error:
        reason = IN_WORDS.get(error.reason, error.reason) if isinstance(error, Refused) else str(error)
        raise Declined(reason) from error


async def _leading(client: Client) -> Peer:
    """Return the central process once it leads."""
    deadline = asyncio.get_running_loop().time() + LEAD_S
    while True:
        for peer in await client.everywhere("central"):
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


def _parts(contacts: bytes | Iterable[bytes]) -> Iterator[bytes]:
    """Cut what comes into parts that a message holds."""
    for chunk in (contacts,) if isinstance(contacts, bytes) else contacts:
        for at in range(0, len(chunk), LIST_PART):
            yield chunk[at : at + LIST_PART]


def _declined(campaign_id: CampaignId, error: LinkError) -> Declined:
    reason = IN_WORDS.get(error.reason, error.reason) if isinstance(error, Refused) else str(error)
    return Declined(f"campaign {campaign_id}: {reason}")


def _at(problem: Problem) -> str:
    """Return `file:line: column: reason`; what belongs to no line names no line."""
    where = f"{problem.file}:{problem.line}" if problem.line else problem.file
    return ": ".join(word for word in (where, problem.column, problem.reason) if word)


__all__ = [
    "BadList", "Campaign", "Declined", "bring", "check", "is_done", "read_campaign", "scale", "status",
    "steer",
]  # fmt: skip
