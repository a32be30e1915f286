"""Copies in the store of the recorder's files of days that are over, encrypted where there is a key.

They stay here, too: reports read them. What has been copied is known by each file's length and time of change, in
`<state>/storage/copied.json`; when that is lost they are copied again. A file that has changed, because more of its day
has come or somebody in it was forgotten, is copied anew, and no former version of it is left.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final

from nodes.errors import in_words
from nodes.files import write_private
from nodes.storage.names import EVENTS
from nodes.storage.sealing import Ring, seal
from nodes.storage.store import Store, StoreError
from nodes.telemetry import logs
from protocols.wire.ids import NodeId

LOOK_S: Final = 60.0
FILE: Final = "copied.json"

log = logs.get(__name__)


class Copies:
    """Those of one node's archive. `counts`: `copies`, and `copy_failures`."""

    def __init__(self, archive: Path, kept: Path, store: Store, ring: Ring, node: NodeId, prefix: str) -> None:
        """`kept`: the directory for what is remembered. `prefix`: of all keys."""
        self._archive, self._kept, self._store, self._ring = archive, kept, store, ring
        self._prefix = f"{prefix}{EVENTS}{node}/"
        self._node = node
        self.counts: Counter[str] = Counter({"copies": 0, "copy_failures": 0})
        self._copied = self._read()

    async def run(self) -> None:
        """Copy what is new, minute by minute, for ever."""
        while True:
            await asyncio.to_thread(self.look)
            await asyncio.sleep(LOOK_S)

    @property
    def behind(self) -> list[str]:
        """The files of which the store has no copy, or an older one, in order."""
        return [name for name, stamp in self._files() if self._copied.get(name) != stamp]

    def look(self) -> None:
        """Copy what is new; what fails is tried again with the next look. One that is told in the log is told once."""
        for name in self.behind:
            try:
                self._copy(name)
            except FileNotFoundError:
                continue
            except (StoreError, OSError) as error:
                if not self.counts["copy_failures"]:
                    log.warning("archive.not_copied", file=name, error=in_words(error))
                self.counts["copy_failures"] += 1
                return
            self.counts["copies"] += 1
            log.info("archive.copied", file=name)

    def _copy(self, name: str) -> None:
        path, key = self._archive / name, self._ring.sealing.get("")
        stamp = _stamp(path)
        with path.open("rb") as file:
            if key is None:
                self._put(self._prefix + name, file)
            else:
                with TemporaryFile(dir=self._kept) as sealed:
                    for piece in seal(key, f"{self._node}/{name}", stamp[0], file):
                        sealed.write(piece)
                    sealed.flush()
                    self._put(f"{self._prefix}{name}.sealed", sealed)
        self._copied[name] = stamp
        self._kept.mkdir(parents=True, exist_ok=True)
        write_private(self._kept / FILE, json.dumps(self._copied).encode())

    def _put(self, key: str, file: BinaryIO) -> None:
        self._store.put(key, file)
        self._store.delete_former(key)

    def _files(self) -> Iterator[tuple[str, list[int]]]:
        for path in sorted(self._archive.glob("day=*/*.parquet")):
            if not path.name.startswith("."):
                with suppress(FileNotFoundError):
                    yield path.relative_to(self._archive).as_posix(), _stamp(path)

    def _read(self) -> dict[str, list[int]]:
        self._kept.mkdir(parents=True, exist_ok=True)
        with suppress(OSError, ValueError):
            told = json.loads((self._kept / FILE).read_bytes())
            if isinstance(told, dict):
                return {str(name): stamp for name, stamp in told.items() if isinstance(stamp, list)}
        return {}


def _stamp(path: Path) -> list[int]:
    told = path.stat()
    return [told.st_size, told.st_mtime_ns]


__all__ = ["FILE", "Copies"]
