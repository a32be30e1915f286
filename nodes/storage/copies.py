"""Copies in the store of the recorder's files of days, encrypted where there is a key.

They stay here, too: reports read them. What has been copied is known by each file's length and time of change, in
`<state>/storage/copied.json`; when that is lost they are copied again. A file that has changed, because more of its day
has come or somebody in it was forgotten, is copied anew in its place, and no former version of it is left, nor the one
in clear of a time without a key. Of a file that is gone the copy goes, too, but not where all files are: their disk may
not be mounted, and the copies be all that is left.
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
        """The files of which the store has no copy, or an older one, and those that only the store has; in order."""
        files = dict(self._files())
        changed = [name for name, stamp in files.items() if self._copied.get(name) not in (stamp, stamp[:2])]
        return sorted([*changed, *(name for name in self._copied if name not in files and self._is_gone(name))])

    def _is_gone(self, name: str) -> bool:
        """Say whether a file that is not there was removed, and neither set aside nor with all others."""
        path = self._archive / name
        return any(self._archive.glob("day=*")) and not any(path.parent.glob(f"{path.stem}.*"))

    def look(self) -> None:
        """Copy what is new; what fails is tried again with the next look. One that is told in the log is told once."""
        for name in self.behind:
            try:
                is_copied = self._follow(name)
            except FileNotFoundError:
                continue
            except (StoreError, OSError) as error:
                if not self.counts["copy_failures"]:
                    log.warning("archive.not_copied", file=name, error=in_words(error))
                self.counts["copy_failures"] += 1
                return
            self.counts["copies"] += is_copied
            log.info("archive.copied" if is_copied else "archive.copy_removed", file=name)

    def _follow(self, name: str) -> bool:
        """Have the store have what is here of a file; say whether it is here."""
        in_clear, sealed = self._prefix + name, f"{self._prefix}{name}.sealed"
        if is_here := (self._archive / name).exists():
            self._copied[name] = self._copy(name)
            self._store.delete(in_clear if self._is_sealing else sealed)
        else:
            self._store.delete(in_clear)
            self._store.delete(sealed)
            del self._copied[name]
        self._kept.mkdir(parents=True, exist_ok=True)
        write_private(self._kept / FILE, json.dumps(self._copied).encode())
        return is_here

    @property
    def _is_sealing(self) -> bool:
        return "" in self._ring.sealing

    def _copy(self, name: str) -> list[int]:
        path, key = self._archive / name, self._ring.sealing.get("")
        stamp = self._stamp(path)
        with path.open("rb") as file:
            if key is None:
                self._put(self._prefix + name, file)
            else:
                with TemporaryFile(dir=self._kept) as sealed:
                    for piece in seal(key, f"{self._node}/{name}", stamp[0], file):
                        sealed.write(piece)
                    sealed.flush()
                    self._put(f"{self._prefix}{name}.sealed", sealed)
        return stamp

    def _put(self, key: str, file: BinaryIO) -> None:
        self._store.put(key, file)
        self._store.delete_former(key)

    def _files(self) -> Iterator[tuple[str, list[int]]]:
        for path in sorted(self._archive.glob("day=*/*.parquet")):
            if not path.name.startswith("."):
                with suppress(FileNotFoundError):
                    yield path.relative_to(self._archive).as_posix(), self._stamp(path)

    def _stamp(self, path: Path) -> list[int]:
        told = path.stat()
        return [told.st_size, told.st_mtime_ns, int(self._is_sealing)]

    def _read(self) -> dict[str, list[int]]:
        self._kept.mkdir(parents=True, exist_ok=True)
        with suppress(OSError, ValueError):
            told = json.loads((self._kept / FILE).read_bytes())
            if isinstance(told, dict):
                return {str(name): stamp for name, stamp in told.items() if isinstance(stamp, list)}
        return {}


__all__ = ["FILE", "Copies"]
