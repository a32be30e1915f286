"""How deep a text from outside may nest: seen before a parser sees it, because parsers go down by calling themselves.

A parser that recurses ends a process, or holds its loop, with 50 kB of open brackets. What is counted here are brackets
outside strings, as JSON and TOML write them (YAML has `grammars/script_tree.py`); no more is understood of the text, so
what passes may still be wrong, and is the parser's to refuse.
"""

from __future__ import annotations

import re
from typing import Final

DEEPEST: Final = 32
"""Levels: a business API's reply has three or four, a configuration two."""
_OUTSIDE: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_NOT_BRACKETS: Final = bytes(each for each in range(256) if each not in b"[]{}")


def is_too_deep(text: bytes, most: int = DEEPEST) -> bool:
    """Say whether brackets nest deeper than `most`. Linear in the text; most texts have too few brackets to look.

    >>> is_too_deep(b"[" * 3000), is_too_deep(b'{"a": [1, "[[[["]}', 2)
    (True, False)
    """
    if text.count(b"[") + text.count(b"{") <= most:
        return False
    depth = 0
    for bracket in _OUTSIDE.sub(b"", text).translate(None, _NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > most:
            return True
    return False


__all__ = ["DEEPEST", "is_too_deep"]
