"""The one adapter to pocketsphinx: a script's rules as its finite-state grammars.

Its wheel brings the library and an English model of 16 kHz (BSD), so it is the engine to change to where no model of
one's own is to be had. Telephone audio is raised to 16 kHz; above 4 kHz there is nothing, which its features must be
told before the first word (`CHANNEL`), else the first utterance of a decoder is heard worst. They are told again for
each utterance: what one caller's line sounds like is nothing that the next caller's should be heard by.

Its scores are relative to the best sound at each moment, so no filler is needed to know how well a phrase fits: the
mean over the frames of the phrase, in nats per 10 ms. Measured: of phrases by four synthetic voices that it had right,
half reach -2.5 and nineteen of twenty -4.4; of other sentences, half -4.8 and one in twenty -3.2.

It hears much less well than `kaldi` does: of strings of four digits by six real people, a third or less.

A decoder holds one grammar, and is kept for the next utterance, with the same rules if there is one. The library holds
the interpreter lock while it works: audio is given to it by tenths of a second, 4 ms of work each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Final

import pocketsphinx

from grammars.lang.en.lexicon import pronounce
from grammars.rules.ruleset import RuleSet
from grammars.rules.spec import RuleSpec
from nodes.audio import g711
from nodes.audio.resample import Upsampler
from nodes.speech.errors import BrokenModel, EngineFailed
from nodes.speech.pool import Pool
from nodes.speech.recogniser import Capabilities
from nodes.speech.rules import Rules, guess, weighed
from nodes.speech.turn import Guess

__all__ = ["Sphinx", "SphinxEar"]

RATE_HZ: Final = 16000
MAX_UTTERANCES: Final = 32
"""How many callers one ear hears at the same moment; a decoder with its grammar is some 10 MB."""
KEPT: Final = 4
"""Decoders kept for the next utterances; a new one takes 40 ms."""
CHUNK: Final = 1600
CHANNEL: Final = "39.3,7.0,-10.1,10.1,-8.3,3.3,-3.6,-1.9,1.3,-3.3,1.8,-2.7,1.2"
"""The mean of its features over telephone speech that was raised to 16 kHz, G.711 and all."""
NEVER: Final = -4.8
SURELY: Final = -2.0
"""Nats per 10 ms of confidence 0 and 1."""
LONGEST: Final = 20
LONGER: Final = 8
"""Frames that a word may last, and each of its letters: noise is one word that never ends."""
SLACK: Final = 30
"""Frames of speech, by the voice detector's word, that need not be explained by words: its edges, and breath."""
_SCORE: Final = 1024
"""Its scores are kept in 1024ths, to fit into 32 bits."""
_LEAST: Final = 1e-30
ARPABET: Final = dict(zip(
    "A { V O aU aI b tS d D E 3 eI f g h I i dZ k l m N n oU OI p r s S t T U u v w j Z z @".split(),
    "AA AE AH AO AW AY B CH D DH EH ER EY F G HH IH IY JH K L M NG N OW OY P R S SH T TH UH UW V W Y ZH Z AH".split(),
    strict=True,
))  # fmt: skip
"""Our lexicon's phones -> the model's."""
CAPABILITIES: Final = Capabilities("grammar", ("en",), (RATE_HZ,))


class Sphinx:
    """Hears by the rules, as finite-state grammars."""

    capabilities: Final = CAPABILITIES

    def __init__(self, model: Path | None = None) -> None:
        """`model`: a directory with an acoustic model of its; None: the wheel's. Raises: BrokenModel."""
        self._model = checked(model or _shipped() / "en-us")

    def ear(self, rules: Mapping[str, RuleSpec], into: Path) -> SphinxEar:
        """Return an ear for a script's rules, in half a second. Raises: EngineFailed, UnknownWord."""
        return SphinxEar(rules, self._model, into)


def checked(model: Path) -> Path:
    """Return the directory of an acoustic model. Raises: BrokenModel, which names what is missing: the library would
    end the process, or hear nothing."""
    for name in ("feat.params", "mdef", "means", "variances", "transition_matrices"):
        if not (model / name).is_file():
            raise BrokenModel(model / name, "missing")
    return model


def _shipped() -> Path:
    return Path(pocketsphinx.get_model_path()) / "en-us"


