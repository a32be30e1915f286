"""A contact list: CSV in, contacts out, or everything that is wrong with it, line by line. Nothing in between.

The heading names `number` (E.164, a number of the given region, or a SIP URI) and, if wanted, `name`, `timezone` and
`consent`; the name and every further column are slots of the script. Commas, semicolons or tabs (RFC 4180 otherwise),
UTF-8 with or without a byte order mark, or UTF-16 with one: what spreadsheets write. Other encodings are not guessed:
a wrong guess is a name mispronounced.

A number is checked for length, not for being in use: numbering plans change faster than any table of them, and a
number nobody has comes back from the trunk as `invalid`.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain
from typing import BinaryIO, TypeAlias
from zoneinfo import ZoneInfo

import phonenumbers
from phonenumbers.timezone import time_zones_for_number

from protocols.errors import RemoteProtocolError
from protocols.sip import identity
from protocols.sip.syntax import uri
from protocols.wire.campaigns import ContactId, Problem, contact_id
from protocols.wire.journal import Contact

MAX_PROBLEMS = 100
"""More than an operator reads at once; the list is refused after the first anyway."""
MAX_LINE = 10_000
"""Characters of one contact: a page of text is 3,000, and what a script says of somebody is less."""
MAX_RAW = 1_000_000
"""Characters without an end of line: no list has so long a line."""
CHUNK = 64 * 1024
UNKNOWN_ZONE = "Etc/Unknown"  # what phonenumbers says of a number without a place (satellite phones and the like)
LINE_END = re.compile(r"\r\n|\r|\n")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
COLUMN = re.compile(r"[a-z][a-z0-9_]*")
NOT_SLOTS = ("number", "timezone", "consent")

Row = tuple[int, list[str]]


class BadContactList(Exception):
    """The list cannot be imported; `problems` says why, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("; ".join(f"{p.file}:{p.line}: {p.column} {p.reason}" for p in problems))
        self.problems = tuple(problems)


class _Wrong(Exception):
    """One cell or line is wrong. With a `line` it is the file that cannot be read beyond it."""

    def __init__(self, reason: str, column: str = "", line: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.column, self.line = reason, column, line


Faults: TypeAlias = Callable[[Contact], Sequence[str]]
"""What else somebody has against a contact, in words."""


def read_contacts(
    file: str,
    data: bytes,
    *,
    key: bytes,
    region: str = "",
    zone: str = "",
    faults: Faults = lambda contact: (),
) -> tuple[Contact, ...]:
    """Return the contacts of a list, in its order.

    `file`: its name, for messages. `key`: hides the numbers in the contacts' names. `region`: the country of numbers
    without `+`. `zone`: the IANA zone of contacts for whom neither list nor number tells one. `faults`: what script
    and plan have against a contact. Raises BadContactList with up to 100 problems and nothing else, whatever the bytes.

    >>> [c.target for c in read_contacts("l.csv", b"number\\n030 123456\\n", key=bytes(32), region="DE")]
    ['+4930123456']
    """
    return tuple(Listing(file, io.BytesIO(data), key=key, region=region, zone=zone, faults=faults))


class Listing:
    """A contact list that is read as it comes: iterate over it. `slots`: the columns that are the script's."""

    def __init__(
        self,
        file: str,
        stream: BinaryIO,
        *,
        key: bytes,
        region: str = "",
        zone: str = "",
        faults: Faults = lambda contact: (),
    ) -> None:
        """As `read_contacts`; `stream` is read line by line. Raises BadContactList: the heading is wrong."""
        self._file = file
        self._rows = _rows(_lines(stream))
        try:
            heading = _heading(next(self._rows, (1, [])))
        except _Wrong as wrong:
            raise BadContactList([self._problem(wrong, wrong.line)]) from None
        self._reader = _Reader(heading, key, region, zone, faults)
        self.slots = tuple(column for column in heading if column not in NOT_SLOTS)

    def __iter__(self) -> Iterator[Contact]:
        """Yield the contacts. Raises BadContactList with everything that is wrong: then none of them counts."""
        problems: list[Problem] = []
        n_contacts = 0
        try:
            for line, cells in self._rows:
                try:
                    contact = self._reader.contact(line, cells)
                except _Wrong as wrong:
                    problems.append(self._problem(wrong, line))
                else:
                    n_contacts += 1
                    yield contact
                if len(problems) == MAX_PROBLEMS:
                    break
            if not n_contacts and not problems:
                raise _Wrong("no contacts below the heading", line=1)
        except _Wrong as wrong:
            problems.append(self._problem(wrong, wrong.line))
        if problems:
            raise BadContactList(problems)

    def _problem(self, wrong: _Wrong, line: int) -> Problem:
        return Problem(self._file, line, wrong.column, wrong.reason)


def _lines(stream: BinaryIO) -> Iterator[str]:
    """Yield the lines of the text behind the bytes, each with its end. Raises _Wrong with the line where it ends."""
    start = stream.read(2)
    encoding = "utf-16" if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)(), translate=False)
    n_lines, chunk, left = 0, start, ""
    while True:
        try:
            text = left + decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            n_whole = error.object[: error.start].decode(encoding, "ignore").count("\n")
            bad, name = error.object[error.start], encoding.upper().removesuffix("-SIG")
            wrong = f"byte 0x{bad:02x} is not {name}: save the list as UTF-8"
            raise _Wrong(wrong, line=n_lines + n_whole + 1) from None
        at = 0
        for end in LINE_END.finditer(text):
            yield text[at : end.end()]
            at, n_lines = end.end(), n_lines + 1
        left = text[at:]
        if not chunk:
            break
        if len(left) > MAX_RAW:
            raise _Wrong(f"more than {MAX_RAW} characters", line=n_lines + 1)
        chunk = stream.read(CHUNK)
    if left:
        yield left


