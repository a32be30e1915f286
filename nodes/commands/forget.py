"""`ringmaster forget`: a person who wants to be, out of everything that any node keeps; and the proof that they are.

Central writes down that they are to be forgotten, and every process that keeps something of people removes it; a node
that is away does so when it is back. A proof looks for their number, and for words of theirs, in every byte.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nodes.commands.client import Client, configured, connected
from nodes.commands.terminal import ENDING, emit
from nodes.errors import NodeError
from nodes.links.errors import LinkError, Refused
from nodes.links.removed import KEEPERS, OLD_CENTRAL, process_name, removed_everywhere
from nodes.links.roster import Peer
from nodes.people import NotAPerson, person
from protocols.errors import RemoteProtocolError
from protocols.sip.written import pattern_of, pattern_of_words
from protocols.wire.campaigns import ContactForgotten, ForgetContact
from protocols.wire.cluster import NodeState
from protocols.wire.forgetting import Find, GetForgotten, GetRemoved, Person, Removed, Sought, person_of
from protocols.wire.ids import CallId, NodeId, node_of

ASK_S: Final = 30.0
FIND_S: Final = 600.0
"""So long may a node take to read all its files: 100 MB a second."""
LOOK_S: Final = 0.5
IN_WORDS: Final = {
    "call_is_up": "somebody is on the telephone with them, or it rings: nothing was forgotten of this call; when it is "
    "over, do it again",
    "too_many_calls": "more calls than can be named at once",
    "bad_call": "--call: is no call's name",
    "not_leading": "no central leads just now; try again in a few seconds",
}


class NotForgotten(NodeError):
    """Central does not answer, or refuses; nothing was done, or all of it will be."""


class BadPerson(NodeError):
    """What was given is no number and no SIP URI."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Who, and what is looked for."""
    parser.add_argument("who", nargs="?", metavar="NUMBER", help="with + and the country code, or a SIP URI")
    parser.add_argument("--call", action="append", default=[], metavar="ID", help="a single call with them, as well")
    parser.add_argument("--prove", action="store_true", help="then look for their number, in everything")
    parser.add_argument("--words", action="append", default=[], metavar="TEXT", help="and for this text of theirs")
    parser.add_argument("--only-prove", action="store_true", help="forget nobody: only look")
    parser.add_argument("--list", action="store_true", help="who was forgotten, as hashes: keep it beside old backups")
    parser.add_argument("--within", type=float, default=60.0, metavar="S", help="how long to wait for all nodes")
    parser.add_argument("--json", action="store_true", help="JSON, one object a line")


def run(args: argparse.Namespace) -> int:
    """0: all of it is done, and nothing was found; 1: something is left, or somebody did not answer."""
    return ENDING.run(carry_out(args))


async def carry_out(args: argparse.Namespace) -> int:
    """Do what is asked for, and return the exit status. Raises: BadPerson, NotForgotten, NotUp."""
    if args.list:
        return await _list(args)
    if not args.who:
        raise BadPerson("whom? (ringmaster forget +493012345678)")
    try:
        patterns = [pattern_of(person(args.who)), *map(pattern_of_words, filter(str.strip, args.words))]
    except NotAPerson as error:
        raise BadPerson(f"this {error}") from error
    is_done = True
    async with connected(configured(args)) as client:
        if not args.only_prove:
            is_done = await _removed(args, client)
        if args.prove or args.only_prove:
            is_done &= await _prove(args, client, patterns)
    return 0 if is_done else 1


async def _removed(args: argparse.Namespace, client: Client) -> bool:
    """Have them forgotten, wait for all who keep something, and say what became of it; whether all is done."""
    told = await _asked(client, ForgetContact(args.who, tuple(map(CallId, args.call))))
    if told.at is None:
        raise NotForgotten(OLD_CENTRAL)
    give_up_s, said = time.monotonic() + args.within, dict[str, Removed | None]()
    while True:
        said = await _every(client, GetRemoved(told.contact_id, told.at))
        if all(one and one.is_done for one in said.values()) or time.monotonic() >= give_up_s:
            break
        await asyncio.sleep(LOOK_S)
    if not args.json:
        print(f"{told.contact_id}: forgotten in {told.campaigns} campaigns, and never dialled there again")
    for who, one in sorted(said.items()):
        _show(args, who, one)
    away = await _away(client)
    for node in away:
        _tell(args, {"node": node, "state": "away"}, f"{node}: away; it forgets them when it is back")
    return not away and all(one and one.is_done for one in said.values())


