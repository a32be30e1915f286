"""What callees may say to each question: any phrase of its rule, or a few of them that have been spoken beforehand.

A synthesiser takes as much of a core as five calls do. Where the node is to be measured, and not its callees, they say
what is ready.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final

from grammars.rules.rule import Rule
from nodes.rehearsal.personas import PERSONAS
from nodes.rehearsal.voices import VOICES, speak
from protocols.wire.messages import Meaning

DRAWS: Final = 64
"""Phrases drawn of a rule, of which the first few of each intent are kept."""
HESITATE_S: Final = 6.0
"""As long as one turn takes."""
AT_ONCE: Final = 4
"""Synthesisers at work at the same time."""

Phrase = tuple[str, Meaning]


class Repertoire:
    """The answers to one script's questions, by rule."""

    def __init__(self, rules: Mapping[str, Rule], asked: Iterable[str], n: int, seed: int) -> None:
        """`asked`: the rules of the script's questions, to which there are only `n` phrases of each intent, chosen by
        the seed; 0: all that their grammar has.
        """
        self._rules = rules
        self._few = {name: few(rules[name], n, random.Random(f"{seed} {name}")) for name in sorted(asked) if n}

    def hesitates_s(self, dice: random.Random) -> float:
        """Return how long a callee lets it ring beyond what they must; a crowd does not pick up with one hand."""
        return dice.random() * HESITATE_S if self._few else 0.0

    def answer(self, rule: str, dice: random.Random) -> Phrase:
        """Return something to say where `rule` is listened for, and what it means."""
        return dice.choice(self._few[rule]) if rule in self._few else self._rules[rule].sample(dice)

    def plainly(self, rule: str, meaning: Meaning) -> str:
        """Return the first phrase that means this; its name where there is none."""
        value = meaning.slots.get("value", meaning.intent)
        return self._rules[rule].say(value) or value

    async def rehearse(self) -> None:
        """Have everything spoken that there are only few of. Raises: Voiceless."""
        words = {words for phrases in self._few.values() for words, _ in phrases}
        if not words:
            return
        words.add(PERSONAS["cooperative"].greeting)
        limit = asyncio.Semaphore(AT_ONCE)

        async def say(words: str, voice: str) -> None:
            async with limit:
                await speak(words, voice)

        async with asyncio.TaskGroup() as group:
            for each in sorted(words):
                for voice in VOICES:
                    group.create_task(say(each, voice))


def few(rule: Rule, n: int, dice: random.Random) -> list[Phrase]:
    """Return up to `n` phrases of each intent of a rule."""
    by_intent: defaultdict[str, list[Phrase]] = defaultdict(list)
    for _ in range(DRAWS):
        phrase = rule.sample(dice)
        if len(kept := by_intent[phrase[1].intent]) < n and phrase not in kept:
            kept.append(phrase)
    return [phrase for phrases in by_intent.values() for phrase in phrases]


__all__ = ["Phrase", "Repertoire", "few"]
