"""Somebody as people write them: a telephone number with + and the country code, or a SIP URI."""

from __future__ import annotations

import re
from typing import Final

from protocols.errors import RemoteProtocolError
from protocols.sip import identity
from protocols.sip.callee import BETWEEN

_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
"""E.164: up to 15 digits; no country has subscribers with fewer than 7 in all."""


class NotAPerson(ValueError):
    """Says in words what is wrong."""


def person(text: str) -> str:
    """Return what `campaigns.contact_id` names: the number in E.164, or the SIP URI. Raises: NotAPerson.

    >>> person("+1 (202) 555-0100")
    '+12025550100'
    """
    text = text.strip()
    if text.lower().startswith(("sip:", "sips:")):
        try:
            return identity.target(text)
        except RemoteProtocolError as error:
            raise NotAPerson(str(error)) from error
    if "(0)" in text:
        raise NotAPerson("has a (0), which is dialled in its own country only: write it without")
    number = BETWEEN.sub("", text)
    if not _NUMBER.fullmatch(number):
        raise NotAPerson("is no number with + and the country code, and no SIP URI")
    return number


__all__ = ["NotAPerson", "person"]
