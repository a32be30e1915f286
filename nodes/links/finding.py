"""Looks for texts in every byte of a node's files: the proof that somebody is forgotten, or where they are not.

Every file below the node's directories is read, whatever it is; what another file system or another machine has is
not, and neither is what is packed: databases are asked by the process that has them open. What was looked for is kept
nowhere.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, TypeAlias

from nodes.config import Config
from nodes.links.errors import Refused
from nodes.mesh.mesh import Mesh
from protocols.wire.forgetting import Find, Found, Sought
from protocols.wire.ids import Identity

BLOCK: Final = 1024 * 1024
OVERLAP: Final = 4096
"""Bytes of a block that are read with the next one, too: longer than whatever is looked for."""
MOST_PATTERNS: Final = 50
LONGEST: Final = 1000
MOST_NAMED: Final = 20
"""Files that are named where something was found; of more, how many."""

Further: TypeAlias = Callable[[Sequence[str]], Awaitable[Sequence[Sought]]]


class Finder:
    """One process's search. `further`: looks where only this process can."""

    def __init__(self, config: Config, further: Further | None = None) -> None:
        self._further = further
        recorder = config.recorder
        kept = [
            config.paths.state,
            *config.recording_roots,
            recorder.archive,
            recorder.database.parent if recorder.database else None,
        ]
        self._roots = _apart(path.resolve() for path in kept if path)

    def serve(self, mesh: Mesh) -> None:
        """Answer the mesh from now on."""
        mesh.serve(Find, self.find)

    async def find(self, asked: Find, sender: Identity) -> Found:
        """Look. Refuses: `bad_pattern`."""
        pattern = compiled(asked.patterns)
        further = await self._further(asked.patterns) if self._further else ()
        files = await asyncio.to_thread(self._files, pattern) if asked.of_node else []
        return Found((*files, *further))

    def _files(self, pattern: Pattern) -> list[Sought]:
        return [_sought(root, pattern) for root in self._roots]


class Pattern:
    """What is looked for in bytes, whatever the case of its letters."""

    def __init__(self, patterns: Iterable[bytes]) -> None:
        # one by one, in lower case: so each begins with a letter or digit that is looked for fast
        self._each = [re.compile(one) for one in patterns]

    def search(self, data: bytes) -> bool:
        """Say whether it is there."""
        lower = data.lower()
        return any(one.search(lower) for one in self._each)


def compiled(patterns: Sequence[str]) -> Pattern:
    """Return what to look for. Raises: Refused."""
    if not patterns or len(patterns) > MOST_PATTERNS or max(map(len, patterns)) > LONGEST:
        raise Refused("bad_pattern")
    try:
        return Pattern(one.encode() for one in patterns)
    except re.error as error:
        raise Refused("bad_pattern") from error


def _sought(root: Path, pattern: Pattern) -> Sought:
    found, failed, n_bytes = [], [], 0
    for path in _regular(root):
        try:
            n, is_found = _search(path, pattern)
        except FileNotFoundError:
            continue  # removed just now
        except OSError as error:
            failed.append(f"{path.relative_to(root)}: {error.strerror}")
            continue
        n_bytes += n
        if is_found:
            found.append(str(path.relative_to(root)))
    note = f"not read: {'; '.join(first(failed))}" if failed else ""
    return Sought(f"files below {root}", n_bytes, "bytes", tuple(first(sorted(found))), note)


def _search(path: Path, pattern: Pattern) -> tuple[int, bool]:
    """Return how many bytes a file has, and whether the pattern is in it."""
    before, n_bytes = b"", 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            n_bytes += len(block)
            if pattern.search(before + block):
                return n_bytes, True
            before = block[-OVERLAP:]
    return n_bytes, False


def _regular(root: Path) -> Iterator[Path]:
    for directory, _, names in os.walk(root):
        for name in names:
            path = Path(directory, name)
            try:
                if stat.S_ISREG(path.lstat().st_mode):
                    yield path
            except FileNotFoundError:
                pass


def _apart(paths: Iterable[Path]) -> list[Path]:
    """Return those that are not below another one."""
    every = sorted(set(paths))
    return [path for path in every if not any(other in path.parents for other in every)]


def first(names: Sequence[str]) -> list[str]:
    """Return the first names, and how many more there are."""
    left = len(names) - MOST_NAMED
    return [*names[:MOST_NAMED], *([f"and {left} more"] if left > 0 else [])]


__all__ = ["OVERLAP", "Finder", "compiled", "first"]
