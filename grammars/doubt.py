"""What is asked about before it is done: an answer, or a wish, that was perhaps not said.

"Stop calling" and "wrong number" cost a contact for good, and a wish for a human costs somebody's time: the recogniser
must be sure of them, or the callee says once more that they mean it. An answer is asked about below what its question
says (`confirm`), and where that says nothing, below what is usual for its rule. The words are the
script's (`global: confirm`), or those of its language (table `usual_words`); without words all is taken as heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from grammars.lang import package
from grammars.rules.spec import RuleSpec
from grammars.script_model import RULE_KINDS, Gather, Script
from grammars.spoken import normalise
from grammars.tables import table
from grammars.template import Prompt, Sentence
from protocols.wire.messages import Part

SURE: Final[Mapping[str, float]] = {"stop": 0.8, "wrong_number": 0.8, "human": 0.5}
"""Global intent -> the confidence from which it is done without a question."""
LEAST: Final = 0.3
"""Below it a wish that is not asked about was none. Measured: of 324 times that somebody said something else, 35 were
taken for one ("what?", "wait", "not now"), and 6 from here on; of 96 such wishes by three synthetic voices 92 are left.
"""
USUAL: Final[Mapping[str, float]] = {
    "digits": 0.8, "phone": 0.8, "date": 0.6, "number": 0.5, "ordinal": 0.5, "money": 0.5, "time": 0.5, "choices": 0.3,
}  # fmt: skip
"""Rule -> the confidence from which an answer is taken for what was said. Measured: of 36 strings of digits by three
synthetic voices five in six wrong ones are below, and one in thirty right ones; of strangers' strings of three to six
digits 82 % of the wrong ones and 24 % of the right ones; of 98 short pieces of other real speech, which were understood
5 to 18 times, all but two under each rule."""
ANSWER: Final = "answer"
"""What stands for any answer among the intents that are asked about."""
YES_NO: Final = "yes_no"
"""The rule that hears what they say to that."""


@dataclass(frozen=True, slots=True)
class Meant:
    """What the callee wants, or perhaps wants."""

    rule: str
    intent: str
    """The global intent; empty: an answer to the question."""
    answer: str


def words(language: str) -> dict[str, str]:
    """Return what a script says that has no words of its own for it; `{}` is an answer.

    >>> words("en")["answer"]
    'Did you say {}?'
    """
    return {what: text for what, text in table(package(language), "usual_words")}


def is_doubtful(script: Script, gather: Gather, intent: str, confidence: float) -> bool:
    """Say whether this is asked about. A yes and a no never are, for the answer would be one."""
    if not intent and script.rules[gather.rule].name == YES_NO:
        return False
    return confidence < (SURE.get(intent, 0.0) if intent else gather.confirm)


def is_heard(intent: str, confidence: float) -> bool:
    """Say whether a global intent was said at all; empty: an answer, which is asked about when in doubt."""
    return not intent or intent in SURE or confidence >= LEAST


def question(script: Script, gather: Gather, meant: Meant) -> tuple[Prompt, ...]:
    """Return what is asked about this; nothing where there are no words for it."""
    template = script.confirm.get(meant.intent or ANSWER)
    answer = _spoken(script.rules[gather.rule], meant.answer)
    return tuple(_filled(sentence, answer) for sentence in template.sentences) if template else ()


def _filled(sentence: Sentence, answer: Part) -> Prompt:
    return tuple(Part(piece) if isinstance(piece, str) else answer for piece in sentence)


def _spoken(spec: RuleSpec, answer: str) -> Part:
    phrases = spec.options.get(answer)
    return (
        Part(normalise(min(phrases, key=len), spec.language)) if phrases else Part(answer, RULE_KINDS[spec.name].value)
    )


__all__ = ["ANSWER", "SURE", "USUAL", "YES_NO", "Meant", "is_doubtful", "is_heard", "question", "words"]
