"""YAML as a tree in which every value knows its line. Strict: text, lists and tables; nothing has a type of its own.

YAML's own guesses are not made: `yes`, `no`, `on` and `2026-03-03` stay the text that was written, and whoever reads a
field says what it must be. Keys are unique, documents are single, anchors and aliases are refused.
How long and how deep a text may be is seen while it is read: YAML's reader calls itself, and looks at all that is open
whenever it reads a word, so that 50 kB of `[` would hold it for minutes.
`Reading` reads fields from the tree and collects every reason to refuse, so that an author sees them all at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

from grammars.errors import Reason, ScriptError

MAX_TEXT = 100_000
"""Bytes of a script: five times the 200 states that it may have, as the shipped ones are written."""
DEEPEST = 12
"""Levels of lists and tables; an option of `choices` is on the ninth."""
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NUMBER = re.compile(r"\d+(\.\d+)?")


@dataclass(frozen=True, slots=True)
class Text:
    """A scalar, as written."""

    line: int
    value: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    line: int
    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping; keys are text."""

    line: int
    entries: dict[str, Tree]


Tree: TypeAlias = Text | Items | Table


def parse(text: str) -> Tree:
    """Return the one document in `text`. Raises `ScriptError` for what is not YAML or is more YAML than we take."""
    if len(text.encode(errors="replace")) > MAX_TEXT:
        raise ScriptError([Reason(1, f"the script is longer than {MAX_TEXT} bytes")])
    try:
        node = yaml.compose(text, _Loader)
        if node is None:
            raise ScriptError([Reason(1, "the script is empty")])
        return _tree(node, node.start_mark.line + 1)
    except yaml.MarkedYAMLError as wrong:
        line = wrong.problem_mark.line + 1 if wrong.problem_mark else 1
        raise ScriptError([Reason(line, f"not YAML: {wrong.problem}")]) from wrong
    except (yaml.YAMLError, RecursionError) as wrong:
        raise ScriptError([Reason(1, f"not YAML: {type(wrong).__name__}")]) from wrong


class _Loader(yaml.SafeLoader):
    """Reads no deeper than `DEEPEST`, and nothing that has an anchor or is an alias."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Make the next node, and what is in it. Raises: `ScriptError`."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        line = event.start_mark.line + 1
        if event.anchor:  # an alias has one, too
            raise ScriptError([Reason(line, "anchors and aliases are not used in scripts")])
        if self._depth == DEEPEST:
            raise ScriptError([Reason(line, f"this is nested deeper than {DEEPEST} levels")])
        self._depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _tree(node: yaml.Node, line: int) -> Tree:
    """Make a tree of a node; a value is on the line of its key."""
    match node:
        case yaml.ScalarNode():
            return Text(line, node.value, quoted=node.style is not None)
        case yaml.SequenceNode():
            return Items(line, tuple(_tree(item, item.start_mark.line + 1) for item in node.value))
    return Table(line, _entries(node))


def _entries(node: yaml.Node) -> dict[str, Tree]:
    entries: dict[str, Tree] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise ScriptError([Reason(line, "a key must be a word")])
        if key.value in entries:
            raise ScriptError([Reason(line, f"{key.value!r} is written twice")])
        entries[key.value] = _tree(value, line)
    return entries


def plain(tree: Tree) -> object:
    """Return the value as parameters are given to rules: whole numbers as int, the rest as str, list and dict."""
    match tree:
        case Text(value=value, quoted=quoted):
            return int(value) if not quoted and value.isascii() and value.isdigit() else value
        case Items(items=items):
            return [plain(item) for item in items]
        case Table(entries=entries):
            return {key: plain(value) for key, value in entries.items()}


@dataclass(slots=True)
class Reading:
    """Reads fields out of trees; what is wrong is written down and a harmless value is read instead."""

    reasons: list[Reason] = field(default_factory=list)

    def refuse(self, line: int, reason: str) -> None:
        """Write down one reason."""
        self.reasons.append(Reason(line, reason))

    def table(self, tree: Tree, what: str) -> dict[str, Tree]:
        """Return the entries of a mapping."""
        if isinstance(tree, Table):
            return tree.entries
        self.refuse(tree.line, f"{what} must be a mapping")
        return {}

    def fields(self, tree: Tree, what: str, known: Collection[str], needed: Collection[str] = ()) -> dict[str, Tree]:
        """Return the entries of a mapping that may have the `known` keys and must have the `needed` ones."""
        entries = self.table(tree, what)
        for name, value in entries.items():
            if name not in known:
                self.refuse(value.line, f"{what} has no {name!r}; it may have {', '.join(known)}")
        for name in needed:
            if isinstance(tree, Table) and name not in entries:
                self.refuse(tree.line, f"{what} needs {name!r}")
        return {name: value for name, value in entries.items() if name in known}

    def named(self, tree: Tree | None, what: str) -> Iterator[tuple[str, Tree]]:
        """Yield the entries of a mapping whose keys its author made up; they must be names."""
        for name, value in self.table(tree, what).items() if tree else ():
            if not _NAME.fullmatch(name):
                self.refuse(value.line, f"{name!r} is no name: small letters, digits and _ only")
            yield name, value

    def text(self, tree: Tree | None, what: str, default: str = "") -> str:
        """Return a text that says something; `default` when the field is absent."""
        if tree is None:
            return default
        if isinstance(tree, Text) and tree.value.strip():
            return tree.value
        self.refuse(tree.line, f"{what} must be a text that is not empty")
        return default

    def one_of(self, tree: Tree | None, what: str, allowed: Collection[str], default: str) -> str:
        """Return one of the `allowed` words."""
        value = self.text(tree, what, default)
        if tree is not None and value not in allowed:
            self.refuse(tree.line, f"{what} must be one of {', '.join(allowed)}, not {value!r}")
            return default
        return value

    def number(self, tree: Tree | None, what: str, least: float, most: float, default: float) -> float:
        """Return a number from `least` to `most`."""
        if tree is None:
            return default
        if isinstance(tree, Text) and _NUMBER.fullmatch(tree.value) and least <= float(tree.value) <= most:
            return float(tree.value)
        self.refuse(tree.line, f"{what} must be a number from {least:g} to {most:g}")
        return default

    def flag(self, tree: Tree | None, what: str) -> bool:
        """Return a yes-or-no setting, written `true` or `false`."""
        return self.one_of(tree, what, ("true", "false"), "false") == "true"
