"""The database as Parquet, for everything else that reads: one directory an export, events split by day."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from nodes.recorder.store import TABLES, Store, StoreError

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class NotExported(StoreError):
    """`reason` is one word: `bad_name` or `exists`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def export(store: Store, name: str) -> tuple[Path, dict[str, int]]:
    """Write all tables to `exports/<name>` beside the database; return where, and how many rows each table has.

    The directory appears when it is complete. Raises NotExported, StoreUnwritable.
    """
    if not NAME.fullmatch(name):
        raise NotExported("bad_name")
    target = store.directory / "exports" / name
    if target.exists():
        raise NotExported("exists")
    unfinished = target.with_name(f".{name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    rows = {table: store.copy_out(table, unfinished) for table in TABLES}
    unfinished.rename(target)
    return target, rows


__all__ = ["NotExported", "export"]
