"""Forgets people in a recorder's files: database, Parquet files, exports; and finds texts in them.

DuckDB packs what it writes, and what is deleted stays in blocks of the file that nobody can find any more: a search of
its bytes shows nothing, before or after (measured, 2.0.0). So a database of which rows were deleted is written anew,
without free blocks, and put in the place of the old one; who dies in between does it again, for the book does not yet
say that somebody is forgotten. Parquet files are written anew, too, and read again before they count.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import duckdb

from protocols.wire.forgetting import Person

FORGOTTEN: Final = "forgotten/"
"""How the names begin under which a database's book has up to when somebody is forgotten in it."""


def condition(columns: Sequence[str], people: Sequence[Person]) -> str:
    """Return what is true in SQL of a row with these columns that is theirs."""
    names, calls = _list([one.contact_id for one in people]), _list([call for one in people for call in one.calls])
    said = []
    if "attempt_id" in columns:  # as `campaigns.contact_of` reads it
        said += [f"coalesce(string_split(attempt_id, '-')[-2], '') IN {names}", f"attempt_id IN {calls}"]
    if "call_id" in columns:
        said.append(f"call_id IN {calls}")
    if "contact_id" in columns:
        said.append(f"contact_id IN {names}")
    if "body" in columns:  # a dead letter, whatever it was
        words = [word for one in people for word in (one.contact_id, *one.calls)]
        said += [f"contains(body, {_quoted(word)})" for word in words]
    return f"(coalesce({' OR '.join(said)}, false))" if said else "false"


def without(connection: duckdb.DuckDBPyConnection, path: Path, people: Sequence[Person]) -> tuple[int, int]:
    """Have a Parquet file have nothing of these people; return how many rows it had, and how many were theirs.

    Raises: duckdb.Error, OSError; the file is then as it was.
    """
    source = f"read_parquet({_quoted(path)}, hive_partitioning = false)"
    columns = [str(row[0]) for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
    theirs = condition(columns, people)
    n_rows, n_theirs = _numbers(connection, f"SELECT count(*), count(*) FILTER ({theirs}) FROM {source}")
    if not n_theirs:
        return n_rows, 0
    if n_theirs == n_rows:
        path.unlink()
        _sync(path.parent)
        return n_rows, n_theirs
    draft = path.with_name(f".{path.name}")  # as `Archive` names its own, and removes what a killed one left
    names = ", ".join(f'"{name}"' for name in columns)
    others = f"SELECT * FROM {source} WHERE NOT {theirs}"
    try:
        connection.execute(f"COPY ({others}) TO {_quoted(draft)} (FORMAT parquet, COMPRESSION zstd)")
        made = f"SELECT * FROM read_parquet({_quoted(draft)}, hive_partitioning = false)"
        sums = [f"SELECT count(*), coalesce(bit_xor(hash({names})), 0) FROM ({what})" for what in (others, made)]
        wanted, found = (_numbers(connection, each) for each in sums)
        if wanted != found:
            raise OSError(f"{draft}: holds {found} and not {wanted} (rows, sum)")
        _sync(draft)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    _sync(path.parent)
    return n_rows, n_theirs


def tidied(directory: Path) -> list[Path]:
    """Return the Parquet files below a directory, without those that somebody has begun who was killed."""
    found = sorted(directory.rglob("*.parquet"))
    for path in found:
        if path.name.startswith("."):
            path.unlink()
    return [path for path in found if not path.name.startswith(".")]


def rewrite(connection: duckdb.DuckDBPyConnection, database: Path, name: str) -> None:
    """Write an attached database anew, without what was deleted from it; it is attached again in any case.

    Nobody may be using it. Raises: duckdb.Error, OSError; then it is the old one.
    """
    draft = database.with_name(f".{database.name}.forgetting")
    _remove(draft)
    try:
        connection.execute(f"ATTACH {_quoted(draft)} AS rewritten")
        try:
            connection.execute(f"COPY FROM DATABASE {name} TO rewritten")
            for table in _tables(connection, name):
                wanted, found = (
                    _numbers(connection, f"SELECT count(*) FROM {one}.{table}") for one in (name, "rewritten")
                )
                if wanted != found:
                    raise OSError(f"{draft}: {table} has {found[0]} rows and not {wanted[0]}")
            connection.execute("FORCE CHECKPOINT rewritten")
        finally:
            connection.execute("DETACH rewritten")
        _sync(draft)
        connection.execute(f"FORCE CHECKPOINT {name}")  # its log has nothing more to say, and must not be the new one's
        connection.execute(f"DETACH {name}")
        try:
            database.with_name(f"{database.name}.wal").unlink(missing_ok=True)
            draft.replace(database)
            _sync(database.parent)
        finally:
            connection.execute(f"ATTACH {_quoted(database)} AS {name}")
    except BaseException:
        _remove(draft)
        raise


def find(
    connection: duckdb.DuckDBPyConnection, sources: Mapping[str, str], patterns: Sequence[str]
) -> Iterator[tuple[str, int, int]]:
    """Yield for each source (its name, what to select from) how many rows it has, and how many have such a pattern."""
    for name, source in sources.items():
        columns = [str(row[0]) for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        row = "lower(concat_ws(' ', " + ", ".join(f'CAST("{one}" AS VARCHAR)' for one in columns) + "))"
        has = " OR ".join(f"regexp_matches({row}, {_quoted(one.lower())}, 's')" for one in patterns) or "false"
        n_rows, n_found = _numbers(connection, f"SELECT count(*), count(*) FILTER ({has}) FROM {source}")
        yield name, n_rows, n_found


def _tables(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    rows = connection.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = ?", [name]).fetchall()
    return [str(row[0]) for row in rows]


def _numbers(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[int, ...]:
    return tuple(map(int, connection.execute(sql).fetchone() or ()))


def _list(names: Sequence[str]) -> str:
    return f"({', '.join(map(_quoted, names)) or 'NULL'})"


def _quoted(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


def _remove(draft: Path) -> None:
    for path in (draft, draft.with_name(f"{draft.name}.wal")):
        with suppress(FileNotFoundError):
            path.unlink()


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


__all__ = ["FORGOTTEN", "condition", "find", "rewrite", "tidied", "without"]
