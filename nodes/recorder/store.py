"""The file of a recorder: DuckDB, written by one thread, each row once.

A row's first columns are its key, and a key that is there already stays as it is: events may come twice, so a batch is
written, committed, and only then acknowledged. A batch is one JSON text and one parameter a table (16,000 rows a second
where row by row gives 120). A row that DuckDB will not take does not hold up the others: it becomes a dead letter.

One process at a time can open the file; others ask the recorder, or read its Parquet exports. Not for the event loop:
every call here may take tens of milliseconds.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

import duckdb

from nodes.errors import NodeError
from nodes.recorder import forgetting
from nodes.recorder.archive import ALL_DAYS, Archive, days_around
from protocols.wire.forgetting import Person

LONGEST = timedelta(days=1)
"""So far from an attempt's beginning may anything lie that is told of it: what is further away is not read."""

TABLES: Mapping[str, Mapping[str, str]] = {
    "events": {
        "event_id": "VARCHAR", "call_id": "VARCHAR", "attempt_id": "VARCHAR", "campaign_id": "VARCHAR",
        "node_id": "VARCHAR", "wall": "TIMESTAMPTZ", "seq": "UBIGINT", "kind": "VARCHAR", "fields": "JSON",
    },
    "ledger": {
        "attempt_id": "VARCHAR", "campaign_id": "VARCHAR", "contact_id": "VARCHAR", "n": "UINTEGER",
        "wall": "TIMESTAMPTZ", "trunk": "VARCHAR", "consent": "VARCHAR", "passed": "VARCHAR[]",
    },
    "outcomes": {
        "attempt_id": "VARCHAR", "campaign_id": "VARCHAR", "contact_id": "VARCHAR",
        "disposition": "VARCHAR", "cause": "VARCHAR", "wall": "TIMESTAMPTZ",
    },
    "refusals": {
        "refusal_id": "VARCHAR", "campaign_id": "VARCHAR", "contact_id": "VARCHAR", "rule_id": "VARCHAR",
        "wall": "TIMESTAMPTZ",
    },
    "dead_letters": {"letter_id": "VARCHAR", "reason": "VARCHAR", "body": "VARCHAR"},
}  # fmt: skip
"""Table to column to type; the first column is the key."""

BOOK: Final = "name VARCHAR PRIMARY KEY, value VARCHAR"
"""The columns of the table in which a database keeps what it is; no view shows it."""
NOTE: Final = 1000
"""Characters of what is told of a database, at most."""
FILE: Final = "shard0"
"""Under this name the file is attached to the connection, whose own database is in memory."""
COLUMNS: Final = "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = ? AND table_name = ?"
LONG: Final = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")
"""What DuckDB calls a type, and what we call it."""
DAMAGE: Final = ("Corrupt database", "Could not read enough bytes", "database has been invalidated")

Value: TypeAlias = str | int | float | Sequence[str] | Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Row:
    """One row for a table of `TABLES`."""

    table: str
    values: Mapping[str, Value]


class StoreError(NodeError):
    """The root of this module's errors; nothing of the batch is known to be written."""


class StoreLocked(StoreError):
    """Another process has the file open."""


class StoreBroken(StoreError):
    """The file is no database, is damaged, or was written by another version: it is not to be used as it is."""


class StoreUnwritable(StoreError):
    """The disk is full, gone or not ours. Trying again later is right: the events are still in the stream."""


