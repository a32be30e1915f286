"""The process that reads a contact list, and nothing else: `python -m nodes.central.reader`, started by `importing`.

A million contacts take a minute of work and the memory of their names, to know each other by. Both are this process's,
and end with it; central goes on answering. In: an order, and then the list's bytes as they come. Out: a roll as a
stream, or, at the end of whatever has been told by then, an item `{problems: [...]}`.
"""

from __future__ import annotations

import os
import sys
from typing import Any, BinaryIO, Final

import msgspec

from grammars.script_pack import unpack
from nodes.central.contacts import BadContactList
from nodes.central.imports import listing
from nodes.central.roll import BATCH, ending, heading, item, packed
from nodes.config import Sip
from nodes.dial_plan import barred_by
from protocols.wire.campaigns import Plan
from protocols.wire.journal import Contact

NICE: Final = 5
"""Less urgent than whoever talks to somebody."""
LENGTH: Final = 4
"""Bytes of the order's length, before it."""


class Order(msgspec.Struct, frozen=True):
    """What to read the list for. `script`: packed."""

    file: str
    plan: Plan
    script: bytes
    key: bytes
    sip: Sip
    """Whose trunks have no passwords."""


def framed(order: Order) -> bytes:
    """Return an order as it is sent."""
    body = msgspec.msgpack.encode(order)
    return len(body).to_bytes(LENGTH, "big") + body


def read(source: BinaryIO, to: BinaryIO) -> None:
    """Read an order and a list, and write what becomes of them."""
    order = msgspec.msgpack.decode(source.read(int.from_bytes(source.read(LENGTH), "big")), type=Order)
    script = unpack(order.script)
    try:
        contacts = listing(
            order.file, source, plan=order.plan, script=script, key=order.key,
            trunks=[trunk.name for trunk in order.sip.trunks], barred=barred_by(order.sip),
        )  # fmt: skip
        to.write(heading(contacts.slots))
        some: list[Contact] = []
        n = 0
        for contact in contacts:
            some.append(contact)
            n += 1
            if len(some) == BATCH:
                to.write(item(*packed(some, contacts.slots)))
                to.flush()
                some.clear()
        if some:
            to.write(item(*packed(some, contacts.slots)))
        to.write(ending(n))
    except BadContactList as bad:
        problems: list[Any] = [msgspec.to_builtins(problem) for problem in bad.problems]
        to.write(msgspec.msgpack.encode({"problems": problems}))
    to.flush()


if __name__ == "__main__":
    os.nice(NICE)
    try:
        read(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:  # nobody wants the list any more
        os._exit(1)

__all__ = ["Order", "framed", "read"]