def _rows(lines: Iterator[str]) -> Iterator[Row]:
    """Yield the lines that are not blank, with the number each begins on. Raises _Wrong where it is CSV no longer."""
    first = next(lines, "")
    delimiter = max(",;\t", key=first.count)  # on a tie the first: a heading of one column has none
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _Wrong(f"not CSV: {error}", line=line) from None
        if any(cell.strip() for cell in cells):
            yield line, [" ".join(cell.split()) for cell in cells]  # also the no-break spaces of spreadsheets


def _heading(row: Row) -> list[str]:
    """Return the column names, lower-case. Raises _Wrong."""
    line, cells = row
    names = [cell.lower() for cell in cells]
    if "number" not in names:
        raise _Wrong("the first line is a heading with a column `number`", line=line)
    for name in names:
        if not COLUMN.fullmatch(name):
            raise _Wrong("a column's name is made of a-z, 0-9 and _, and begins with a letter", name, line)
        if names.count(name) > 1:
            raise _Wrong("two columns have this name", name, line)
    return names


class _Reader:
    """Makes contacts of lines, and remembers whom it has seen."""

    def __init__(self, heading: list[str], key: bytes, region: str, zone: str, faults: Faults) -> None:
        self._heading, self._key, self._region, self._faults = heading, key, region, faults
        self._otherwise = (zone,) if zone else ()
        self._seen: dict[ContactId, int] = {}

    def contact(self, line: int, cells: list[str]) -> Contact:
        """Return the contact of one line. Raises _Wrong."""
        row = self._row(cells)
        target, zones = _target(row["number"], self._region)
        contact = Contact(
            contact_id=self._named(line, target),
            target=target,
            zones=_stated_zone(row.get("timezone", "")) or zones or self._otherwise,
            consent=row.get("consent", ""),
            slots={column: cell for column, cell in row.items() if cell and column not in NOT_SLOTS},
        )
        if faults := self._faults(contact):
            raise _Wrong("; ".join(faults))
        return contact

    def _row(self, cells: list[str]) -> dict[str, str]:
        if len(cells) != len(self._heading):
            raise _Wrong(f"{len(cells)} cells, the heading has {len(self._heading)}")
        if sum(map(len, cells)) > MAX_LINE:
            raise _Wrong(f"more than {MAX_LINE} characters")
        for column, cell in zip(self._heading, cells, strict=True):
            if CONTROL.search(cell):
                raise _Wrong("has a control character", column)
        return dict(zip(self._heading, cells, strict=True))

    def _named(self, line: int, target: str) -> ContactId:
        name = contact_id(target, self._key)
        if name in self._seen:
            raise _Wrong(f"the same as on line {self._seen[name]}", "number")
        self._seen[name] = line
        return name


def _target(cell: str, region: str) -> tuple[str, tuple[str, ...]]:
    """Return what to dial and the zones it may be in. Raises _Wrong."""
    if cell.lower().startswith(("sip:", "sips:")):
        return _sip_uri(cell), ()
    try:
        number = phonenumbers.parse(cell, region or None)
    except phonenumbers.NumberParseException as error:
        raise _Wrong(_why(cell, error, region), "number") from None
    if not phonenumbers.is_possible_number(number):
        raise _Wrong("has too few or too many digits for its country", "number")
    if number.extension:
        raise _Wrong("has an extension, which cannot be dialled", "number")
    zones = tuple(zone for zone in time_zones_for_number(number) if zone != UNKNOWN_ZONE)
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164), zones


def _why(cell: str, error: phonenumbers.NumberParseException, region: str) -> str:
    if not cell:
        return "is empty"
    if error.error_type == phonenumbers.NumberParseException.INVALID_COUNTRY_CODE and not region:
        return "has no country: write it with + and the country code, or name a region"
    return "is neither a telephone number nor a SIP URI"


def _sip_uri(cell: str) -> str:
    try:
        wanted = identity.target(cell)
    except RemoteProtocolError as error:
        raise _Wrong(error.detail, "number") from None
    if not uri(wanted).user:
        raise _Wrong("a SIP URI here is sip:user@host", "number")
    return wanted


def _stated_zone(cell: str) -> tuple[str, ...]:
    """Return the zone of a cell, nothing for an empty one. Raises _Wrong."""
    if cell and not is_zone(cell):
        raise _Wrong("is not an IANA time zone such as Europe/Berlin", "timezone")
    return (cell,) if cell else ()


@lru_cache(maxsize=1024)
def is_zone(name: str) -> bool:
    """Return whether `name` is an IANA time zone that this machine knows.

    >>> is_zone("Europe/Berlin"), is_zone("Berlin"), is_zone("../etc")
    (True, False, False)
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # not there, not a key, a directory
        return False
    return True


__all__ = ["NOT_SLOTS", "BadContactList", "Listing", "is_zone", "read_contacts"]
