"""Scripts as commands name them: a file, or the name of one that is shipped; and a contact's columns as words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import grammars
from grammars.errors import Reason, ScriptError, UnknownWord
from grammars.lang.en.lexicon import pronounce
from grammars.script import load
from grammars.script_model import Script
from nodes.errors import NodeError

SHIPPED = Path(grammars.__file__).parent / "scripts"


class NoSuchScript(NodeError):
    """Neither a file nor a shipped script."""


class BadScript(NodeError):
    """The checker refuses the script: a line for each of `reasons`."""

    def __init__(self, path: Path, reasons: Sequence[Reason]) -> None:
        super().__init__("\n".join(f"{path}:{each.line}: {each.reason}" for each in reasons))
        self.path, self.reasons = path, tuple(reasons)


class BadSlots(NodeError):
    """The script needs other slots than it was given."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A script that may be run: where it is, its text, and what was read in it."""

    path: Path
    text: str
    script: Script


def find_script(name: str) -> Path:
    """Return the file of a script. Raises: NoSuchScript.

    >>> find_script("hello").name
    'hello.yaml'
    """
    for path in (Path(name), SHIPPED / f"{name}.yaml"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.yaml") if "." not in path.stem))
    raise NoSuchScript(f"{name}: no such file, and no shipped script of that name ({shipped})")


def read_script(name: str) -> str:
    """Return a script's text. Raises: NoSuchScript, OSError."""
    return find_script(name).read_text(encoding="utf-8")


def check_script(name: str) -> Checked:
    """Return a script that the checker has nothing against. Raises: NoSuchScript, BadScript, OSError."""
    path = find_script(name)
    try:
        text = path.read_text(encoding="utf-8")
        return Checked(path, text, load(text, _is_pronounceable))
    except ScriptError as error:
        raise BadScript(path, error.reasons) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise BadScript(path, [Reason(line, f"not UTF-8: {error.reason}")]) from error


def read_slots(given: Iterable[str]) -> dict[str, str]:
    """Return the columns of a contact from `NAME=VALUE` words. Raises: BadSlots.

    >>> read_slots(["company=Acme", "account=4=2"])
    {'company': 'Acme', 'account': '4=2'}
    """
    pairs = [word.partition("=") for word in given]
    if wrong := [name for name, sign, _ in pairs if not (name and sign)]:
        raise BadSlots(f"--slot {wrong[0]!r} is not NAME=VALUE")
    return {name: value for name, _, value in pairs}


def check_slots(script: Script, slots: dict[str, str]) -> None:
    """See that these are the columns that the script wants of a contact. Raises: BadSlots."""
    wanted = [name for name, slot in script.slots.items() if slot.contact]
    if unknown := [name for name in slots if name not in wanted]:
        raise BadSlots(f"--slot {unknown[0]}: {script.flow} wants {', '.join(wanted) or 'no slots'}")
    if problems := script.problems(slots):
        raise BadSlots(f"{script.flow}: {'; '.join(problems)} (--slot NAME=VALUE)")


def _is_pronounceable(word: str) -> bool:
    try:
        return bool(pronounce(word))
    except UnknownWord:
        return False


__all__ = [
    "SHIPPED", "BadScript", "BadSlots", "Checked", "NoSuchScript",
    "check_script", "check_slots", "find_script", "read_script", "read_slots",
]  # fmt: skip
