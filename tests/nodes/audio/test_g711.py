"""ITU-T G.711 by table equals G.711 by formula."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nodes.audio import g711

ALL = bytes(range(256))


def ulaw_value(code: int) -> int:
    """The standard's expansion, bit by bit: sign, three bits of segment, four of step, all inverted."""
    code = ~code & 0xFF
    size = ((2 * (code & 0x0F) + 33) << (code >> 4 & 7)) - 33
    return (-size if code & 0x80 else size) * 4


def alaw_value(code: int) -> int:
    """The standard's expansion: even bits inverted, the first two segments alike."""
    code ^= 0x55
    segment, step = code >> 4 & 7, code & 0x0F
    size = 2 * step + 1 if segment == 0 else (2 * step + 33) << (segment - 1)
    return (size if code & 0x80 else -size) * 8


def test_every_mu_law_code_expands_as_the_formula_says() -> None:
    assert g711.decode(ALL).tolist() == [ulaw_value(code) for code in ALL]


def test_every_a_law_code_expands_as_the_formula_says() -> None:
    assert g711.ALAW_TO_PCM.tolist() == [alaw_value(code) for code in ALL]


def test_every_code_survives_a_round_trip_but_minus_zero() -> None:
    assert g711.encode(g711.decode(ALL)) == ALL.replace(b"\x7f", b"\xff")


@given(st.integers(-32768, 32767))
def test_a_sample_is_coded_within_half_a_step(sample: int) -> None:
    size = min(abs(sample), 32635)
    step = 8 << max(0, (size + 132 >> 7).bit_length() - 1)
    coded = int(g711.decode(g711.encode(np.array([sample], np.int16)))[0])
    assert abs(abs(coded) - size) <= step
    assert coded == 0 or (coded < 0) == (sample < 0)


def test_transcoding_gives_the_nearest_code_of_the_other_law() -> None:
    there = g711.ALAW_TO_PCM[list(g711.ulaw_to_alaw(ALL))].astype(int)
    mine = g711.decode(ALL).astype(int)
    every = g711.ALAW_TO_PCM.astype(int)
    nearest = np.abs(mine[:, None] - every[None, :]).min(axis=1)
    assert np.all(np.abs(there - mine) <= nearest + 16 * (1 + np.abs(mine) // 256))


def test_silence_is_silent_in_both_laws() -> None:
    assert not g711.decode(g711.SILENCE).any()
    assert np.abs(g711.ALAW_TO_PCM[list(g711.ulaw_to_alaw(g711.SILENCE))]).max() <= 8


def test_a_faded_frame_is_half_as_loud() -> None:
    faded = g711.decode(g711.fade(ALL)).astype(int)
    assert np.all(np.abs(faded - g711.decode(ALL) / 2) <= np.abs(g711.decode(ALL)) / 16 + 8)
