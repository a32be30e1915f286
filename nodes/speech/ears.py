"""The ears of this process: one for each script in use, built once, the least recently used given up first."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from grammars.rules.spec import RuleSpec
from grammars.script_model import Script
from nodes.errors import in_words
from nodes.speech.deaf import DeafEar
from nodes.speech.errors import EngineFailed, UnknownScript
from nodes.speech.recogniser import Ear, Recogniser
from protocols.wire.ids import ScriptHash

__all__ = ["MAX_EARS", "Ears"]

MAX_EARS = 16
"""Scripts that can be heard at once, some 10 MB each. One more, and the one unused for longest is forgotten."""


class Ears:
    """Script hash -> ear."""

    def __init__(self, recogniser: Recogniser, into: Path) -> None:
        """`recogniser` makes them. `into` is this process's own directory: what its last life left there is deleted."""
        shutil.rmtree(into, ignore_errors=True)
        self._recogniser = recogniser
        self._into = into
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ears")
        self._ears: dict[ScriptHash, asyncio.Future[Ear]] = {}

    def __len__(self) -> int:
        """Scripts that are warm, or being warmed."""
        return len(self._ears)

    def build(self, name: str, rules: Mapping[str, RuleSpec]) -> asyncio.Future[Ear]:
        """Build an ear that belongs to the caller, off the loop. Raises, when awaited, what that raises."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._recogniser.ear, rules, self._into / name)

    async def warm(self, script: Script) -> Ear:
        """Return the script's ear, built now if need be; asked twice at once, it is built once.

        In a language that the recogniser does not hear it is a deaf one. Raises: what `Recogniser.ear` raises, to
        everybody who waits for it; EngineFailed for a disk that is full. Whatever it was, the next ask builds anew.
        """
        building = self._ears.pop(script.hash, None) or self._begun(script)
        self._ears[script.hash] = building
        try:
            ear = await asyncio.shield(building)
        except OSError as error:
            raise EngineFailed(f"the ear of script {script.hash} could not be built: {in_words(error)}") from error
        finally:
            has_failed = building.done() and (building.cancelled() or building.exception())
            if has_failed and self._ears.get(script.hash) is building:
                del self._ears[script.hash]
        self._forget_oldest()
        return ear

    def _begun(self, script: Script) -> asyncio.Future[Ear]:
        if script.language in self._recogniser.capabilities.languages:
            return self.build(script.hash, script.rules)
        deaf: asyncio.Future[Ear] = asyncio.get_running_loop().create_future()
        deaf.set_result(DeafEar(script.rules))
        return deaf

    def find(self, script: ScriptHash) -> Ear:
        """Return a warm ear and note that it is in use. Raises: UnknownScript."""
        ear = self._ears.get(script)
        if ear is None or not ear.done() or ear.exception():
            raise UnknownScript(script)
        self._ears[script] = self._ears.pop(script)
        return ear.result()

    def close(self) -> None:
        """Free them all."""
        for script in list(self._ears):
            self._forget(script)
        self._thread.shutdown()

    def _forget_oldest(self) -> None:
        for script in list(self._ears)[:-MAX_EARS]:
            self._forget(script)

    def _forget(self, script: ScriptHash) -> None:
        """Utterances under way end with the ear they began with; new ones are refused."""
        ear = self._ears.pop(script)
        if ear.done() and not ear.exception():
            ear.result().close()
        shutil.rmtree(self._into / script, ignore_errors=True)
