"""The one adapter to kaldi-active-grammar: plain acceptors in, decoded words and their cost out.

What the library needs and does not say, all of it kept in here:

- its OpenFst clashes with pynini's (`compiling` says how): with pynini in the process we refuse, and do not hang;
- it decodes only with a dictation graph loaded, so each set of graphs has a one-word stub that is never active;
- a wrong number of activity flags is an assertion that aborts the process, so the list is made here and nowhere else;
- its word tables belong to the class, not the object: graphs are built under one lock, each set to its end;
- it is written for 16 kHz, and what it calls quiet still talks: both are set right on every decoder;
- its top graph has room for a thousand rules and takes 0.2 s to build; ours has room for ours and takes 2 ms;
- it merges any `user_lexicon.txt` of the current directory into the model: switched off.

A `Decoder` hears one utterance at a time, from any thread, and releases the interpreter lock while it works.
Decoders share the compiled graphs; each reads the network for itself (about 4 MB, 15 ms).
"""

from __future__ import annotations

import logging
import math
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kaldi_active_grammar as kag
import numpy as np
from kaldi_active_grammar.model import Model
from numpy.typing import NDArray

from grammars.rules.rule import Acceptor, Arc
from nodes.speech import kernels
from nodes.speech.errors import BrokenModel, EngineFailed

__all__ = ["FRAME_S", "RATE_HZ", "Best", "Decoder", "Graphs"]

RATE_HZ = 8000
FRAME_S = 0.03
"""One decoded frame: 10 ms features, subsampled by three."""

_ACOUSTIC_SCALE, _GRAPH_SCALE = 10, 7
"""What the library multiplies the scores of a finished utterance by; those of an unfinished one are plain."""

_BUILDING = threading.Lock()
_NOTHING = np.zeros(0, np.int16)

logging.getLogger("kaldi").setLevel(logging.ERROR)
kag.disable_donation_message()
Model.check_user_lexicon = lambda self: None


@dataclass(frozen=True, slots=True)
class Best:
    """The cheapest path so far: index of its rule (None: silence), its words, and what it cost (-log likelihood)."""

    rule: int | None
    words: tuple[str, ...]
    cost: float
    error: float = 0.0
    """Of a finished utterance: the expected share of words that another path of the grammar has right."""


class _QuietDecoder(kag.KaldiAgfNNet3Decoder):  # type: ignore[misc]
    """-2 is the library's silence; its own switch stops at -1, one warning a decoder."""

    verbosity = property(lambda self: -2, lambda self, value: None)


class Graphs:
    """The compiled graphs of some rules over one model directory, from which decoders are made."""

    def __init__(self, model_dir: Path, rules: Sequence[Acceptor]) -> None:
        """Compile `rules`; all their words are in the directory's lexicon.

        Raises: BrokenModel when the library does not accept the directory; EngineFailed when it rejects a rule.
        """
        self._model_dir = str(model_dir)
        self._n_rules = len(rules)
        if "_pywrapfst" in sys.modules:
            raise EngineFailed("pynini is loaded in this process")
        with _BUILDING:
            self._compiler = self._open_model()
            self._stub = self._compile_stub()
            self._top = self._compile_top()
            self._rules = [self._compile(f"rule {n}", rule) for n, rule in enumerate(rules)]
            self._compiler._agf_compiler.destroy()

    def decoder(self, **search: float) -> Decoder:
        """A further decoder over the same graphs; `search` limits how widely it looks. Raises: EngineFailed."""
        return Decoder(self._new_decoder(self._top.fst, search), [rule.fst for rule in self._rules])

    def _open_model(self) -> Any:
        kernels.choose()
        _QuietDecoder.init_ffi()
        try:
            compiler = kag.Compiler(model_dir=self._model_dir, tmp_dir=self._model_dir, cache_fsts=False)
        except (kag.KaldiError, OSError, ValueError) as error:
            raise BrokenModel(Path(self._model_dir), f"the recogniser does not load it: {error}") from error
        self._silence_library()
        return compiler

    def _silence_library(self) -> None:
        """Only a decoder's constructor sets the level of the log, so have one fail before the first line is written."""
        with suppress(EngineFailed):
            self._stub = ""
            self._new_decoder("no such graph", {})

    def _new_decoder(self, top: Any, search: dict[str, float]) -> Any:
        try:
            return _QuietDecoder(
                model_dir=self._model_dir,
                tmp_dir=self._model_dir,
                top_fst=top,
                dictation_fst_file=self._stub,
                max_num_rules=self._n_rules,
                config=search,
            )
        except kag.KaldiError as error:
            raise EngineFailed(f"no decoder over {self._model_dir}: {error}") from error

    def _compile_stub(self) -> str:
        """A dictation graph of one word, on disk because the decoder takes only a file."""
        path = f"{self._model_dir}/Dictation.fst"
        rule = kag.KaldiRule(self._compiler, "dictation", nonterm=False)
        _fill(rule.fst, Acceptor(2, 0, ((1, 1.0),), (Arc(0, 1, "!SIL", 1.0),)))
        self._compiler._compile_agf_graph(compile=True, nonterm=True, input_fst=rule.fst, output_filename=path)
        return path

    def _compile_top(self) -> Any:
        names = [f"#nonterm:rule{n}" for n in range(self._n_rules)]
        return self._compiler._build_top_fst(nonterms=names, noise_words=["!SIL"]).compile()

    def _compile(self, name: str, acceptor: Acceptor) -> Any:
        rule = kag.KaldiRule(self._compiler, name)
        _fill(rule.fst, acceptor)
        try:
            return rule.compile()
        except kag.KaldiError as error:
            raise EngineFailed(f"{name} does not compile: {error.__cause__ or error}") from error


