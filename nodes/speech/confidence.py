"""How sure we are that a phrase of the grammar was said: from the costs of the phrase and of the filler.

The margin is how much cheaper the phrase explained the audio than the filler did, in nats per 30 ms of speech (not of
silence: both explain that equally well, and a short word would be lost in it). What the rules say of the likelihood of
words is part of it; without that, every measure of it that was tried told phrases from other speech less well.
Measured at 8 kHz mu-law, with each rule among the seven intents that held everywhere then:

    margin   real speech (two strangers' digits)      synthetic voices
    below    phrase refused   other speech accepted   phrase refused   other speech accepted
    0.05     5.5 %            6.5 %                   0.5 %            12 %
    0.2      19 %             0 %                     1 %              2 %

So from 0.2 on a phrase is taken at its word; below 0.05 it was something else; between, the turn detector waits longer.

Whether it was this phrase and no other of the grammar is another question: its *certainty*. Of three words it is 1 less
the expected share of wrong ones over the lattice (`kag.Best.error`); where there are more, each has to be right, so it
is that to the power of a third of their number. What a script sees is the lower of the
two. Measured with 344 strings of three, four and six digits by six strangers (their single digits put together):

    certainty       right, and by length (3, 4, 6)
    0.97 and more   142 of 146   62 of 64, 49 of 49, 31 of 33
    0.9 to 0.97      31 of  36   11 of 11,  6 of 10, 14 of 15
    0.8 to 0.9       25 of  31    9 of 10,  7 of  8,  9 of 13
    0.5 to 0.8       38 of  63   11 of 17, 13 of 24, 14 of 22
    below            24 of  68    2 of 10, 11 of 24, 11 of 34"""

from __future__ import annotations

import math

__all__ = ["ACCEPT", "REJECT", "certainty", "confidence", "margin"]

FRAME_MS = 30

FULL = 0.4
"""The margin of confidence 1: half of all phrases of synthetic voices reach it, and a third of real ones."""
ACCEPT = 0.2 / FULL
"""Confidence from which a phrase is taken for what was said."""
REJECT = 0.05 / FULL
"""Confidence below which it is taken for something else."""

WORDS = 3
"""So many words are as sure together as the expected share of wrong ones says; of more, each further one costs."""


def margin(phrase_cost: float, filler_cost: float, speech_ms: int) -> float:
    """Nats per frame of speech by which the phrase explains the audio better; -inf when either found nothing.

    >>> margin(90.0, 110.0, 3000)
    0.2
    """
    if not speech_ms or math.isinf(phrase_cost) or math.isinf(filler_cost):
        return -math.inf
    return (filler_cost - phrase_cost) * FRAME_MS / speech_ms


def confidence(phrase_cost: float, filler_cost: float, speech_ms: int) -> float:
    """The margin on a scale of 0 to 1.

    >>> confidence(90.0, 110.0, 3000), confidence(90.0, 80.0, 3000)
    (0.5, 0.0)
    """
    return min(1.0, max(0.0, margin(phrase_cost, filler_cost, speech_ms) / FULL))


def certainty(error: float, n_words: int) -> float:
    """Return the probability that all of `n_words` are right, of which a share of `error` is expected to be wrong.

    >>> certainty(0.1, 1), round(certainty(0.1, 6), 2)
    (0.9, 0.81)
    """
    return math.pow(1.0 - error, max(1.0, n_words / WORDS))
