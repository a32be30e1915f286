"""What a restored machine brings to its first start: campaigns, which go into the store of an empty cluster.

`ringmaster restore` puts the snapshot and the contact lists of a backup into `<state>/restored`, and who was forgotten
since. The first central that finds a cluster without campaigns writes them there, lists first; what it then reads is a
snapshot of another journal, so what was running is paused until somebody starts it (`memory`). People are forgotten
before anybody is dialled, because nobody starts a campaign sooner. At last the directory goes: numbers are in it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nodes.bus.bus import Bus
from nodes.central.memory import SNAPSHOT
from nodes.telemetry import logs
from protocols.errors import RemoteProtocolError
from protocols.wire.forgetting import Person, person_of

RESTORED: Final = "restored"
FORGOTTEN: Final = "forgotten.jsonl"
CAMPAIGNS: Final = "campaigns"

log = logs.get(__name__)


class Restoring:
    """What waits in a state directory."""

    def __init__(self, state: Path, bus: Bus) -> None:
        self._path, self._bus = state / RESTORED, bus

    @property
    def is_waiting(self) -> bool:
        """Whether there is something."""
        return self._path.is_dir()

    async def write(self, is_first: bool) -> bool:
        """Have the objects in the store, if nobody else's are; whether they are there. Raises: BusAway, OSError."""
        objects, campaigns = self._bus.objects(), self._path / CAMPAIGNS
        snapshot = await asyncio.to_thread((campaigns / SNAPSHOT).read_bytes)
        digest = "SHA-256=" + urlsafe_b64encode(hashlib.sha256(snapshot).digest()).decode()
        if (info := await objects.info(SNAPSHOT)) is not None and info.digest == digest:
            return True  # a predecessor has done so
        if not is_first:
            log.error("restore.refused", reason="this cluster has campaigns already", directory=str(self._path))
            return False
        names = sorted(path.name for path in campaigns.iterdir() if path.name != SNAPSHOT)
        for name in [*names, SNAPSHOT]:
            writing = objects.begin(name)
            await writing.write(await asyncio.to_thread((campaigns / name).read_bytes))
            await writing.finish()
        log.warning("restore.written", lists=len(names))
        return True

    def people(self) -> Sequence[Person]:
        """Return who was forgotten since the backup was made, as far as somebody has said so. Raises: OSError."""
        people = []
        for line in (self._path / FORGOTTEN).read_text(encoding="utf-8").splitlines():
            try:
                body = json.loads(line)
                people.append(person_of(str(body["contact_id"]), body))
            except (ValueError, LookupError, TypeError, RemoteProtocolError) as error:
                log.error("forgotten.unreadable", error=str(error))
        return people

    def finish(self) -> None:
        """Have nothing wait any more. Raises: OSError."""
        shutil.rmtree(self._path)


__all__ = ["CAMPAIGNS", "FORGOTTEN", "RESTORED", "Restoring"]
