"""Text and values of a known kind into words, in the language that is named."""

from __future__ import annotations

from grammars.lang import ENGLISH, pack


def verbalise(text: str, kind: str = "", language: str = ENGLISH) -> str:
    """Return `text` as words, read as a value of `kind`; what is no such value is read as free text.

    Raises: `UnknownLanguage`, and nothing else.

    >>> verbalise("2026-03-03", "date"), verbalise("next week", "date")
    ('March third twenty twenty six', 'next week')
    """
    known = pack(language)
    try:
        return known.kinds.get(kind, known.normalise)(text)
    except ValueError:
        return known.normalise(text)


def normalise(text: str, language: str = ENGLISH) -> str:
    """Return prompt text as words with pauses for the voice, without digits and symbols. Raises: `UnknownLanguage`."""
    return pack(language).normalise(text)


def unspeakable(text: str, language: str = ENGLISH) -> str:
    """Return the letters and digits of a text that the voice of a language cannot say. Raises: `UnknownLanguage`."""
    return pack(language).unspeakable(text)


def words_of(text: str, language: str = ENGLISH) -> list[str]:
    """Return the words of a spoken text as the recogniser of a language writes them. Raises: `UnknownLanguage`."""
    return pack(language).words_of(text)


__all__ = ["normalise", "unspeakable", "verbalise", "words_of"]
