"""Callees on lines that send back what they hear."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nodes.audio import g711
from nodes.rehearsal.personas import LINES, persona_of
from nodes.rehearsal.returning import Returning

LOUD = g711.encode(np.full(160, 8000, np.int16))


def test_the_last_part_of_a_name_is_the_line_and_the_first_the_manner() -> None:
    for name, line in LINES.items():
        persona = persona_of(f"refuses-3-{name}")
        assert (persona.yes_no, persona.echo_db, persona.echo_ms) == ("no", *line)
    assert persona_of("refuses-3").echo_db == 0.0
    assert persona_of("echo").echo_db == 0.0


@given(st.floats(-30, -10), st.integers(0, 200))
def test_what_was_heard_comes_back_fainter_and_so_much_later(level_db: float, delay_ms: int) -> None:
    line, sent = Returning(level_db, delay_ms), b""
    for n in range(20):
        line.heard(160 * n, LOUD if n == 0 else g711.SILENCE)
        sent += line.joined(g711.SILENCE)
    back = np.flatnonzero(g711.decode(sent))
    assert back[0] == 320 + delay_ms * 8
    assert len(back) == 160
    assert abs(20 * np.log10(g711.decode(sent)[back[0]] / 8000) - level_db) < 0.5


def test_what_comes_too_late_is_not_sent_and_delays_nothing() -> None:
    line, sent = Returning(-20, 0), []
    for n in range(12):
        if n not in (4, 5, 6):
            line.heard(160 * n, LOUD)
        if n == 8:
            line.heard(160 * 4, LOUD)
        sent.append(line.joined(g711.SILENCE))
    assert [one == g711.SILENCE for one in sent] == [n in (0, 1, 6, 7, 8) for n in range(12)]


def test_the_callee_is_heard_over_the_echo() -> None:
    line = Returning(-20, 0)
    line.heard(0, LOUD)
    said = [g711.decode(line.joined(LOUD))[0] for _ in range(4)]
    assert all(abs(int(one) - all_of_it) < 300 for one, all_of_it in zip(said, (8000, 8000, 8800, 8000), strict=True))
