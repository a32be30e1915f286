"""What every recogniser is held to: `ringmaster speech check NAME`, and our own tests.

The recogniser is tried in a process of its own, which says what it is about to try, and then what it found. So one that
hangs or ends its process is found out like any other: by what was said last. The words that it is to hear are spoken
by flite; of a language that is not in `ANSWERS` it is only seen that nothing is made up and nothing breaks.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Final

import numpy as np

from grammars.rules.spec import RuleSpec
from nodes.audio import g711
from nodes.speech import engines
from nodes.speech.confidence import ACCEPT
from nodes.speech.errors import SpeechError, UnknownRule
from nodes.speech.flite import FliteVoice
from nodes.speech.guard import problem
from nodes.speech.recogniser import Ear, Recogniser
from nodes.speech.telephone import telephone
from nodes.speech.turn import Guess

__all__ = ["CHECKS", "Finding", "findings"]

STEP_S: Final = 60.0
"""So long may one check take, and the first with all its imports."""
TODAY: Final = date(2026, 3, 2)
RULES: Final = {"yes_no": RuleSpec("yes_no"), "human": RuleSpec("human")}
LISTENS: Final = ("yes_no", "human")
ANSWERS: Final = {"en": (("Yes please.", "yes"), ("No thank you.", "no"), ("I want to speak to an agent.", "human"))}
"""Language -> what is said, and its intent."""
OTHER: Final = {"en": ("The children are playing in the garden.", "My dog likes to swim in the lake.")}
PIECE: Final = 1600
"""0.2 s: what a decoding is fed at a time."""
_ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried; `wrong` is empty when it is as it should be."""

    check: str
    wrong: str
    cpu_ms: int = 0


class Trial:
    """One recogniser while it is tried."""

    def __init__(self, recogniser: Recogniser, into: Path) -> None:
        self.recogniser = recogniser
        self.ear: Ear = recogniser.ear(RULES, into)
        self.voice = FliteVoice("slt")
        self.language = recogniser.capabilities.languages[0]

    def say(self, words: str) -> tuple[bytes, int]:
        """Return the words as the telephone carries them, with silence around them, and how long they last in ms."""
        audio = telephone(self.voice.speak(words, 1.0), self.voice.rate_hz)
        return b"\xff" * 2400 + audio + b"\xff" * 4800, len(audio) // 8

    def hear(self, audio: bytes, ms: int) -> Guess:
        """Hear an utterance. Raises: SpeechError."""
        decoding = self.ear.begin(LISTENS, TODAY)
        for at in range(0, len(audio), PIECE):
            decoding.feed(audio[at : at + PIECE])
        return decoding.finish(ms)


# ---- what is tried: each returns what is wrong ----------------------------------------------------------------------


def it_says_what_it_can_do(trial: Trial) -> str:
    """Its capabilities are as they are declared."""
    can = trial.recogniser.capabilities
    if can.hears not in ("grammar", "text"):
        return f"hears {can.hears!r}"
    return "" if can.languages and can.rates_hz and min(can.rates_hz) >= 8000 else "no language, or no rate"


def it_hears_answers(trial: Trial) -> str:
    """Phrases of the rules, clearly spoken, mean what they mean, and the guess is one."""
    for words, intent in ANSWERS.get(trial.language, ()):
        guess = trial.hear(*trial.say(words))
        if why := problem(guess, LISTENS):
            return why
        if guess.meaning is None or guess.meaning.intent != intent:
            return f"{words!r} was heard as {guess.words!r}"
    return ""


def it_is_not_sure_of_what_is_no_answer(trial: Trial) -> str:
    """Noise, a tone, silence and other speech are not taken for answers with confidence."""
    rng, at = np.random.default_rng(1), np.arange(8000) / 8000
    sounds = {
        "noise": g711.encode(rng.normal(0, 4000, 8000).astype(np.int16)),
        "a tone": g711.encode((9000 * np.sin(2 * np.pi * 440 * at)).astype(np.int16)),
        "silence": b"\xff" * 8000,
        "bytes": rng.bytes(8000),
    }
    heard = {name: trial.hear(sound, 1000) for name, sound in sounds.items()}
    heard |= {words: trial.hear(*trial.say(words)) for words in OTHER.get(trial.language, ())}
    for name, guess in heard.items():
        if why := problem(guess, LISTENS):
            return why
        if guess.meaning and guess.confidence >= ACCEPT:
            return f"{name!r} was heard as {guess.words!r}, with confidence {guess.confidence:.2f}"
    return ""


def it_tells_words_while_they_are_said(trial: Trial) -> str:
    """With partials, an unfinished utterance has words; without, it has none."""
    decoding = trial.ear.begin(LISTENS, TODAY)
    audio, ms = trial.say(ANSWERS.get(trial.language, (("Yes please.", "yes"),))[-1][0])
    decoding.feed(audio)
    guess = decoding.so_far(ms)
    decoding.close()
    if why := problem(guess, LISTENS):
        return why
    can = trial.recogniser.capabilities.has_partials and trial.language in ANSWERS
    return "no words" if can and not guess.words else ""