class Store:
    """One file, open. `write` from one thread, `records` and `copy_out` from one other."""

    def __init__(self, database: Path, archived: Path | None = None, memory: str = "512MB") -> None:
        """Open or make the file. `archived`: where days that are over go; None: `archive`, beside the file.

        Raises StoreLocked, StoreBroken, StoreUnwritable.
        """
        self.database, directory = database, database.parent
        self.directory, self.archived = directory, archived or directory / "archive"
        spill = directory / f"{database.stem}.spill"
        shutil.rmtree(spill, ignore_errors=True)  # what a killed predecessor left
        directory.mkdir(parents=True, exist_ok=True)
        self._writer = _connection((directory, self.archived), spill, memory)
        try:
            self._attach(database)
            self._writer.execute(f"CREATE TABLE IF NOT EXISTS {self._book} ({BOOK})")
            columns = TABLES["events"]
            self._archive = Archive(self.archived, database.stem, f"{FILE}.events", self._book, columns)
            with self._telling():
                self._archive.begin(self._writer)
        except BaseException:
            self._writer.close()  # or its locks would outlive the error
            raise
        for table in TABLES.keys() - {"events"}:
            self._writer.execute(f"CREATE VIEW {table} AS SELECT * FROM {FILE}.{table}")
        self._reader = self._writer.cursor()

    @property
    def note(self) -> str:
        """What is to be known of this database, in words; empty for nothing. Reader's thread."""
        found = self._reader.execute(f"SELECT value FROM {self._book} WHERE name = 'note'").fetchone()
        notes = [str(found[0])] if found else []
        if missing := self._archive.missing(self._reader):
            notes.append(f"{sum(missing.values())} events are missing in {self.archived}: of {', '.join(missing)}")
        return "; ".join(notes)[:NOTE]

    def remember(self, note: str) -> None:
        """Keep a note on this database. Writer's thread."""
        self._write_book("note", note)

    def is_filled(self, stream: str) -> bool:
        """Return whether a stream is being read into this database since its beginning. Writer's thread."""
        found = self._writer.execute(f"SELECT 1 FROM {self._book} WHERE name = ?", [f"filled/{stream}"]).fetchone()
        return found is not None

    def fill(self, stream: str) -> None:
        """Remember that a stream is read from its beginning. Writer's thread."""
        self._write_book(f"filled/{stream}", "")

    def write(self, rows: Iterable[Row]) -> int:
        """Write a batch and return how many rows were new. Raises StoreBroken, StoreUnwritable: write it again."""
        return self._write(list(rows))

    def records(
        self, sql: str, parameters: Mapping[str, str | int | list[str]] | None = None
    ) -> list[dict[str, object]]:
        """Return what a query over the tables yields, a dict a row; `$name` in it is a parameter.

        Of events it sees at least those that lie between its parameters `since` and `until`, or `LONGEST` near
        them. Raises StoreBroken.
        """
        given = dict(parameters or {})
        days = days_around(given.get("since"), given.get("until"), LONGEST)
        try:
            with self._reading(days) as head:
                self._reader.execute(f"{head} {sql}", given)
                names = [column[0] for column in self._reader.description or ()]
                return [dict(zip(names, row, strict=True)) for row in self._reader.fetchall()]
        except duckdb.Error as error:
            if self._archive.set_aside(self._reader, *days):
                return self.records(sql, parameters)
            if _is_damage(error):
                raise StoreBroken(f"{self.directory}: {error}") from error
            raise

    def copy_out(self, table: str, directory: Path) -> int:
        """Write a table as Parquet below `directory`, events by day; return how many rows. Raises StoreUnwritable."""
        day = "strftime(wall, '%Y-%m-%d')"
        what, to, how = f"SELECT * FROM {table}", directory / f"{table}.parquet", "FORMAT parquet"
        if table == "events":
            what, to, how = f"SELECT *, {day} AS day FROM {table}", directory / table, f"{how}, PARTITION_BY (day)"
        try:
            with self._reading() as head:
                done = self._reader.execute(f"COPY ({head} {what}) TO {_quoted(to)} ({how})").fetchone()
        except duckdb.Error as error:
            if self._archive.set_aside(self._reader, *ALL_DAYS) or isinstance(error, duckdb.OperationalError):
                raise StoreUnwritable(f"{to}: {error}") from error
            raise
        return int(done[0]) if done else 0

    def days_over(self, today: str) -> list[str]:
        """Return the days before `today` of which there are events here, in order. Writer's thread."""
        with self._telling():
            return self._archive.days_over(self._writer, today)

    def archive(self, day: str, drops: bool) -> int:
        """Have a day's events in its file, and, if it `drops` them, only there; return how many were written.

        Of the days that are over, in order, and no more after one that fails. Writer's thread.
        Raises StoreBroken, StoreUnwritable.
        """
        try:
            with self._telling():
                return self._archive.keep(self._writer, day, drops)
        except OSError as error:
            raise StoreUnwritable(f"{self.directory}: {error}") from error
        except (duckdb.Error, StoreError):
            if self._archive.set_aside(self._writer, day, day):
                return self.archive(day, drops)
            raise

    def forget(self, people: Sequence[Person], exports: bool = True) -> list[tuple[str, int, int]]:
        """Have nothing of these people any more; return of each place how much was looked through, and was theirs.

        Writer's thread, and nobody may read meanwhile. Nothing where all of it was done already. `exports`: there, too.
        Raises StoreBroken, StoreUnwritable: some of it may be done.
        """
        counts = list[tuple[str, int, int]]()
        try:
            with self._telling():
                if not (left := self._not_forgotten(people)):
                    return counts
                for path in self._archive.files():
                    act = partial(forgetting.without, self._writer, path, left)
                    counts.append(("archive", *self._archive.forget(self._writer, path, act)))
                for path in forgetting.tidied(self.directory / "exports") if exports else ():
                    counts.append(("exports", *forgetting.without(self._writer, path, left)))
                for table, columns in TABLES.items():
                    counts.append((table, *self._delete(table, forgetting.condition(list(columns), left))))
                forgetting.rewrite(self._writer, self.database, FILE)
                for one in left:
                    self._write_book(f"{forgetting.FORGOTTEN}{one.contact_id}", _shown(one.body()))
        except OSError as error:
            raise StoreUnwritable(f"{self.directory}: {error}") from error
        return counts

    def find(self, patterns: Sequence[str]) -> list[tuple[str, int, int]]:
        """Return of each table how many rows there are, and how many have one of these patterns. Reader's thread."""
        with self._reading() as head:
            sources = {table: f"({head} SELECT * FROM {table})" for table in TABLES}
            return list(forgetting.find(self._reader, sources, patterns))

    def _not_forgotten(self, people: Sequence[Person]) -> list[Person]:
        """Return those of whom the book does not say that they are forgotten."""
        found = self._writer.execute(f"SELECT name, value FROM {self._book}").fetchall()
        book = {str(name): str(value) for name, value in found}
        return [one for one in people if book.get(f"{forgetting.FORGOTTEN}{one.contact_id}") != _shown(one.body())]

    def _delete(self, table: str, theirs: str) -> tuple[int, int]:
        counted = self._writer.execute(f"SELECT count(*) FROM {FILE}.{table}").fetchone()
        done = self._writer.execute(f"DELETE FROM {FILE}.{table} WHERE {theirs}").fetchone()
        return (int(counted[0]) if counted else 0), (int(done[0]) if done else 0)

    def stop_reading(self) -> None:
        """Read no more. Reader's thread: a connection that is closed while it is used keeps its file for ever."""
        with suppress(duckdb.Error):
            self._reader.close()

    def close(self) -> None:
        """Write the logs into the files and let go of them; of a damaged file, as far as it goes. Writer's thread."""
        self.stop_reading()
        with suppress(duckdb.Error):
            self._writer.close()

    def _attach(self, path: Path) -> None:
        try:
            self._writer.execute(f"ATTACH {_quoted(path)} AS {FILE}")
            for table, columns in TABLES.items():  # before anything is written
                found = self._writer.execute(COLUMNS, [FILE, table]).fetchall()
                if found and {name: kind.replace(*LONG) for name, kind in found} != dict(columns):
                    raise StoreBroken(f"{path}: table {table} is of another version: {_shown(dict(found))}")
            for table, columns in TABLES.items():
                declared = ", ".join(f"{name} {kind}" for name, kind in columns.items())
                key = next(iter(columns))
                self._writer.execute(f"CREATE TABLE IF NOT EXISTS {FILE}.{table} ({declared}, PRIMARY KEY ({key}))")
        except duckdb.Error as error:
            raise _why(path, error) from error

    @property
    def _book(self) -> str:
        return f"{FILE}.book"

    def _write_book(self, name: str, value: str) -> None:
        self._writer.execute(f"INSERT OR REPLACE INTO {self._book} VALUES (?, ?)", [name, value])

    def _write(self, rows: Sequence[Row]) -> int:
        """Write rows at once; if DuckDB has something against one, one by one."""
        try:
            return self._commit(rows)
        except (duckdb.DataError, duckdb.IntegrityError, duckdb.ProgrammingError) as error:
            if len(rows) > 1:
                return sum(self._write([row]) for row in rows)
            return self._commit([dead_letter(_key(rows[0]), str(error), _shown(rows[0].values))])

    def _commit(self, rows: Sequence[Row]) -> int:
        by_table: dict[str, list[Mapping[str, Value]]] = defaultdict(list)
        for row in rows:
            by_table[row.table].append(row.values)
        with self._telling():
            self._writer.begin()
            try:
                new = sum(self._insert(table, batch) for table, batch in by_table.items())
                self._writer.commit()
            except duckdb.Error:
                with suppress(duckdb.TransactionException):  # a commit that failed has rolled itself back
                    self._writer.rollback()
                raise
        return new

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say in our words what the writer has against it."""
        try:
            yield
        except duckdb.Error as error:
            if _is_damage(error):
                raise StoreBroken(f"{self.directory}: {error}") from error
            if isinstance(error, duckdb.OperationalError):
                raise StoreUnwritable(f"{self.directory}: {error}") from error
            raise

    @contextmanager
    def _reading(self, days: tuple[str, str] = ALL_DAYS) -> Iterator[str]:
        """Read as of one moment; the head of a query tells it where the events are at that moment."""
        self._reader.begin()
        try:
            yield self._archive.tables(self._reader, *days)
        finally:
            with suppress(duckdb.Error):
                self._reader.rollback()

    def _insert(self, table: str, batch: Sequence[Mapping[str, Value]]) -> int:
        """Insert what is not there. Strict: a value that is not of its column's type is an error, not NULL."""
        shape = json.dumps([TABLES[table]])
        rows = f"SELECT unnest(from_json_strict(?::JSON, {_quoted(shape)}), recursive := true)"
        done = self._writer.execute(f"INSERT INTO {FILE}.{table} {rows} ON CONFLICT DO NOTHING", [json.dumps(batch)])
        count = done.fetchone()
        return int(count[0]) if count else 0


