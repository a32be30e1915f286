"""Rules that are lists of phrases: `yes_no`, the intents, and the choices that a script gives."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from operator import add

from grammars.fst import Fst, cross, insert, small, union, weighted
from grammars.lang import ENGLISH, package
from grammars.rules.phrase import Tree, first_of, tree
from grammars.rules.spec import INTENTS, RuleSpec
from grammars.tables import table


def build(spec: RuleSpec) -> Fst:
    """Return phrases -> the value they mean, from the script's options or from the table of the rule's name."""
    if options := spec.options:
        return small(union(*(cross(phrase, value) for value, phrases in options.items() for phrase in phrases)))
    return small(union(*(phrases(pattern, value, float(p), spec.language) for value, pattern, p in _rows(spec))))


def first(spec: RuleSpec) -> Mapping[str, str]:
    """Return the phrase to say for each value: the first that means it."""
    if options := spec.options:
        return {value: phrases[0] for value, phrases in options.items()}
    return {value: first_of(tree(pattern, spec.language)) for value, pattern, _ in reversed(_rows(spec))}


def phrases(pattern: str, written: str, probability: float = 1.0, language: str = ENGLISH) -> Fst:
    """Return one pattern as a transducer that writes `written`."""
    return weighted(_heard(tree(pattern, language)) + insert(written), probability)


def _heard(tree: Tree) -> Fst:
    """Any one of the sequences; its words one after the other."""
    return small(union(*(reduce(add, map(_one, sequence), insert("")) for sequence in tree)))


def _one(part: str | Tree) -> Fst:
    return cross(part) if isinstance(part, str) else _heard(part)


def _rows(spec: RuleSpec) -> list[tuple[str, str, str]]:
    """Value, pattern, probability; in the tables of the intents the value is the rule's name and not written down."""
    known = table(package(spec.language), spec.name)
    rows = [(spec.name, *row) if spec.name in INTENTS else row for row in known]
    return [(value, pattern, probability) for value, pattern, probability in rows]