def _fill(fst: Any, acceptor: Acceptor) -> None:
    finals = dict(acceptor.finals)
    states = [
        fst.add_state(weight=finals.get(state), initial=state == acceptor.start, final=state in finals)
        for state in range(acceptor.n_states)
    ]
    for arc in acceptor.arcs:
        fst.add_arc(states[arc.src], states[arc.dst], arc.word, weight=arc.probability)


class Decoder:
    """Hears one utterance at a time: `start`, any number of `feed` and `best`, then `finish`; again from `start`.

    After an EngineFailed it is of no more use: `close` it.
    """

    def __init__(self, decoder: Any, graphs: Iterable[Any]) -> None:
        self._decoder = decoder
        for graph in graphs:
            decoder.add_grammar_fst(graph)
        decoder.sample_rate = RATE_HZ
        decoder.bytes_per_kaldi_frame = decoder.kaldi_frame_num_to_audio_bytes(1)
        self._active: list[bool] = []

    def start(self, rules: Iterable[int]) -> None:
        """Begin an utterance in which only `rules` (indices) can be heard; forget an unfinished one."""
        if self._active:
            self.finish()
        wanted = set(rules)
        self._active = [n in wanted for n in range(self._decoder.num_grammars)]

    def feed(self, samples: NDArray[np.int16]) -> None:
        """Decode further 8 kHz samples. Raises: EngineFailed."""
        self._decode(samples, last=False)

    def best(self) -> Best:
        """What has been heard so far, behind the audio by up to 0.4 s: the network looks ahead, in chunks of 0.2 s."""
        text, acoustic, graph, _ = self._output()
        return _best(text, acoustic + graph)

    def finish(self) -> Best:
        """End the utterance, hear the audio that was still looked ahead of, and say what it was."""
        self._decode(_NOTHING, last=True)
        self._active = []
        text, acoustic, graph, error = self._output()
        return _best(text, acoustic / _ACOUSTIC_SCALE + graph / _GRAPH_SCALE, _unscaled(error))

    def close(self) -> None:
        """Free the library's memory."""
        self._decoder.destroy()

    def _output(self) -> tuple[str, float, float, float]:
        try:
            text, info = self._decoder.get_output()
        except kag.KaldiError as error:
            raise EngineFailed(f"no output: {error}") from error
        return text, info["am_score"], info["lm_score"], info["expected_error_rate"]

    def _decode(self, samples: NDArray[np.int16], *, last: bool) -> None:
        try:
            self._decoder.decode(samples, last, self._active)
        except kag.KaldiError as error:
            raise EngineFailed(f"decoding: {error}") from error


def _unscaled(error: float) -> float:
    """Return an expected error with the library's scale taken out of it: its posteriors are the tenth power of ours.

    >>> round(_unscaled(1e-15), 3), _unscaled(1.0), _unscaled(float("nan"))
    (0.032, 1.0, 1.0)
    """
    return 1.0 if math.isnan(error) else min(1.0, max(0.0, error)) ** (1 / _ACOUSTIC_SCALE)


def _best(text: str, cost: float, error: float = 0.0) -> Best:
    """Take the library's output apart.

    >>> _best("#nonterm:rule2 no thanks #nonterm:end", 91.5)
    Best(rule=2, words=('no', 'thanks'), cost=91.5, error=0.0)
    >>> _best("!SIL", 40.0).rule, _best("", float("nan")).cost
    (None, inf)
    """
    mark = "#nonterm:rule"
    said = text.split()
    rules = [int(word.removeprefix(mark)) for word in said if word.startswith(mark)]
    words = tuple(word for word in said if not word.startswith(("#nonterm", "!")))
    return Best(rules[0] if rules else None, words, math.inf if math.isnan(cost) else cost, error)