def dead_letter(letter_id: str, reason: str, body: str) -> Row:
    """Return the row that keeps what could not be read, under an id that is the same when it comes again."""
    return Row("dead_letters", {"letter_id": letter_id, "reason": reason[:500], "body": body[:10_000]})


def _connection(directories: Iterable[Path], spill: Path, memory: str) -> duckdb.DuckDBPyConnection:
    """Return an empty database in memory; it may touch `directories` and no other file, and no network."""
    settings = {
        "threads": "1",
        "memory_limit": memory,
        "temp_directory": str(spill),
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    connection = duckdb.connect(":memory:", config=dict(settings))
    connection.execute("SET timezone = 'UTC'")
    connection.execute(f"SET allowed_directories = [{', '.join(map(_quoted, directories))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _why(path: Path, error: duckdb.Error) -> StoreError:
    """Return what it means that DuckDB does not open a file."""
    text = f"{path}: {error}"
    if "Could not set lock" in str(error) or "file handle conflict" in str(error):
        return StoreLocked(text)
    if not path.is_file() or not os.access(path, os.R_OK | os.W_OK) or isinstance(error, duckdb.PermissionException):
        return StoreUnwritable(text)
    return StoreBroken(text)


def _is_damage(error: duckdb.Error) -> bool:
    """Return whether the file itself is wrong, and not the disk or a row. DuckDB has no class of its own for it."""
    if isinstance(error, duckdb.InternalException | duckdb.SerializationException | duckdb.FatalException):
        return True
    return any(word in str(error) for word in DAMAGE)


def _quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _key(row: Row) -> str:
    first = next(iter(TABLES[row.table]))
    return f"{row.table}/{_shown(row.values.get(first))}"


def _shown(value: object) -> str:
    return json.dumps(value).encode("ascii", "backslashreplace").decode()


__all__ = ["TABLES", "Row", "Store", "StoreBroken", "StoreError", "StoreLocked", "StoreUnwritable", "dead_letter"]
