"""A contact list for a rehearsal: everybody's columns, and nobody's address.

Each contact is played by a callee of ours: the manner is the one that a SIP URI of the list names (`sip:busy-1@...`),
or a cooperative one. What was on the list is read and judged as an import would read it, and goes no further.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from grammars.script_model import Script
from nodes.central.contacts import NOT_SLOTS, BadContactList, read_contacts
from nodes.commands.central import BadList
from nodes.rehearsal.personas import PERSONAS
from protocols.wire.campaigns import Plan
from protocols.wire.journal import Contact


def cast(file: str, contacts: bytes, plan: Plan, script: Script) -> bytes:
    """Return the list with the addresses of callees, `sip:<persona>-<n>@callees`. Raises: BadList, line by line."""

    def faults(contact: Contact) -> tuple[str, ...]:
        return script.problems(dict(contact.slots))

    try:
        people = read_contacts(file, contacts, key=bytes(32), region=plan.region, zone=plan.zone, faults=faults)
    except BadContactList as error:
        raise BadList(error.problems) from error
    columns = dict.fromkeys(column for person in people for column in person.slots)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, (*NOT_SLOTS, *columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows(_rows(people))
    return text.getvalue().encode()


def _rows(people: tuple[Contact, ...]) -> Iterator[dict[str, str]]:
    for n, person in enumerate(people, start=1):
        persona = person.target.partition(":")[2].partition("@")[0].partition("-")[0]
        if persona not in PERSONAS:
            persona = "cooperative"
        zone = next(iter(person.zones), "")
        yield {"number": f"sip:{persona}-{n}@callees", "timezone": zone, "consent": person.consent, **person.slots}


__all__ = ["cast"]
