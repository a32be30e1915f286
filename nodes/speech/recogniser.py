"""An ear for one script: its rules compiled once, and decoders that hear with any choice of them.

An utterance is heard twice at the same time: by the chosen rules, which always find their best phrase, and by the
filler, which finds the best sounds. How much cheaper the phrase is says whether it was said (`confidence`).

Everything here blocks and runs in threads; the library releases the interpreter lock. A decoder is one utterance's
alone from `begin` to `finish` or `close`. Decoders are kept for the next utterance; one that failed is not.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from grammars.lexicon import pronounce
from grammars.rules.rule import Acceptor, Rule
from grammars.rules.ruleset import RuleSet
from grammars.rules.spec import INTENTS, RuleSpec
from nodes.audio import g711
from nodes.speech import model_dir
from nodes.speech.compiling import compile_rules
from nodes.speech.confidence import REJECT, confidence
from nodes.speech.errors import BrokenModel, EngineBusy, EngineFailed, UnknownRule
from nodes.speech.filler import phone_loop
from nodes.speech.kag import Best, Decoder, Graphs
from nodes.speech.turn import Guess

__all__ = ["Decoding", "Ear"]

MAX_UTTERANCES = 64
"""How many callers one ear hears at the same moment; an utterance holds two decoders, together some 6 MB."""
KEPT = 8
"""Pairs of decoders kept for the next utterances; a new pair takes 30 ms, while the caller speaks."""

WORD = 0.1
"""Probability of each further word. Without it the likeliest phrase of a rule costs nothing, and noise is heard as
words, such as an "oh" between two digits: 76 % right of two strangers' strings of four digits, with it 82 %."""

UNFINISHED = 0.5
"""Probability that a caller stops where no phrase ends. Without it what is missing is invented: three digits of four
are heard as four."""

INTENT = 0.1
"""Probability that a caller says what may be said anywhere, such as "wrong number", instead of what they were asked."""

_FILLER_SEARCH = {"lattice_beam": 2.0, "beam": 8.0, "min_active": 20}
"""The filler's cost to 0.2 (of some 100) for half the time: only its cost is of use, not its other paths."""


@dataclass(frozen=True, slots=True)
class _Pair:
    rules: Decoder
    filler: Decoder


