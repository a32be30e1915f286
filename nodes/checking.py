"""Scripts that come from outside, checked and packed in a process of their own, which ends when it is done.

Central takes scripts with campaigns and the desk takes them with calls; both have people who wait for them meanwhile.
What has been checked is remembered by its text, so that a program that orders a thousand calls waits once.
"""

from __future__ import annotations

import asyncio
import sys
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from grammars.errors import Reason, ScriptError
from grammars.lang import ENGLISH
from grammars.script_check import unheard
from grammars.script_pack import unpack

CPU_S: Final = 10
"""Processor seconds for one script: the longest that is accepted takes two."""
WAIT_S: Final = 30.0
MAX_TEXT: Final = 100_000
"""Characters that are given to the reader at all; it has the same limit in bytes."""
AT_ONCE: Final = 2
MAX_WAITING: Final = 16
"""Texts that wait for a process: whoever sends more is refused."""
REMEMBERED: Final = 64
_PROGRAM: Final = ("-m", "nodes.checker")
_ROOT: Final = Path(__file__).parents[1]
"""Where `-m` finds our packages, installed or not."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checking process says: the packed script, or why not."""

    packed: bytes = b""
    reasons: tuple[Reason, ...] = ()


class Scripts:
    """Text -> packed script."""

    def __init__(self, heard: Collection[str] = (ENGLISH,)) -> None:
        """`heard`: languages that a recogniser hears; a question in another needs a key."""
        self._heard = heard
        self._known: OrderedDict[str, bytes] = OrderedDict()
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._n_waiting = 0

    async def packed(self, text: str) -> bytes:
        """Return the checked script, packed. Raises: `ScriptError` with every reason why it must not be run."""
        if (known := self._known.get(text)) is None:
            known = await self._checked(text)
            self._known[text] = known
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        self._known.move_to_end(text)
        return known

    async def _checked(self, text: str) -> bytes:
        if len(text) > MAX_TEXT:
            raise _refused(f"the script is longer than {MAX_TEXT} characters")
        if self._n_waiting >= MAX_WAITING:
            raise _refused("too many other scripts are being checked; try again")
        self._n_waiting += 1
        try:
            async with self._turn:
                verdict = await _ask(text)
        finally:
            self._n_waiting -= 1
        if not verdict.packed:
            raise ScriptError(verdict.reasons)
        if reasons := [*unheard(unpack(verdict.packed), self._heard)]:
            raise ScriptError(reasons)
        return verdict.packed


async def _ask(text: str) -> Verdict:
    child = await asyncio.create_subprocess_exec(
        sys.executable, *_PROGRAM,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd=_ROOT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WAIT_S):
            answer, _ = await child.communicate(text.encode(errors="replace"))
        return msgspec.msgpack.decode(answer, type=Verdict)
    except TimeoutError as error:
        raise _refused("it could not be checked in time") from error
    except msgspec.DecodeError as error:
        raise _refused("it could not be checked: it takes too much time or memory to read") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def _refused(reason: str) -> ScriptError:
    return ScriptError([Reason(0, reason)])


__all__ = ["Scripts", "Verdict"]
