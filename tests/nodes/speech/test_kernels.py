"""The recogniser computes with the widest kernels that the processor has, unless the operator says otherwise."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.speech.kernels import CORE, KERNELS, choose, kernels

FEATURES = sorted({feature for _, needed in KERNELS for feature in needed} | {"sse2", "avx", "asimd"})


@given(st.sets(st.sampled_from(FEATURES)))
def test_what_is_chosen_needs_no_more_than_the_processor_has(features: set[str]) -> None:
    chosen = kernels(features)
    fitting = [name for name, needed in KERNELS if needed <= features]
    assert chosen == (fitting[0] if fitting else "")


def test_an_operators_own_choice_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CORE, "Nehalem")
    choose()
    assert os.environ[CORE] == "Nehalem"