class Ear:
    """Hears utterances with the rules of one script."""

    def __init__(self, specs: Mapping[str, RuleSpec], model: Path, into: Path) -> None:
        """Compile the rules (id -> spec) over a private copy of `model` in the directory `into`; under a second.

        Raises: BrokenModel, EngineFailed; `grammars.errors.UnknownWord` for a word nobody can pronounce.
        """
        self._ids = list(specs)
        self._rules = compile_rules(specs)
        words = sorted({word for rule in self._rules.values() for word in rule.words})
        model_dir.write(model, into, {word: pronounce(word) for word in words})
        filler = phone_loop(model_dir.pronunciations(model))
        try:
            self._graphs = Graphs(into, [*map(_weighed, self._rules.values()), filler])
        except BrokenModel as error:
            raise BrokenModel(model, error.why) from error  # the private copy is gone when somebody looks
        self._idle: list[_Pair] = []
        self._n_pairs = 0
        self._is_closed = False
        self._lock = threading.Lock()

    def begin(self, rules: Sequence[str], today: date) -> Decoding:
        """Start hearing an utterance with these rules, in order of preference.

        Raises: UnknownRule, EngineBusy, EngineFailed.
        """
        chosen = self._choose(rules, today)
        pair = self._take()
        try:
            pair.rules.start(self._ids.index(rule) for rule in rules)
            pair.filler.start([len(self._ids)])
        except EngineFailed:
            self.discard(pair)
            raise
        return Decoding(self, pair, chosen)

    def check(self, rules: Iterable[str]) -> None:
        """Raise UnknownRule unless the script has all of these."""
        for rule in rules:
            if rule not in self._rules:
                raise UnknownRule(rule)

    def give_back(self, pair: _Pair) -> None:
        """Keep a pair for the next utterance."""
        with self._lock:
            if not self._is_closed and len(self._idle) < KEPT:
                self._idle.append(pair)
                return
        self.discard(pair)

    def discard(self, pair: _Pair) -> None:
        """Free a pair that failed, or is not needed any more."""
        pair.rules.close()
        pair.filler.close()
        with self._lock:
            self._n_pairs -= 1

    def close(self) -> None:
        """Free the decoders; those of utterances under way when they end."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for pair in idle:
            self.discard(pair)

    def _choose(self, ids: Sequence[str], today: date) -> RuleSet:
        """The rules asked for, as they mean today: "tomorrow" moves at midnight, what can be heard does not."""
        self.check(ids)
        return RuleSet({rule: replace(self._rules[rule], today=today) for rule in ids})

    def _take(self) -> _Pair:
        with self._lock:
            if self._idle:
                return self._idle.pop()
            if self._n_pairs == MAX_UTTERANCES:
                raise EngineBusy(MAX_UTTERANCES)
            self._n_pairs += 1
        return _Pair(self._graphs.decoder(), self._graphs.decoder(**_FILLER_SEARCH))


def _weighed(rule: Rule) -> Acceptor:
    """What a rule can hear, each word, each intent and an end in the middle of a phrase at its price."""
    acceptor = rule.arcs()
    first = INTENT if rule.name in INTENTS else 1.0
    arcs = (
        replace(arc, probability=arc.probability * WORD * (first if arc.src == acceptor.start else 1.0))
        for arc in acceptor.arcs
    )
    ends = dict(acceptor.finals)
    finals = ((state, ends.get(state, UNFINISHED)) for state in range(acceptor.n_states) if state != acceptor.start)
    return replace(acceptor, arcs=tuple(arcs), finals=tuple(finals))


class Decoding:
    """One utterance being heard: `feed` it, look at `so_far`, then `finish`; or `close` it unfinished.

    After an EngineFailed it is over; there is nothing left to close.
    """

    def __init__(self, ear: Ear, pair: _Pair, rules: RuleSet) -> None:
        self._ear = ear
        self._pair = pair
        self._rules = rules

    def feed(self, audio: bytes) -> None:
        """Hear further 8 kHz mu-law. Raises: EngineFailed."""
        samples = g711.decode(audio)
        with self._discarding():
            self._pair.rules.feed(samples)
            self._pair.filler.feed(samples)

    def so_far(self, speech_ms: int) -> Guess:
        """What it may become, some 0.3 s behind the audio; `speech_ms` of that are speech. Raises: EngineFailed."""
        with self._discarding():
            return self._guess(self._pair.rules.best(), self._pair.filler.best(), speech_ms)

    def finish(self, speech_ms: int) -> Guess:
        """What it was. Raises: EngineFailed."""
        with self._discarding():
            guess = self._guess(self._pair.rules.finish(), self._pair.filler.finish(), speech_ms)
        self._ear.give_back(self._pair)
        return guess

    def close(self) -> None:
        """Stop hearing it."""
        self._ear.give_back(self._pair)

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        try:
            yield
        except EngineFailed:
            self._ear.discard(self._pair)
            raise

    def _guess(self, heard: Best, filler: Best, speech_ms: int) -> Guess:
        words = " ".join(heard.words)
        sure = confidence(heard.cost, filler.cost, speech_ms)
        meaning = self._rules.parse(words) if words and sure >= REJECT else None
        # of the rule that understands it: "no" is an answer, though "no such person" would be another rule's
        if meaning:
            rule = self._rules.rules[meaning.rule]
            return Guess(words, rule.completeness(words), sure, meaning, 1.0 - heard.error, rule.likely_more(words))
        return Guess(words, self._rules.completeness(words), sure, None, 1.0 - heard.error)
