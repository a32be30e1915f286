"""The events of days that are over, as Parquet beside the database; reports read both, and no event twice.

    archive/day=2026-03-03/ringmaster.parquet

A day that has ended is written within the hour, and again when more of it has come. Its rows stay in the database for
so many days as are configured, and then leave it. One day, `base`, says where each event is to be looked for: days
before it in their files, the others in the database. It moves in the transaction in which rows leave, and a report
reads it in the transaction in which it reads the rows: so at no moment a day is in both, or in neither.

What comes of a day before `base` is put into the database like any other, read beside the file, without what is in
there already, and goes into the file with the next round. A new database beside an archive begins behind it.

A file that cannot be read is set aside, as the database would be. The ledger stays in the database, whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb

from nodes.telemetry import logs

BASE: Final = "base"
"""The name of the base in the database's book."""
FIRST, LAST = ALL_DAYS = "0001-01-01", "9999-12-31"

log = logs.get(__name__)


class Archive:
    """The files of one database. Every method uses the connection that it is given, in that one's thread."""

    def __init__(self, directory: Path, stem: str, events: str, book: str, columns: Mapping[str, str]) -> None:
        """`events`, `book`: the database's tables; `columns`: those of the events, the first one is the key."""
        self._directory, self._stem = directory, stem
        self._events, self._book = events, book
        self._columns, self._key = ", ".join(columns), next(iter(columns))
        self._counted: dict[Path, tuple[int, int]] = {}

    def begin(self, writer: duckdb.DuckDBPyConnection) -> None:
        """Have a database that is new begin behind the days that are in files."""
        if (days := self._days()) and not writer.execute(f"SELECT 1 FROM {self._events} LIMIT 1").fetchone():
            self._set_base(writer, _next(days[-1]))

    def tables(self, reader: duckdb.DuckDBPyConnection, since: str = FIRST, until: str = LAST) -> str:
        """Return the head of a query in the reader's transaction: what it then finds as tables.

        `events`: at least those of the days from `since` to `until`. `recent`: what is in the database and in no file
        before `base`. `archived`: how many, `n`, are in those files.
        """
        recent, days = [f"SELECT * FROM {self._events}"], list[str]()
        if (base := self._base(reader)) is not None:
            days = [day for day in self._days() if day < base]
            recent[0] += f" WHERE wall >= {_moment(base)}"
            if late := [day for day, _ in self._in_database(reader, base)]:
                known = self._files(reader, late)
                without = f"ANTI JOIN (SELECT {self._key} FROM {known}) USING ({self._key})" if known else ""
                recent.append(f"SELECT {self._columns} FROM {self._events} {without} WHERE wall < {_moment(base)}")
        files = self._files(reader, [day for day in days if since <= day <= until])
        every = [*recent, *([f"SELECT {self._columns} FROM {files}"] if files else [])]
        n_archived = sum(self._count(reader, self._path(day)) for day in days)
        return (
            f"WITH recent AS NOT MATERIALIZED ({' UNION ALL '.join(recent)}), "
            f"events AS NOT MATERIALIZED ({' UNION ALL '.join(every)}), archived AS (SELECT {n_archived} AS n)"
        )

    def days_over(self, writer: duckdb.DuckDBPyConnection, today: str) -> list[str]:
        """Return the days before `today` of which the database has events, in order."""
        return [day for day, _ in self._in_database(writer, today)]

    def keep(self, writer: duckdb.DuckDBPyConnection, day: str, drops: bool) -> int:
        """Have all events of a day in its file; return how many were written. `drops`: its rows leave the database.

        To be called for the days of `days_over`, in order, and no more after one that fails.
        Raises: duckdb.Error, OSError.
        """
        rows = f"FROM {self._events} WHERE wall >= {_moment(day)} AND wall < {_moment(_next(day))}"
        base, path, n_written = self._base(writer) or FIRST, self._path(day), 0
        n_rows, n_known = _number(writer, f"SELECT count(*) {rows}"), self._count(writer, path)
        if day < base and n_known:
            known = _parquet([path])
            new = f"SELECT {self._columns} {rows} AND {self._key} NOT IN (SELECT {self._key} FROM {known})"
            n_written = self._write(writer, path, f"SELECT {self._columns} FROM {known} UNION ALL {new}")
        elif n_known != n_rows:
            n_written = self._write(writer, path, f"SELECT {self._columns} {rows}")
        if day < base or drops:
            writer.begin()
            try:
                writer.execute(f"DELETE {rows}")
                self._set_base(writer, max(base, _next(day)))
                writer.commit()
            except duckdb.Error:
                writer.rollback()
                raise
        return n_written

    def set_aside(self, connection: duckdb.DuckDBPyConnection, since: str, until: str) -> bool:
        """Rename those files of some days that cannot be read; return whether there was one.

        To be called after an error, which need not say what it is about, outside of a transaction.
        """
        return any([self._is_set_aside(connection, day) for day in self._days() if since <= day <= until])

    def _is_set_aside(self, connection: duckdb.DuckDBPyConnection, day: str) -> bool:
        path = self._path(day)
        try:
            connection.execute(f"SELECT sum(hash({self._columns})) FROM {_parquet([path])}").fetchone()
        except (duckdb.OutOfMemoryException, duckdb.InterruptException):
            return False
        except duckdb.Error as error:
            path.rename(path.with_suffix(f".broken-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"))
            log.error("archive.set_aside", file=str(path), error=str(error))
            return True
        return False

    def _write(self, writer: duckdb.DuckDBPyConnection, path: Path, what: str) -> int:
        """Put a file in the place of another, whole and on the disk."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        n_written = _number(writer, f"COPY ({what}) TO {_quoted(draft)} (FORMAT parquet, COMPRESSION zstd)")
        _sync(draft)
        draft.rename(path)
        _sync(path.parent)
        _sync(self._directory)
        return n_written

    def _in_database(self, connection: duckdb.DuckDBPyConnection, before: str) -> list[tuple[str, int]]:
        """Return the days before one of which the database has events, and how many."""
        days = "SELECT strftime(day, '%Y-%m-%d') AS day, n FROM (SELECT CAST(wall AS DATE) AS day, count(*) AS n"
        rows = f"FROM {self._events} WHERE wall < {_moment(before)} GROUP BY 1) ORDER BY 1"
        return [(str(day), int(n)) for day, n in connection.execute(f"{days} {rows}").fetchall()]

    def _path(self, day: str) -> Path:
        return self._directory / f"day={day}" / f"{self._stem}.parquet"

    def _days(self) -> list[str]:
        return sorted(path.parent.name[4:] for path in self._directory.glob(f"day=*/{self._stem}.parquet"))

    def _files(self, connection: duckdb.DuckDBPyConnection, days: list[str]) -> str:
        """Return what to read these days from, or nothing when none has a file."""
        paths = [path for path in map(self._path, days) if self._count(connection, path)]
        return _parquet(paths) if paths else ""

    def _count(self, connection: duckdb.DuckDBPyConnection, path: Path) -> int:
        """Return how many rows a file has: its last bytes say so, and are read when it is another than before."""
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
        if self._counted.get(path, (0, 0))[0] != changed:
            n_rows = _number(connection, f"SELECT num_rows FROM parquet_file_metadata({_quoted(path)})")
            self._counted[path] = changed, n_rows
        return self._counted[path][1]

    def _base(self, connection: duckdb.DuckDBPyConnection) -> str | None:
        found = connection.execute(f"SELECT value FROM {self._book} WHERE name = ?", [BASE]).fetchone()
        return str(found[0]) if found else None

    def _set_base(self, writer: duckdb.DuckDBPyConnection, day: str) -> None:
        writer.execute(f"INSERT OR REPLACE INTO {self._book} VALUES (?, ?)", [BASE, day])


def days_around(since: object, until: object, margin: timedelta) -> tuple[str, str]:
    """Return the first and last day of what lies so near a time; without a bound, of all times.

    >>> days_around("2026-03-03T10:00:00+01:00", "infinity", timedelta(days=1))
    ('2026-03-02', '9999-12-31')
    """
    return _day(since, -margin, FIRST), _day(until, margin, LAST)


def _day(moment: object, shift: timedelta, otherwise: str) -> str:
    try:
        return (datetime.fromisoformat(str(moment)).astimezone(UTC) + shift).date().isoformat()
    except (ValueError, OverflowError):
        return otherwise


def _next(day: str) -> str:
    return _day(f"{day}T00:00:00+00:00", timedelta(days=1), LAST)


def _moment(day: str) -> str:
    return f"TIMESTAMPTZ '{day} 00:00:00+00'"


def _number(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    found = connection.execute(sql).fetchone()
    return int(found[0]) if found else 0


def _parquet(paths: Iterable[Path]) -> str:
    return f"read_parquet([{', '.join(map(_quoted, paths))}], hive_partitioning = false)"


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


__all__ = ["ALL_DAYS", "Archive", "days_around"]
