"""What a machine's edges have of people on disk: recordings, and the file of the calls' records.

Recordings bear their call's name, and that has the contact's. The file of records keeps those of calls that are over
until it is written anew, so it is; one that could not be read, and was set aside, is removed: nobody can take a
person out of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from nodes.edge.calls import Calls
from nodes.links.forgotten import Done
from protocols.wire.forgetting import Person, Place

RECORDINGS = "recordings"
RECORDS = "records of calls"


class Forgetting:
    """One edge's."""

    def __init__(self, recordings: Sequence[Path], records: Path, calls: Calls) -> None:
        """`recordings`: all directories that recordings lie in. `records`: that of the files of records."""
        self._recordings, self._records, self._calls = recordings, records, calls

    async def forget(self, people: Sequence[Person]) -> Done:
        """Remove what there is. Raises: OSError."""
        n_files, removed = await asyncio.to_thread(remove, self._recordings, people)
        for recent in self._calls.recents():
            recent.forget(lambda call: any(one.has(call, call) for one in people))
        await self._calls.disk.renew()
        n_aside = await asyncio.to_thread(_remove_aside, self._records)
        return [
            done
            for one in people
            for done in (
                (one, Place(RECORDINGS, n_files, removed.count(one))),
                (one, Place(RECORDS, 1 + n_aside, n_aside, "written anew")),
            )
        ]


def remove(recordings: Iterable[Path], people: Sequence[Person]) -> tuple[int, list[Person]]:
    """Remove these people's recordings; return how many files there were, and whose those were that are gone.

    What was recorded since a person was to be forgotten stays. Raises: OSError.
    """
    files = [path for root in recordings for path in root.rglob("*") if path.is_file()]
    removed = []
    for path in files:
        call = path.name.removeprefix(".").partition(".")[0]
        for one in people:
            with suppress(FileNotFoundError):
                if one.has(call, call) and path.stat().st_mtime <= one.at.timestamp():
                    path.unlink()
                    removed.append(one)
    return len(files), removed


def _remove_aside(records: Path) -> int:
    aside = list(records.glob("*.unreadable"))
    for path in aside:
        path.unlink(missing_ok=True)
    return len(aside)


__all__ = ["Forgetting", "remove"]
