"""The tables beside the modules that read them. Tab separated; a line that starts with # is a remark."""

from __future__ import annotations

from functools import cache
from importlib.resources import files


@cache
def table(package: str, name: str) -> tuple[tuple[str, ...], ...]:
    """Return the rows of `<name>.tsv` in a package, each with its fields.

    Raises `FileNotFoundError` for a table that is not shipped.

    >>> table("grammars.lang.en", "number")[3]
    ('3', 'three')
    """
    text = (files(package) / f"{name}.tsv").read_text(encoding="utf-8")
    return tuple(tuple(line.split("\t")) for line in text.splitlines() if line and not line.startswith("#"))
