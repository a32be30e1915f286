"""Every recogniser that is installed keeps the contract, and what keeps none is found out."""

from importlib.util import find_spec
from pathlib import Path

import pytest

from nodes.speech import engines
from nodes.speech.contract import CHECKS, findings
from nodes.speech.errors import NoSuchEngine

STRANGERS = Path(__file__).parent / "strangers"
LIBRARIES = {"kaldi": "kaldi_active_grammar", "pocketsphinx": "pocketsphinx", "writes": "pocketsphinx"}
"""`writes` is a stranger's, which knows no grammar: its text is read by our rules."""


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a package of somebody else's be installed."""
    monkeypatch.setenv("PYTHONPATH", str(STRANGERS))
    monkeypatch.syspath_prepend(STRANGERS)


def test_every_recogniser_of_ours_is_held_to_the_contract() -> None:
    assert set(engines.OURS[engines.RECOGNISERS]) <= set(LIBRARIES)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_recogniser_keeps_the_contract(name: str) -> None:
    if find_spec(LIBRARIES[name]) is None:
        pytest.skip(f"{LIBRARIES[name]} is not installed")
    found = list(findings(name))
    assert [one for one in found if one.wrong] == []
    assert len(found) == len(CHECKS)


@pytest.mark.parametrize(
    ("name", "step_s", "wrong"),
    [
        ("agrees", 60.0, "confidence 1.00"),
        ("boasts", 60.0, "confidence is 7.0, not 0 to 1"),
        ("hangs", 3.0, "hangs: 3 s"),
        ("aborts", 60.0, "its process has ended with -6"),
        ("raises", 60.0, "raises ZeroDivisionError"),
        ("nobody", 60.0, "NoSuchEngine: nobody: there are kaldi, pocketsphinx, aborts, agrees"),
    ],
)
def test_a_recogniser_that_keeps_none_is_found_out(name: str, step_s: float, wrong: str) -> None:
    assert any(wrong in one.wrong for one in findings(name, step_s=step_s))


def test_what_is_not_installed_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engines.OURS[engines.RECOGNISERS], "missing", "nodes.speech.no_such_module:Thing")
    with pytest.raises(NoSuchEngine, match=r"of ours: ringmaster\[missing\]"):
        engines.start("missing", None)
