"""How words are pronounced: gruut's American English lexicon in the recogniser's phones, one source for both engines.

gruut writes IPA with stress; the recogniser was trained on the same 40 sounds without stress, under X-SAMPA names
(`lexicon.tsv`, one to one). A word that the lexicon lacks, such as a rare name, is guessed from its letters by
gruut's model and counts as known; `is_guess` tells. The lexicon is an SQLite file without an index on its words, so
that a look-up takes 40 ms instead of a tenth of one: `index_gruut` mends that once, at set-up.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable
from enum import Enum
from functools import cache, lru_cache
from importlib.resources import files

from grammars.errors import UnknownWord
from grammars.tables import table

Pronunciation = tuple[str, ...]
"""The phones of one way to say a word, in X-SAMPA without stress."""

PHONES: dict[str, str] = {ipa: xsampa for ipa, xsampa in table("grammars.lang.en", "lexicon")}
"""gruut's symbol -> the recogniser's name."""

CACHED = 20_000
"""Words whose pronunciation is kept: a few MB, more than all scripts of a node together use."""

_DATABASE = f"file:{files('gruut_lang_en') / 'lexicon.db'}"
_NOT_WRITABLE = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
"""The file, or the directory that has to take the journal."""
_INDEXES = (
    "CREATE INDEX IF NOT EXISTS word_phonemes_word ON word_phonemes(word)",
    "CREATE INDEX IF NOT EXISTS pron_features_pron_id ON pron_features(pron_id)",
)


def pronounce(word: str) -> tuple[Pronunciation, ...]:
    """Return every pronunciation of a word, the usual one first; at least one. Case does not matter.

    A word is letters and apostrophes. Raises `UnknownWord` for anything else that the lexicon does not happen to have.

    >>> pronounce("either")
    (('i', 'D', '3'), ('aI', 'D', '3'))
    """
    return _look_up(word.lower()) or _guess(word.lower())


def is_guess(word: str) -> bool:
    """Return whether the pronunciation is guessed from the letters. Raises `UnknownWord` as `pronounce` does."""
    return bool(pronounce(word)) and not _look_up(word.lower())


@lru_cache(CACHED)
def _look_up(word: str) -> tuple[Pronunciation, ...]:
    rows = _connection().execute("SELECT phonemes FROM word_phonemes WHERE word = ? ORDER BY pron_order", (word,))
    return tuple(dict.fromkeys(_phones(ipa.split()) for (ipa,) in rows))


@lru_cache(CACHED)
def _guess(word: str) -> tuple[Pronunciation, ...]:
    if not re.fullmatch(r"[a-z']*[a-z][a-z']*", word):
        raise UnknownWord(word)
    if guessed := _phones(_letters_to_phones()(word)):
        return (guessed,)
    raise UnknownWord(word)


@cache
def _letters_to_phones() -> Callable[[str], Iterable[str]]:
    from gruut.g2p import GraphemesToPhonemes  # takes a second to import, and most scripts never guess

    return GraphemesToPhonemes(str(files("gruut_lang_en") / "g2p" / "model.crf"))


def _phones(ipa: Iterable[str]) -> Pronunciation:
    return tuple(PHONES[symbol.lstrip("ˈˌ")] for symbol in ipa)


@cache
def _connection() -> sqlite3.Connection:
    return sqlite3.connect(f"{_DATABASE}?mode=ro", uri=True, check_same_thread=False)


class Indexed(Enum):
    """What became of the lexicon's indexes."""

    CREATED = "created"
    PRESENT = "present"
    READ_ONLY = "read_only"
    """The lexicon cannot be written here: everything works, but new words take 40 ms each."""


def index_gruut(database: str = f"{_DATABASE}?mode=rw") -> Indexed:
    """Index gruut's lexicon (an SQLite URI) so that looking up a word need not scan it all. Safe to repeat.

    Takes 0.1 s and makes the file 3.6 MB larger. Raises `sqlite3.DatabaseError` for a file that is no lexicon.
    """
    connection = sqlite3.connect(database, uri=True)
    try:
        before = _count_indexes(connection)
        with connection:
            for statement in _INDEXES:
                connection.execute(statement)
        return Indexed.CREATED if _count_indexes(connection) > before else Indexed.PRESENT
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _NOT_WRITABLE:  # extended codes keep the kind in the low byte
            raise
        return Indexed.READ_ONLY
    finally:
        connection.close()


def _count_indexes(connection: sqlite3.Connection) -> int:
    (count,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE type = 'index'").fetchone()
    return int(count)
