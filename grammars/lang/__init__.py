"""Languages: each a directory with all that is language in it, found by its name and loaded when it is first used.

A directory is a pack. It has a `PACK` (`Pack`, in `grammars.lang.pack`), a module `hearing` with a builder for each of
`pack.HEARD`, and the tables of `pack.TABLES`. What is general (rules, their parameters, compiling, scripts) asks the
pack of its language, and no pack asks another.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from grammars.errors import UnknownLanguage
from grammars.lang.pack import Pack

ENGLISH = "en"
"""The language of a script that names none."""
LANGUAGES = (ENGLISH, *sorted(each.name for each in iter_modules(__path__) if each.ispkg and each.name != ENGLISH))
"""Those that a script may be in."""


@cache
def pack(language: str) -> Pack:
    """Return the pack of a language. Raises: `UnknownLanguage`, with those that there are.

    >>> pack("en").name
    'English'
    """
    if language not in LANGUAGES:
        raise UnknownLanguage(language, LANGUAGES)
    found = import_module(f"{__name__}.{language}").PACK
    assert isinstance(found, Pack), language
    return found


def package(language: str) -> str:
    """Return where the tables of a language are, as `grammars.tables.table` wants it."""
    return f"{__name__}.{language}"


__all__ = ["ENGLISH", "LANGUAGES", "Pack", "pack", "package"]