def _decoder(model: Path, words: Path) -> Any:
    try:
        return pocketsphinx.Decoder(
            hmm=str(model), dict=str(words), lm=None, loglevel="FATAL", samprate=RATE_HZ, cmn="live", bestpath=False,
            lw=1.0, wip=1.0, pip=1.0,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:
        raise EngineFailed(f"no decoder over {model}: {error}") from error


class _Line:
    """One decoder, and one utterance at a time in it."""

    def __init__(self, decoder: Any) -> None:
        self.decoder = decoder
        self.rules: tuple[str, ...] = ()
        self._raised = Upsampler()
        self._is_open = False

    def start(self) -> None:
        self._raised = Upsampler()
        self._do(self.decoder.start_stream)  # else what was noise on the last caller's line is taken from this one's
        self._do(lambda: self.decoder.set_cmn(CHANNEL))
        self._do(self.decoder.start_utt)
        self._is_open = True

    def feed(self, audio: bytes) -> None:
        samples = self._raised(g711.decode(audio))
        for at in range(0, len(samples), CHUNK):
            chunk = samples[at : at + CHUNK].tobytes()
            self._do(lambda chunk=chunk: self.decoder.process_raw(chunk, False, False))

    def end(self) -> None:
        if self._is_open:
            self._is_open = False
            self._do(self.decoder.end_utt)

    def words(self) -> str:
        best = self.decoder.hyp()
        return best.hypstr if best else ""

    def _do(self, what: Any) -> None:
        try:
            what()
        except (RuntimeError, ValueError) as error:
            raise EngineFailed(f"pocketsphinx: {error}") from error


class SphinxEar:
    """Hears utterances with the rules of one script."""

    def __init__(self, specs: Mapping[str, RuleSpec], model: Path, into: Path) -> None:
        """Compile the rules, and write their words to a dictionary in `into`. Raises: EngineFailed, UnknownWord."""
        self._rules, self._model = Rules(specs), model
        into.mkdir(parents=True, exist_ok=True)
        self._dictionary = into / "words.dict"
        self._dictionary.write_text("".join(map(_entry, self._rules.words)))
        self._lines: Pool[_Line] = Pool(self._line, most=MAX_UTTERANCES, kept=KEPT)
        self._lines.give_back(self._lines.take())  # a model that is of no use is known now

    def begin(self, rules: Sequence[str], today: date) -> SphinxDecoding:
        """Start hearing an utterance with these rules. Raises: UnknownRule, EngineBusy, EngineFailed."""
        chosen = self._rules.choose(rules, today)
        line = self._lines.take(lambda one: one.rules == tuple(rules))
        try:
            if line.rules != tuple(rules):
                line.decoder.add_fsg("rules", self._grammar(line.decoder, rules))
                line.decoder.activate_search("rules")
                line.rules = tuple(rules)
            line.start()
        except (RuntimeError, ValueError) as error:
            self._lines.discard(line)
            raise EngineFailed(f"these rules are no grammar to pocketsphinx: {error}") from error
        except EngineFailed:
            self._lines.discard(line)
            raise
        return SphinxDecoding(self._lines, line, chosen)

    def check(self, rules: Iterable[str]) -> None:
        """Raise UnknownRule unless the script has all of these."""
        self._rules.check(rules)

    def close(self) -> None:
        """Free the decoders; those of utterances under way when they end."""
        self._lines.close()

    def _line(self) -> _Line:
        return _Line(_decoder(self._model, self._dictionary))

    def _grammar(self, decoder: Any, rules: Iterable[str]) -> Any:
        """All rules side by side: from state 0 into each, and from wherever a phrase may end to state 1."""
        arcs: list[tuple[object, ...]] = []
        base = 2
        for acceptor in (weighed(self._rules.by_id[rule]) for rule in rules):
            arcs.append((0, base + acceptor.start, 1.0))
            arcs += [(base + arc.src, base + arc.dst, max(arc.probability, _LEAST), arc.word) for arc in acceptor.arcs]
            arcs += [(base + state, 1, max(probability, _LEAST)) for state, probability in acceptor.finals]
            base += acceptor.n_states
        return decoder.create_fsg("rules", 0, 1, arcs)


class SphinxDecoding:
    """One utterance being heard."""

    def __init__(self, lines: Pool[_Line], line: _Line, rules: RuleSet) -> None:
        self._lines, self._line, self._rules = lines, line, rules

    def feed(self, audio: bytes) -> None:
        """Hear further 8 kHz mu-law. Raises: EngineFailed."""
        try:
            self._line.feed(audio)
        except EngineFailed:
            self._lines.discard(self._line)
            raise

    def so_far(self, speech_ms: int) -> Guess:
        """What it may become."""
        return self._guess(speech_ms)

    def finish(self, speech_ms: int) -> Guess:
        """What it was. Raises: EngineFailed."""
        try:
            self._line.end()
        except EngineFailed:
            self._lines.discard(self._line)
            raise
        found = self._guess(speech_ms)
        self._lines.give_back(self._line)
        return found

    def close(self) -> None:
        """Stop hearing it."""
        try:
            self._line.end()
        except EngineFailed:
            self._lines.discard(self._line)
        else:
            self._lines.give_back(self._line)

    def _guess(self, speech_ms: int) -> Guess:
        heard = [(one.word, one.start_frame, one.end_frame, one.ascore) for one in self._line.decoder.seg() or ()]
        return guess(self._rules, self._line.words(), confidence(heard, speech_ms))


def confidence(heard: Sequence[tuple[str, int, int, float]], speech_ms: int) -> float:
    """How well the words explain the speech, 0 to 1. `heard`: word, first and last frame of 10 ms, likelihood.

    >>> confidence([("<sil>", 0, 9, 0.99), ("yes", 10, 39, 0.92)], 400)
    0.698
    >>> confidence([("yes", 10, 39, 0.95)], 2000), confidence([], 400)
    (0.0, 0.0)
    """
    words = [n for n, (word, *_) in enumerate(heard) if not _is_silence(word)]
    if not words:
        return 0.0
    phrase = heard[words[0] : words[-1] + 1]
    n_frames = phrase[-1][2] - phrase[0][1] + 1
    missed = max(0, speech_ms // 10 - SLACK - n_frames)
    drawn = sum(max(0, last - first - LONGEST - LONGER * len(word)) for word, first, last, _ in phrase)
    score = sum(_SCORE * math.log(max(likelihood, 1e-300)) for *_, likelihood in phrase) + 2 * NEVER * (missed + drawn)
    return round(min(1.0, max(0.0, (score / (n_frames + missed + drawn) - NEVER) / (SURELY - NEVER))), 3)


def _is_silence(word: str) -> bool:
    return word.startswith(("<", "(", "["))


def _entry(word: str) -> str:
    """The lines of a word in the library's dictionary.

    >>> _entry("either")
    'either IY DH ER\\neither(2) AY DH ER\\n'
    """
    ways = dict.fromkeys(" ".join(ARPABET[phone] for phone in phones) for phones in pronounce(word))
    return "".join(f"{word}{f'({n})' if n > 1 else ''} {way}\n" for n, way in enumerate(ways, 1))
