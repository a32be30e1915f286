"""Written values as the packs read them: what is the same in all languages."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 12
"""Digits of the greatest number that is said as a number."""


def matched(pattern: str, text: str) -> re.Match[str]:
    """Return the groups of a written value, thousands separators and outer space removed. Raises: `ValueError`.

    >>> matched(r"(\\d+)", " 1,200 ")[1]
    '1200'
    """
    if found := re.fullmatch(pattern, text.strip().replace(",", ""), re.ASCII):
        return found
    raise ValueError(text)


__all__ = ["LONGEST", "matched"]
