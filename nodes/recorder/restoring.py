"""A database made of an export: every row of it, and no other; the node must not be up."""

from __future__ import annotations

from pathlib import Path

import duckdb

from nodes.recorder.store import TABLES, Store, StoreError


class Differs(StoreError):
    """What was read is not what was written."""


def restored(database: Path, archived: Path | None, export: Path) -> dict[str, int]:
    """Make a database of an export (`reports.export`), and compare them; return how many rows each table has.

    Raises: StoreError, Differs; what was made is removed then.
    """
    Store(database, archived).close()
    rows: dict[str, int] = {}
    try:
        with duckdb.connect(str(database)) as connection:
            connection.execute("SET timezone = 'UTC'")
            for table, columns in TABLES.items():
                files = export / table / "**" / "*.parquet" if table == "events" else export / f"{table}.parquet"
                if not list(export.glob(f"{table}/**/*.parquet" if table == "events" else f"{table}.parquet")):
                    rows[table] = 0
                    continue
                names, text = ", ".join(columns), str(files).replace("'", "''")
                source = f"SELECT {names} FROM read_parquet('{text}', hive_partitioning = false)"
                connection.execute(f"INSERT INTO {table} ({names}) {source}")
                asked = f"SELECT count(*), coalesce(bit_xor(hash({names})), 0) FROM"
                told = (connection.execute(f"{asked} {what}").fetchone() for what in (f"({source})", table))
                wanted, found = told
                if wanted != found or found is None:
                    raise Differs(f"{database}: {table} has {found}, and the backup {wanted} (rows, sum)")
                rows[table] = int(found[0])
    except BaseException as error:
        database.unlink(missing_ok=True)
        database.with_name(f"{database.name}.wal").unlink(missing_ok=True)
        if isinstance(error, duckdb.Error):
            raise Differs(f"{database}: {error}") from error
        raise
    return rows


__all__ = ["Differs", "restored"]
