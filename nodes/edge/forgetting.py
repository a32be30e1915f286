"""What a machine's edges have of people: recordings, the file of the calls' records, and prompts with words of theirs.

Recordings bear their call's name, and that has the contact's. The file of records keeps those of calls that are over
until it is written anew, so it is; one that could not be read, and was set aside, is removed: nobody can take a
person out of it. Whose a prompt is nobody knows, only whether a slot's value is said in it: all of those go that are
older than who is to be forgotten. Who needs one again has it rendered anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from nodes.edge.calls import Calls
from nodes.edge.ears import Engines
from nodes.links.finding import first
from nodes.links.forgotten import Done
from protocols.wire.forgetting import Person, Place, Sought
from protocols.wire.ids import is_filled

RECORDINGS = "recordings"
RECORDS = "records of calls"
PROMPTS = "prompts with values in them"


class Forgetting:
    """One edge's."""

    def __init__(
        self, recordings: Sequence[Path], records: Path, prompts: Path, calls: Calls, engines: Engines
    ) -> None:
        """`recordings`: all directories that recordings lie in. `records`: that of the files of records."""
        self._recordings, self._records, self._prompts = recordings, records, prompts
        self._calls, self._engines = calls, engines

    async def forget(self, people: Sequence[Person]) -> Done:
        """Remove what there is. Raises: OSError."""
        n_files, removed = await asyncio.to_thread(remove, self._recordings, people)
        self._engines.forget()
        n_prompts, older = await asyncio.to_thread(remove_prompts, self._prompts, latest(people))
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
                (one, Place(PROMPTS, n_prompts, len(older), "all older ones, whosever they are")),
            )
        ]

    async def find(self, people: Collection[Person]) -> Sequence[Sought]:
        """Look for prompts older than who was forgotten last: sound has no words in it that could be looked for."""
        n_prompts, older = await asyncio.to_thread(remove_prompts, self._prompts, latest(people), only_look=True)
        return [Sought(f"{PROMPTS}, by age", n_prompts, "files", tuple(first(older)))]


def latest(people: Iterable[Person]) -> float:
    """Return up to when somebody is forgotten, seconds since 1970; 0: nobody is."""
    return max((one.at.timestamp() for one in people), default=0.0)


def remove_prompts(prompts: Path, up_to_s: float, only_look: bool = False) -> tuple[int, list[str]]:
    """Remove prompts with somebody's words that nobody has asked for since; return how many there were, and which go.

    What is being written, too. Raises: OSError.
    """
    n_filled, older = 0, []
    for path in prompts.iterdir() if prompts.exists() else ():
        with suppress(FileNotFoundError):  # another edge of this machine is at it, too
            if is_filled(path.name.removeprefix(".").partition(".")[0]):
                n_filled += 1
                if path.stat().st_mtime <= up_to_s:
                    older.append(path.name)
                    if not only_look:
                        path.unlink()
    return n_filled, sorted(older)


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


__all__ = ["Forgetting", "latest", "remove", "remove_prompts"]
