"""The events of each day, as Parquet beside the database; reports read both, and no event twice.

    archive/day=2026-03-03/ringmaster.parquet

A day is written hour by hour while it goes on and more of it has come, or, where that is not wanted, when it has ended.
Its rows stay in the database for
so many days as are configured, and then leave it. One day, `base`, says where each event is to be looked for: days
before it in their files, the others in the database. It moves in the transaction in which rows leave, and a report
reads it in the transaction in which it reads the rows: so at no moment a day is in both, or in neither.

What comes of a day before `base` is put into the database like any other, read beside the file, without what is in
there already, and goes into the file with the next round. A new database beside an archive begins behind it, and so
does an older one that was put back from a copy.

A file is written beside its place, read again and compared with what it was made from, and only then put there: it is
whole or not there. Rows leave the database only when all their ids are in the file, in the transaction that says so.
How many a day had when it left is kept, so that a file that is gone is missed: nothing is written into a directory that
lacks one, for it may be a disk that is not mounted.

A file that cannot be read is set aside, as the database would be. The ledger stays in the database, whole.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb

from nodes.telemetry import logs

BASE: Final = "base"
"""The name of the base in the database's book."""
LEFT: Final = "left/"
"""How the names begin under which the book has how many rows a day's file had when it left: `left/2026-03-03`."""
LACKS: Final = "lacks/"
"""The same, for how many rows of it were missing, while somebody is taken out of it."""
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
        """Clean up after a predecessor, and have a database begin behind the days of which files have more than it."""
        for draft in self._directory.glob(f"day=*/.{self._stem}.parquet"):
            draft.unlink()
        base, here, counts = self._base(writer) or FIRST, dict(self._in_database(writer, LAST)), dict[str, int]()
        for day in self._days():
            try:
                counts[day] = self._count(writer, self._path(day))
            except duckdb.Error:
                self._is_set_aside(writer, day)
        if behind := [day for day, n in counts.items() if day >= base and n > here.get(day, 0)]:
            self._set_base(writer, _next(behind[-1]))
            for day in (day for day in counts if day <= behind[-1]):
                self._write_book(writer, f"{LEFT}{day}", str(counts[day]))

    def tables(self, reader: duckdb.DuckDBPyConnection, since: str = FIRST, until: str = LAST) -> str:
        """Return the head of a query in the reader's transaction: what it then finds as tables.

        `events`: at least those of the days from `since` to `until`. `recent`: what is in the database and in no file
        before `base`. `archived`: how many, `n`, are in those files, and of which days, from `first` to `last`.
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
            f"events AS NOT MATERIALIZED ({' UNION ALL '.join(every)}), "
            f"archived AS (SELECT {n_archived} AS n, '{days[0] if days else ''}' AS first, "
            f"'{days[-1] if days else ''}' AS last)"
        )

    def missing(self, reader: duckdb.DuckDBPyConnection) -> dict[str, int]:
        """Return of which days that have left the database files lack events, and how many."""
        found = reader.execute(f"SELECT name, value FROM {self._book} WHERE starts_with(name, '{LEFT}')").fetchall()
        left = {str(name).removeprefix(LEFT): int(value) for name, value in found}
        lacking = {day: n - self._count(reader, self._path(day)) for day, n in sorted(left.items())}
        return {day: n for day, n in lacking.items() if n > 0}

    def files(self) -> list[Path]:
        """Return the files of all days."""
        return [self._path(day) for day in self._days()]

    def forget(
        self, writer: duckdb.DuckDBPyConnection, path: Path, act: Callable[[], tuple[int, int]]
    ) -> tuple[int, int]:
        """Have `act` take rows out of a day's file, and miss none of them; return what it returns.

        How many were missing before is in the book meanwhile: who is killed does not miss those that were taken out.
        """
        left, lacks = f"{LEFT}{path.parent.name[4:]}", f"{LACKS}{path.parent.name[4:]}"
        found = writer.execute(f"SELECT name, value FROM {self._book} WHERE name IN (?, ?)", [left, lacks]).fetchall()
        book = {str(name): int(value) for name, value in found}
        if left not in book:
            return act()
        n_lacks = book.get(lacks, book[left] - self._count(writer, path))
        self._write_book(writer, lacks, str(n_lacks))
        done = act()
        self._write_book(writer, left, str(self._count(writer, path) + n_lacks))
        writer.execute(f"DELETE FROM {self._book} WHERE name = ?", [lacks])
        return done

    def days_over(self, writer: duckdb.DuckDBPyConnection, today: str) -> list[str]:
        """Return the days before `today` of which the database has events, in order."""
        return [day for day, _ in self._in_database(writer, today)]

    def keep(self, writer: duckdb.DuckDBPyConnection, day: str, drops: bool) -> int:
        """Have all events of a day in its file; return how many were written. `drops`: its rows leave the database.

        To be called for the days of `days_over`, in order, and no more after one that fails.
        Raises: duckdb.Error, OSError.
        """
        self._check_mounted(writer)
        rows = f"FROM {self._events} WHERE wall >= {_moment(day)} AND wall < {_moment(_next(day))}"
        base, path, n_written = self._base(writer) or FIRST, self._path(day), 0
        n_rows, n_known = _number(writer, f"SELECT count(*) {rows}"), self._count(writer, path)
        leaves = day < base or drops
        if not n_known:
            n_written = self._write(writer, path, f"SELECT {self._columns} {rows}")
        elif leaves or n_known != n_rows:
            known = _parquet([path])
            new = f"SELECT {self._columns} {rows} AND {self._key} NOT IN (SELECT {self._key} FROM {known})"
            if _number(writer, f"SELECT count(*) FROM ({new})"):
                n_written = self._write(writer, path, f"SELECT {self._columns} FROM {known} UNION ALL {new}")
        if leaves:
            self._leave(writer, day, rows)
        return n_written

    def _leave(self, writer: duckdb.DuckDBPyConnection, day: str, rows: str) -> None:
        """Have the rows of a day leave the database, when its file has them all. Raises: duckdb.Error, OSError."""
        path = self._path(day)
        writer.begin()
        try:
            known = f"SELECT {self._key} FROM {_parquet([path])}"
            if n_lacking := _number(writer, f"SELECT count(*) {rows} AND {self._key} NOT IN ({known})"):
                raise OSError(errno.EIO, f"has not {n_lacking} of the rows that it was made from", str(path))
            writer.execute(f"DELETE {rows}")
            self._set_base(writer, max(self._base(writer) or FIRST, _next(day)))
            self._write_book(writer, f"{LEFT}{day}", str(self._count(writer, path)))
            writer.commit()
        except BaseException:
            with suppress(duckdb.Error):
                writer.rollback()
            raise

    def _check_mounted(self, writer: duckdb.DuckDBPyConnection) -> None:
        """Refuse a directory that has nothing of a day that is in files only. Raises: OSError."""
        for day in self.missing(writer):
            if not any(self._path(day).parent.glob(f"{self._stem}.*")):  # else it is there, or was set aside there
                raise FileNotFoundError(errno.ENOENT, "is not where it was put", str(self._path(day)))

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
        """Put a file in the place of another, whole and on the disk, once it was read and is what it should be."""
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}")
        try:
            n_written = _number(writer, f"COPY ({what}) TO {_quoted(draft)} (FORMAT parquet, COMPRESSION zstd)")
            _sync(draft)
            wanted, made = (self._content(writer, each) for each in (what, f"SELECT * FROM {_parquet([draft])}"))
            if made != wanted:
                raise OSError(errno.EIO, f"holds {made} and not {wanted} (rows, sum)", str(draft))
            draft.rename(path)
        except BaseException:
            draft.unlink(missing_ok=True)  # on a full disk it would keep the rest of it
            raise
        _sync(path.parent)
        _sync(self._directory)
        return n_written

    def _content(self, connection: duckdb.DuckDBPyConnection, what: str) -> tuple[object, ...]:
        """Return how many rows a query has, and one number that all their values make."""
        return connection.execute(f"SELECT count(*), bit_xor(hash({self._columns})) FROM ({what})").fetchone() or ()

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
        self._write_book(writer, BASE, day)

    def _write_book(self, writer: duckdb.DuckDBPyConnection, name: str, value: str) -> None:
        writer.execute(f"INSERT OR REPLACE INTO {self._book} VALUES (?, ?)", [name, value])


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
