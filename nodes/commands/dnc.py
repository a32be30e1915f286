"""`ringmaster dnc`: who must not be called. Whoever is put on the list is called by nobody, and rung no longer."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeVar

from nodes.commands.actions import actions, ask_central, operator
from nodes.commands.client import Client, configured, connected
from nodes.commands.terminal import ENDING, emit
from nodes.errors import NodeError
from nodes.links.contact_key import contact_key, fingerprint
from nodes.mesh.mesh import Request
from nodes.people import NotAPerson, person
from protocols.wire.campaigns import ContactId, contact_id, is_contact_id
from protocols.wire.do_not_call import (
    MOST,
    MOST_WORDS,
    ChangeDoNotCall,
    CheckDoNotCall,
    DoNotCallPage,
    ListDoNotCall,
    Listing,
)

R = TypeVar("R")

COLUMNS: Final = ("contact_id", "listed", "by", "why", "wall", "key")
"""Of an exported list, which can be imported again where people are named with the same key (the last column has its
fingerprint); it has no numbers, for the list knows none."""
UNKNOWN: Final = (
    "the list is not known here, so nobody is dialled: it was lost (ringmaster dnc import --whole FILE), "
    "or was made with another contact.key than this node's"
)
ACTIONS: Final = {
    "add": "put people on the list",
    "remove": "take people off the list",
    "check": "look people up; status 1 when one of them must not be called",
    "import": "put a file of people on the list",
    "export": "print all entries that hold, as CSV: people are named by a keyed hash",
}
IN_WORDS: Final = {"disk": "it could not be written down: is the disk full?"}


class NoList(NodeError):
    """Central does not answer, or refuses."""


class BadNumbers(NodeError):
    """What was given is no number or list; one line each says why."""


def describe(parser: argparse.ArgumentParser) -> None:
    """What is done, and to whom."""
    for name, one in actions(parser, ACTIONS):
        if name in ("add", "remove", "check"):
            one.add_argument("what", nargs="+", metavar="NUMBER", help="with + and the country code, or a SIP URI")
        if name == "import":
            one.add_argument(
                "what", metavar="FILE", help="numbers, a CSV with a column number, or an export; - is stdin"
            )
            one.add_argument("--whole", action="store_true", help="this is all: a node that has lost its list knows it")
        if name in ("add", "remove", "import"):
            one.add_argument("--why", default="", help="a note that is kept with each entry")
        one.add_argument("--json", action="store_true", help="JSON")


def run(args: argparse.Namespace) -> int:
    """Ask the running node's central."""
    return ENDING.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    config = configured(args)
    async with connected(config) as client:
        key = contact_key(config.paths.state)
        match args.action:
            case "add" | "remove":
                who = _named(enumerate(args.what, 1), key)
                return await _change(client, args, [_said(one, args.action == "add", args.why) for one in who])
            case "check":
                return await _check(client, args, key)
            case "import":
                said = list(_read(args.what, args.why or "imported", key))
                return await _change(client, args, said, args.whole)
            case _:
                return await _export(client, args, key)


async def _change(client: Client, args: argparse.Namespace, said: Sequence[Listing], is_whole: bool = False) -> int:
    n_new, is_everywhere = 0, True
    for begin in range(0, max(1, len(said)), MOST):
        part = tuple(said[begin : begin + MOST])
        done = await _ask(client, ChangeDoNotCall(part, is_whole and begin + MOST >= len(said)))
        n_new, is_everywhere = n_new + done.n_new, done.is_everywhere
    if args.json:
        emit({"entries": len(said), "new": n_new, "everywhere": is_everywhere})
    else:
        where = "everywhere" if is_everywhere else "on this node; the others are told as soon as NATS is there"
        print(f"{len(said)} entries, {n_new} new: they hold {where}")
    return 0