def it_hears_the_same_again(trial: Trial) -> str:
    """One utterance leaves nothing to the next, however it ended."""
    audio, ms = trial.say("Yes please.")
    first = trial.hear(audio, ms)
    trial.ear.begin(LISTENS, TODAY).close()
    half = trial.ear.begin(("human",), TODAY)
    half.feed(trial.say("No thank you.")[0][:4000])
    half.close()
    second = trial.hear(audio, ms)
    return "" if (first.words, first.meaning) == (second.words, second.meaning) else f"{first} and then {second}"


def it_takes_anything(trial: Trial) -> str:
    """Nothing, a byte, bytes of any length, no speech at all: a guess, and no words out of nothing."""
    rng = np.random.default_rng(2)
    for pieces in ([], [b""], [b"\x00"], [rng.bytes(int(n)) for n in rng.integers(1, 3000, 8)]):
        decoding = trial.ear.begin(LISTENS, TODAY)
        for piece in pieces:
            decoding.feed(piece)
        guess = decoding.finish(0)
        if why := problem(guess, LISTENS):
            return why
        if guess.meaning and sum(map(len, pieces)) < 8:
            return f"{guess.words!r} was heard in nothing"
    return ""


def it_hears_several_at_once(trial: Trial) -> str:
    """Utterances in several threads do not mix."""
    answers = ANSWERS.get(trial.language, (("Yes please.", "yes"),))
    said = [trial.say(words) for words, _ in answers * 2]
    alone = [trial.hear(*one).words for one in said[: len(answers)]] * 2
    with ThreadPoolExecutor(4) as threads:
        together = [guess.words for guess in threads.map(lambda one: trial.hear(*one), said)]
    return "" if alone == together else f"alone {alone}, together {together}"


def it_knows_its_rules(trial: Trial) -> str:
    """A rule that the script does not have is refused, and harms nothing."""
    for ask in (lambda: trial.ear.check(("nobody",)), lambda: trial.ear.begin(("nobody",), TODAY)):
        try:
            ask()
        except UnknownRule:
            continue
        return "an unknown rule is not refused"
    return it_hears_answers(trial)


def it_ends_what_it_began(trial: Trial) -> str:
    """An ear that is closed lets utterances under way come to their end."""
    audio, ms = trial.say("Yes please.")
    decoding = trial.ear.begin(LISTENS, TODAY)
    decoding.feed(audio[:4000])
    trial.ear.close()
    decoding.feed(audio[4000:])
    return problem(decoding.finish(ms), LISTENS)


CHECKS: Final[tuple[Callable[[Trial], str], ...]] = (
    it_says_what_it_can_do, it_hears_answers, it_is_not_sure_of_what_is_no_answer, it_tells_words_while_they_are_said,
    it_hears_the_same_again, it_takes_anything, it_hears_several_at_once, it_knows_its_rules, it_ends_what_it_began,
)  # fmt: skip


# ---- in a process of its own ----------------------------------------------------------------------------------------


def findings(name: str, model: Path | None = None, step_s: float = STEP_S) -> Iterator[Finding]:
    """Try a recogniser; yield what was found, check by check. It ends with the first that hangs, or ends its process.

    `step_s`: so long may one check take.
    """
    command = [sys.executable, "-m", "nodes.speech.contract", name, *([str(model)] if model else [])]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, cwd=_ROOT, text=True) as child,
    ):
        assert child.stdout
        doing, is_late = "it starts", threading.Event()

        def late() -> None:
            is_late.set()
            child.kill()

        try:
            while True:
                timer = threading.Timer(STEP_S if doing == "it starts" else step_s, late)
                timer.start()
                line = child.stdout.readline()
                timer.cancel()
                timer.join()
                if not line:
                    break
                told = json.loads(line)
                if "doing" in told:
                    doing = told["doing"]
                else:
                    yield Finding(**told)
                    doing = "it ends"
        finally:
            child.kill()
        if is_late.is_set():
            yield Finding(doing, f"hangs: {step_s:g} s, and no end")
        elif child.wait() != 0:
            said.seek(0)
            last = said.read().decode(errors="replace").strip().splitlines()[-1:]
            yield Finding(doing, f"its process has ended with {child.returncode}: {''.join(last)}")


def main(name: str, model: str = "") -> None:
    """Try it here, a line of JSON before and after each check."""
    _tell({"doing": "it starts"})
    with tempfile.TemporaryDirectory() as into:
        try:
            trial = Trial(engines.start(name, Path(model) if model else None), Path(into) / "ear")
        except SpeechError as error:
            return _tell(asdict(Finding("it starts", f"{type(error).__name__}: {error}")))
        for check in CHECKS:
            _tell({"doing": _named(check)})
            began_s = time.process_time()
            try:
                wrong = check(trial)
            except SpeechError as error:
                wrong = f"{type(error).__name__}: {error}"
            except Exception as error:  # noqa: BLE001  what it may raise is part of the contract
                wrong = f"raises {type(error).__name__}: {error}"
            _tell(asdict(Finding(_named(check), wrong, round((time.process_time() - began_s) * 1000))))


def _named(check: Callable[[Trial], str]) -> str:
    return check.__name__.replace("_", " ")


def _tell(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
