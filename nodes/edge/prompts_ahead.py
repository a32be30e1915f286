"""What a call plays is copied to its heir's disk while it plays: the rest of a sentence needs the same bytes there.

What it does: tells an heir the names of the prompts of its calls, and fetches what it lacks (`nodes.mesh.pieces`), one
after the other. What it does not: wait for anything, or promise it. What is not there when it is needed is rendered
anew.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Final

from nodes.errors import in_words
from nodes.files import write_private
from nodes.links.errors import LinkError, Refused
from nodes.mesh.mesh import Mesh
from nodes.mesh.pieces import SUFFIXES, pieces
from nodes.telemetry import logs
from protocols.wire.ids import Identity, PromptHash, is_filled
from protocols.wire.pieces import Shelf
from protocols.wire.takeover import PromptsOf

log = logs.get(__name__)
MAX_TOLD: Final = 8192
"""Prompts of which is remembered which heirs have heard of them; the least recent are told again."""
MAX_WANTED: Final = 1024
"""Prompts that wait to be fetched; beyond it the oldest are given up."""
FETCH_S: Final = 2.0


class PromptsAhead:
    """`root`: where prompts are. `spawn`: runs what fetches."""

    def __init__(self, mesh: Mesh, root: Path, spawn: Callable[[Coroutine[object, object, None]], object]) -> None:
        self._mesh, self._root, self._spawn = mesh, root, spawn
        self._told: OrderedDict[tuple[Identity, PromptHash], None] = OrderedDict()
        self._wanted: OrderedDict[PromptHash, Identity] = OrderedDict()
        self._is_fetching = False
        self.n_fetched = 0

    def serve(self) -> None:
        """Hear what is to be fetched."""
        self._mesh.serve(PromptsOf, self._hear)

    def tell(self, heir: Identity, prompts: Sequence[PromptHash]) -> None:
        """Have an heir fetch these, once."""
        new = tuple(prompt for prompt in prompts if (heir, prompt) not in self._told)
        if new and self._mesh.tell(heir, PromptsOf(new)):
            self._told |= {(heir, prompt): None for prompt in new}
            while len(self._told) > MAX_TOLD:
                self._told.popitem(last=False)

    def forget(self) -> None:
        """Somebody was forgotten: heirs have removed what was said to one person only, and are told it again."""
        self._told = OrderedDict(one for one in self._told.items() if not is_filled(one[0][1]))

    def is_here(self, prompts: Sequence[PromptHash]) -> bool:
        """Say whether all of these are on this disk."""
        return all(self._path(prompt).exists() for prompt in prompts)

    def _path(self, prompt: PromptHash) -> Path:
        if not prompt.isalnum():  # the name of a hash, never a way out of the directory
            raise Refused("bad_prompt")
        return self._root / f"{prompt}.{SUFFIXES[Shelf.PROMPTS]}"

    def _hear(self, given: PromptsOf, sender: Identity) -> None:
        for prompt in given.prompts:
            if not self._path(prompt).exists():
                self._wanted[prompt] = sender
        while len(self._wanted) > MAX_WANTED:
            self._wanted.popitem(last=False)
        if self._wanted and not self._is_fetching:
            self._is_fetching = True
            self._spawn(self._fetch_all())

    async def _fetch_all(self) -> None:
        try:
            while self._wanted:
                prompt, owner = self._wanted.popitem(last=True)  # what plays now goes first
                try:
                    found = pieces(self._mesh, owner, Shelf.PROMPTS, prompt, FETCH_S)
                    audio = b"".join([piece async for piece in found])
                    await asyncio.to_thread(write_private, self._path(prompt), audio, lasts=False)
                    self.n_fetched += 1
                except LinkError as error:
                    log.warning("prompt.not_fetched", prompt=prompt, reason=str(error))
                except OSError as error:
                    log.warning("prompt.not_written", prompt=prompt, reason=in_words(error))
        finally:
            self._is_fetching = False


__all__ = ["PromptsAhead"]
