"""The table of OTP's cases, `cases.tsv`: which there are, and what becomes of each here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_suffix(".tsv")


@dataclass(frozen=True, slots=True)
class Case:
    """One case of OTP 25.2.3. `mark`: `=`, `~` or `x`; `why`: what is different, or why there is no counterpart."""

    suite: str
    section: str
    name: str
    mark: str
    why: str

    @property
    def applies(self) -> bool:
        """Whether there is a test of this name."""
        return self.mark != "x"


def read(table: Path = TABLE) -> list[Case]:
    """Return the cases, in OTP's order."""
    rows = (line.split("\t") for line in table.read_text().splitlines() if line and not line.startswith("#"))
    return [Case(*row, *[""] * (5 - len(row))) for row in rows]


__all__ = ["Case", "read"]