async def _asked(client: Client, wanted: ForgetContact) -> ContactForgotten:
    try:
        return await client.ask("central", wanted, ASK_S)
    except LinkError as error:
        word = error.reason if isinstance(error, Refused) else str(error)
        raise NotForgotten(IN_WORDS.get(word, word)) from error


async def _every(client: Client, asked: GetRemoved) -> dict[str, Removed | None]:
    """Ask everybody who keeps something; None: no answer."""
    keepers = {role: await client.everywhere(role) for role in KEEPERS}
    return await removed_everywhere(client.mesh, keepers, asked, ASK_S)


async def _prove(args: argparse.Namespace, client: Client, patterns: Sequence[str]) -> bool:
    """Look in everything; whether nothing was found, and nobody was silent."""
    peers = [peer for role in KEEPERS for peer in await client.everywhere(role)]
    first: dict[NodeId, Peer] = {}
    for peer in peers:
        first.setdefault(node_of(peer.identity), peer)

    async def one(peer: Peer) -> tuple[Peer, Sequence[Sought] | None]:
        is_first = first[node_of(peer.identity)] == peer
        try:
            return peer, (await client.mesh.ask(peer.identity, Find(tuple(patterns), is_first), FIND_S)).places
        except LinkError:
            return peer, None

    is_clean = True
    for peer, places in await asyncio.gather(*map(one, peers)):
        name = process_name(peer.identity)
        if places is None:
            is_clean = False
            _tell(
                args,
                {"process": process_name(peer.identity), "state": "silent"},
                f"{process_name(peer.identity)}: silent, so not looked through",
            )
        for place in places or ():
            is_clean &= not place.found and not place.note
            _show_sought(args, name, place)
    for node in await _away(client):
        is_clean = False
        _tell(args, {"node": node, "state": "away"}, f"{node}: away: not looked through")
    if not args.json:
        print("proven: nothing is left" if is_clean else "not proven", file=sys.stdout)
    return is_clean


async def _away(client: Client) -> list[NodeId]:
    """Return the nodes of the cluster that do not answer."""
    if not client.config.cluster.is_joined:
        return []
    nodes = [one.member for one in (await client.cluster()).nodes]
    return sorted(member.word.node for member in nodes if member.state is not NodeState.ALIVE)


def _show(args: argparse.Namespace, who: str, one: Removed | None) -> None:
    if one is None:
        _tell(args, {"process": who, "state": "silent"}, f"{who}: did not answer")
        return
    for place in one.places:
        line = {"process": who, "place": place.place, "looked": place.looked, "removed": place.removed}
        note = f" ({place.note})" if place.note else ""
        _tell(
            args, {**line, "note": place.note}, f"{who}: {place.place}: {place.removed} of {place.looked} removed{note}"
        )
    if not one.is_done:
        _tell(args, {"process": who, "state": "not done"}, f"{who}: not done yet")


def _show_sought(args: argparse.Namespace, who: str, place: Sought) -> None:
    line = {"process": who, "place": place.place, place.unit: place.looked, "found": list(place.found)}
    words = f"FOUND in {', '.join(place.found)}" if place.found else "nothing found"
    note = f"; {place.note}" if place.note else ""
    _tell(args, {**line, "note": place.note}, f"{who}: {place.place}: {place.looked} {place.unit}, {words}{note}")


def _tell(args: argparse.Namespace, row: dict[str, object], line: str) -> None:
    if args.json:
        emit(row)
    else:
        print(line)


async def _list(args: argparse.Namespace) -> int:
    """Print who was forgotten."""
    async with connected(configured(args)) as client:
        for one in await forgotten(client):
            emit({"contact_id": one.contact_id, **one.body()})
    return 0


async def forgotten(client: Client) -> list[Person]:
    """Return all who were ever forgotten. Raises: NotForgotten."""
    people, after, is_last = list[Person](), "", False
    try:
        while not is_last:
            page = await client.ask("central", GetForgotten(after), ASK_S)
            people += page.people
            is_last, after = page.is_last, people[-1].contact_id if people else ""
    except LinkError as error:
        raise NotForgotten(str(error)) from error
    return people


def read_list(path: Path) -> list[Person]:
    """Read what `--list` has printed. Raises: BadPerson, with file and line; OSError."""
    people = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            body = json.loads(line)
            people.append(person_of(str(body["contact_id"]), body))
        except (ValueError, LookupError, TypeError, RemoteProtocolError) as error:
            raise BadPerson(f"{path}:{number}: is no line of `ringmaster forget --list`: {error}") from error
    return people


__all__ = ["BadPerson", "NotForgotten", "carry_out", "describe", "forgotten", "read_list", "run"]