async def _check(client: Client, args: argparse.Namespace, key: bytes) -> int:
    names = _named(enumerate(args.what, 1), key)
    page = await _ask(client, CheckDoNotCall(tuple(names)))
    found = {one.contact_id: one for one in page.listings}
    for number, name in zip(args.what, names, strict=True):
        one = found.get(name)
        if args.json:
            emit({"number": number, **(_told(one) if one else {"listed": False})})
        else:
            print(f"{number}: {_in_words(one)}")
    if not page.is_known:
        print(f"ringmaster dnc: {UNKNOWN}", file=sys.stderr)
    return 1 if any(one.is_on for one in found.values()) or not page.is_known else 0


async def _export(client: Client, args: argparse.Namespace, key: bytes) -> int:
    rows = csv.writer(sys.stdout)
    if not args.json:
        rows.writerow(COLUMNS)
    page = DoNotCallPage((), False, False)
    while not page.is_last:
        page = await _ask(client, ListDoNotCall(page.listings[-1].contact_id if page.listings else ""))
        for one in page.listings:
            emit(_told(one)) if args.json else rows.writerow((*_row(one).values(), fingerprint(key)))
    return 0


async def _ask(client: Client, message: Request[R]) -> R:
    """Ask central. Raises: NoList, NotUp."""

    def in_words(word: str, more: str) -> NoList:
        why = IN_WORDS.get(word, ": ".join(filter(None, (word, more))))
        return NoList(f"central does not keep the list: {why}")

    return await ask_central(client, message, in_words)


def _said(contact: ContactId, is_on: bool, why: str) -> Listing:
    return Listing(contact, is_on, f"operator {operator()}"[:MOST_WORDS], why[:MOST_WORDS], wall="")


def _named(numbers: Iterable[tuple[int, str]], key: bytes, file: str = "") -> list[ContactId]:
    """Return the names of these. Raises: BadNumbers, with every one that is wrong."""
    names, wrong = [], []
    for line, text in numbers:
        try:
            names.append(contact_id(person(text), key))
        except NotAPerson as error:
            wrong.append(f"{file}:{line}: {error}" if file else f"{text}: {error}")
    if wrong:
        raise BadNumbers("\n".join(wrong[:20]))
    return names


def _read(file: str, why: str, key: bytes) -> Iterator[Listing]:
    """Read a file of numbers, or an export. Raises: BadNumbers, OSError."""
    text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8-sig")
    rows = list(csv.reader(text.splitlines()))
    heading = [cell.strip().lower() for cell in rows[0]] if rows else []
    if heading == list(COLUMNS):
        yield from _of_export(rows[1:], file, fingerprint(key))
        return
    column = heading.index("number") if "number" in heading else 0
    cells = [(line, row[column].strip()) for line, row in enumerate(rows, 1) if len(row) > column]
    filled = [(line, cell) for line, cell in cells if cell]
    for name in _named(filled[1:] if "number" in heading else filled, key, file):
        yield _said(name, True, why)


def _of_export(rows: Iterable[Sequence[str]], file: str, made_with: str) -> Iterator[Listing]:
    for line, row in enumerate(rows, 2):
        if len(row) != len(COLUMNS) or not is_contact_id(row[0]) or row[1] not in ("yes", "no"):
            raise BadNumbers(f"{file}:{line}: is no line of an export")
        if row[5] != made_with:
            raise BadNumbers(f"{file}:{line}: names people with another contact.key than this node's")
        yield Listing(ContactId(row[0]), row[1] == "yes", row[2][:MOST_WORDS], row[3][:MOST_WORDS], row[4])


def _row(one: Listing) -> dict[str, object]:
    return dict(
        zip(COLUMNS[:-1], (one.contact_id, "yes" if one.is_on else "no", one.by, one.why, one.wall), strict=True)
    )


def _told(one: Listing) -> dict[str, object]:
    """Return an entry for machines."""
    return {**_row(one), "listed": one.is_on}


def _in_words(one: Listing | None) -> str:
    if one is None:
        return "not on the list"
    is_on = "on the list" if one.is_on else "off the list again"
    return ", ".join(word for word in (is_on, f"by {one.by}" if one.by else "", one.why, one.wall) if word)


__all__ = ["describe", "run"]
