"""Several voices in one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.audio.mix import mix

samples = st.integers(-32768, 32767)


@given(st.lists(st.lists(samples, min_size=4, max_size=4), min_size=1, max_size=4))
def test_a_mix_is_the_clipped_sum(voices: list[list[int]]) -> None:
    total = [min(32767, max(-32768, sum(column))) for column in zip(*voices, strict=True)]
    assert mix([np.array(voice, np.int16) for voice in voices]).tolist() == total


def test_voices_of_different_length_cannot_be_mixed() -> None:
    with pytest.raises(ValueError, match="shape"):
        mix([np.zeros(1, np.int16), np.zeros(2, np.int16)])
