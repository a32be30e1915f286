"""What every language must bring, and that a directory is all that a further one needs."""

import random
import re
import subprocess
import sys
from datetime import date
from importlib.resources import files
from itertools import product

import pytest

from grammars.doubt import ANSWER, SURE
from grammars.errors import UnknownLanguage
from grammars.lang import LANGUAGES, pack, package
from grammars.lang.pack import HEARD, TABLES
from grammars.rules import INTENTS, NAMES, RuleSpec
from grammars.rules.compile import builders, compile_rule
from grammars.script_law import Said
from grammars.script_model import RULE_KINDS
from grammars.spoken import normalise, unspeakable, verbalise, words_of
from grammars.tables import table

WEDNESDAY = date(2026, 3, 4)
VALUES = {
    "date": "2026-03-03", "time": "15:30", "money": "42.50", "number": "123", "ordinal": "3", "digits": "4250",
}  # fmt: skip
RULES = [name for name in NAMES if name not in ("choices", "phone")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_pack_has_all_tables_and_a_builder_for_each_rule(language: str) -> None:
    assert pack(language).name
    assert {name for name in TABLES if not (files(package(language)) / f"{name}.tsv").is_file()} == set()
    assert builders(language).keys() == set(HEARD)
    assert {kind.value for kind in RULE_KINDS.values()} - {"text"} == pack(language).kinds.keys()


@pytest.mark.parametrize(("language", "rule"), [*product(LANGUAGES, RULES)])
def test_a_pack_hears_each_rule_and_understands_what_it_draws(language: str, rule: str) -> None:
    compiled, dice = compile_rule(RuleSpec(rule, language=language), WEDNESDAY), random.Random(1)
    for _ in range(20):
        words, meaning = compiled.sample(dice)
        assert compiled.parse(words) == meaning
        assert unspeakable(words, language) == ""
    wanted = ["yes", "no"] if rule == "yes_no" else [rule] if rule in INTENTS else [VALUES[rule]]
    assert None not in [compiled.say(value) for value in wanted]


@pytest.mark.parametrize(("language", "kind"), [*product(LANGUAGES, VALUES)])
def test_a_pack_says_each_kind_of_value_without_digits(language: str, kind: str) -> None:
    said = verbalise(VALUES[kind], kind, language)
    assert words_of(said, language)
    assert not re.search(r"\d", said)
    assert normalise(said, language) == said
    assert unspeakable(said, language) == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_pack_knows_what_a_callee_must_be_told_and_what_is_asked_in_doubt(language: str) -> None:
    assert {said for said, _ in table(package(language), "law")} == set(Said)
    words = dict(table(package(language), "usual_words"))
    assert words.keys() == {*SURE, ANSWER, "wait"}
    assert all(unspeakable(text.replace("{}", ""), language) == "" for text in words.values())
    assert words["answer"].count("{}") == 1


def test_a_language_that_there_is_not_is_named_with_those_that_there_are() -> None:
    for ask in (pack, lambda language: RuleSpec("yes_no", language=language), lambda one: normalise("x", one)):
        with pytest.raises(UnknownLanguage, match=f"no language 'tlh'; there are {', '.join(LANGUAGES)}"):
            ask("tlh")


def test_a_pack_is_loaded_where_its_language_is_used_and_nowhere_else() -> None:
    code = (
        "import sys, grammars, grammars.rules.compile; from grammars.spoken import normalise; normalise('x');"
        "sys.exit(', '.join(name for name in sys.modules if name.startswith('grammars.lang.')"
        "and name.split('.')[2] not in ('en', 'pack')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip() == ""
