"""Commands that have actions (`ringmaster dnc add`), and ask central: their parsers, their questions, and who asks."""

from __future__ import annotations

import argparse
import getpass
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeVar

from nodes.commands.client import Client
from nodes.errors import NodeError
from nodes.links.errors import LinkError, Refused
from nodes.mesh.mesh import Request

R = TypeVar("R")

ASK_S: Final = 30.0
"""So long may central take: a long list is written to disk, and a version to a bucket of three replicas."""


def actions(
    parser: argparse.ArgumentParser, purposes: Mapping[str, str]
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield the name and parser of each action, to be told more."""
    added = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for name, purpose in purposes.items():
        yield name, added.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.")


async def ask_central(client: Client, message: Request[R], in_words: Callable[[str, str], NodeError]) -> R:
    """Return what central says.

    Raises: NotUp; what `in_words` makes of its refusal, which is a word and perhaps more, or of its silence.
    """
    try:
        return await client.ask("central", message, ASK_S)
    except LinkError as error:
        word, _, more = (error.reason if isinstance(error, Refused) else str(error)).partition(": ")
        raise in_words(word, more) from error


def operator() -> str:
    """Return the name of whoever has called the command; in a container it may be a number only."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


__all__ = ["actions", "ask_central", "operator"]
