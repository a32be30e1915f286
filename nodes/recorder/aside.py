"""Opens the database whatever has become of it: one that cannot be used is set aside, and a new one begun.

A report that is empty for a minute is no reason not to dial, and the events are still in their stream: so the recorder
never waits for somebody to mend a file. What it sets aside it keeps, beside the new one, under a name that says since
when; the new one knows why it was begun (`Store.note`), and reads the streams from their beginning (`Store.is_filled`).

    ringmaster.duckdb.broken-20260303T100000Z       and its write-ahead log
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from nodes.recorder.store import Store, StoreBroken, StoreLocked
from nodes.telemetry import logs

LOCKED_S: Final = 10.0
"""How long somebody else may have the file open: a predecessor takes less to write its logs and end."""
LOOK_S: Final = 0.25

log = logs.get(__name__)


def opened(database: Path, archived: Path | None = None, locked_s: float = LOCKED_S) -> Store:
    """Return the store, or a new one in its place. Blocks, up to `locked_s`. Raises: StoreUnwritable, OSError."""
    give_up_s = time.monotonic() + locked_s
    while True:
        try:
            return Store(database, archived)
        except StoreBroken as error:
            return renewed(database, str(error), archived)
        except StoreLocked as error:
            if time.monotonic() >= give_up_s:
                return renewed(database, str(error), archived)
            time.sleep(LOOK_S)


def renewed(database: Path, reason: str, archived: Path | None = None) -> Store:
    """Set the database aside and return a new one, which knows it. Raises: StoreUnwritable, OSError."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for file in (database, database.with_name(f"{database.name}.wal")):
        if file.exists():
            file.rename(file.with_name(f"{file.name}.broken-{moment}"))
    log.error("database.set_aside", file=f"{database.name}.broken-{moment}", reason=reason)
    store = Store(database, archived)
    store.remember(f"begun anew {moment}: {database.name}.broken-{moment} was set aside ({reason[:200]})")
    return store


__all__ = ["opened", "renewed"]
