"""The filler: a loop over all phones that explains any speech about as well as it can be explained without words.

A grammar always has a best path, whatever was said. How much better that path is than the filler's tells a phrase of
the grammar from any other sound (the margin; `confidence`). The loop is a bigram of phones: within words as the
lexicon has them, between words by how words end and begin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise

from grammars.rules.rule import Acceptor, Arc
from nodes.speech.model_dir import PHONES, Pronunciation

__all__ = ["phone_loop"]

_SMOOTHING = 20.0
"""Pseudo-counts, spread over the next phone by its overall share: the training's own bigram had as many."""

_EDGE = ""
"""Stands before a word's first phone and after its last."""


def phone_loop(pronunciations: Iterable[Pronunciation]) -> Acceptor:
    """An acceptor over the filler words `&p`, weighted by the phone bigram of `pronunciations`.

    State 0 is the start; state n means that the n-th phone was the last; each of those may be the end.
    """
    counts = Counter(pair for phones in pronunciations for pair in pairwise([_EDGE, *phones, _EDGE]))
    follows = {last: _shares(counts, last) for last in (_EDGE, *PHONES)}
    arcs = tuple(
        Arc(source, target, f"&{phone}", follows[last][phone] + follows[last][_EDGE] * follows[_EDGE][phone])
        for source, last in enumerate((_EDGE, *PHONES))
        for target, phone in enumerate(PHONES, 1)
    )
    return Acceptor(len(PHONES) + 1, 0, tuple((n, 1.0) for n in range(1, len(PHONES) + 1)), arcs)


def _shares(counts: Counter[tuple[str, str]], last: str) -> dict[str, float]:
    """The smoothed probability of each phone, or the word's edge, after `last`; an empty word does not occur."""
    symbols = [*PHONES, _EDGE] if last else PHONES
    total = counts.total()
    overall = {symbol: (1 + sum(counts[other, symbol] for other in (_EDGE, *PHONES))) / total for symbol in symbols}
    seen = sum(counts[last, symbol] for symbol in symbols) + _SMOOTHING * sum(overall.values())
    shares = {symbol: (counts[last, symbol] + _SMOOTHING * overall[symbol]) / seen for symbol in symbols}
    return shares if last else shares | {_EDGE: 0.0}
