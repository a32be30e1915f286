"""Kaldi as a recogniser, the one that ships: a script's rules compiled once, and decoders that hear with any of them.

An utterance is heard twice at the same time: by the chosen rules, which always find their best phrase, and by the
filler, which finds the best sounds. How much cheaper the phrase is says whether it was said (`confidence`).

Everything here blocks and runs in threads; the library releases the interpreter lock. A decoder is one utterance's
alone from `begin` to `finish` or `close`. Decoders are kept for the next utterance; one that failed is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from grammars.lang.en.lexicon import pronounce
from grammars.rules.ruleset import RuleSet
from grammars.rules.spec import RuleSpec
from nodes.audio import g711
from nodes.config import Models
from nodes.speech import model_dir
from nodes.speech.confidence import certainty, confidence
from nodes.speech.errors import BrokenModel, EngineFailed
from nodes.speech.filler import phone_loop
from nodes.speech.kag import RATE_HZ, Best, Decoder, Graphs
from nodes.speech.pool import Pool
from nodes.speech.recogniser import Capabilities
from nodes.speech.rules import Rules, guess, weighed
from nodes.speech.turn import Guess

__all__ = ["Kaldi", "KaldiDecoding", "KaldiEar"]

MAX_UTTERANCES = 64
"""How many callers one ear hears at the same moment; an utterance holds two decoders, together some 6 MB."""
KEPT = 8
"""Pairs of decoders kept for the next utterances; a new pair takes 30 ms, while the caller speaks."""

_FILLER_SEARCH = {"lattice_beam": 2.0, "beam": 8.0, "min_active": 20}
"""The filler's cost to 0.2 (of some 100) for half the time: only its cost is of use, not its other paths."""


@dataclass(frozen=True, slots=True)
class _Pair:
    rules: Decoder
    filler: Decoder


class Kaldi:
    """Hears by the rules' own graphs, with the model of `ops/models`."""

    capabilities: Final = Capabilities("grammar", ("en",), (RATE_HZ,))

    def __init__(self, model: Path | None = None) -> None:
        """`model`: its directory; what is wrong with it shows with the first ear."""
        self._model = model or Models().recogniser

    def ear(self, rules: Mapping[str, RuleSpec], into: Path) -> KaldiEar:
        """Return an ear for a script's rules, under a second. Raises: BrokenModel, EngineFailed, UnknownWord."""
        return KaldiEar(rules, self._model, into)


class KaldiEar:
    """Hears utterances with the rules of one script."""

    def __init__(self, specs: Mapping[str, RuleSpec], model: Path, into: Path) -> None:
        """Compile the rules (id -> spec) over a private copy of `model` in the directory `into`; under a second.

        Raises: BrokenModel, EngineFailed; `grammars.errors.UnknownWord` for a word nobody can pronounce.
        """
        self._ids = list(specs)
        self._rules = Rules(specs)
        model_dir.write(model, into, {word: pronounce(word) for word in self._rules.words})
        filler = phone_loop(model_dir.pronunciations(model))
        try:
            self._graphs = Graphs(into, [*map(weighed, self._rules.by_id.values()), filler])
        except BrokenModel as error:
            raise BrokenModel(model, error.why) from error  # the private copy is gone when somebody looks
        self._pairs: Pool[_Pair] = Pool(self._pair, _free, most=MAX_UTTERANCES, kept=KEPT)

    def begin(self, rules: Sequence[str], today: date) -> KaldiDecoding:
        """Start hearing an utterance with these rules, in order of preference.

        Raises: UnknownRule, EngineFailed.
        """
        chosen = self._rules.choose(rules, today)
        pair = self._pairs.take()
        try:
            pair.rules.start(self._ids.index(rule) for rule in rules)
            pair.filler.start([len(self._ids)])
        except EngineFailed:
            self._pairs.discard(pair)
            raise
        return KaldiDecoding(self._pairs, pair, chosen)

    def check(self, rules: Iterable[str]) -> None:
        """Raise UnknownRule unless the script has all of these."""
        self._rules.check(rules)

    def close(self) -> None:
        """Free the decoders; those of utterances under way when they end."""
        self._pairs.close()

    def _pair(self) -> _Pair:
        return _Pair(self._graphs.decoder(), self._graphs.decoder(**_FILLER_SEARCH))


def _free(pair: _Pair) -> None:
    pair.rules.close()
    pair.filler.close()


class KaldiDecoding:
    """One utterance being heard: `feed` it, look at `so_far`, then `finish`; or `close` it unfinished.

    After an EngineFailed it is over; there is nothing left to close.
    """

    def __init__(self, pairs: Pool[_Pair], pair: _Pair, rules: RuleSet) -> None:
        self._pairs = pairs
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
        self._pairs.give_back(self._pair)
        return guess

    def close(self) -> None:
        """Stop hearing it."""
        self._pairs.give_back(self._pair)

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        try:
            yield
        except EngineFailed:
            self._pairs.discard(self._pair)
            raise

    def _guess(self, heard: Best, filler: Best, speech_ms: int) -> Guess:
        sure = confidence(heard.cost, filler.cost, speech_ms)
        return guess(self._rules, " ".join(heard.words), sure, certainty(heard.error, len(heard.words)))
