"""Breakers by name: each for itself, told when it opens and when it closes, and no more of them than is useful."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from nodes import breakers as module
from nodes.breakers import Breakers
from supervisors import BreakerState


@pytest.fixture
def logged() -> Iterator[list[dict[str, object]]]:
    with capture_logs() as lines:
        yield lines  # type: ignore[misc]


def test_one_that_opens_and_closes_is_told_once_each_and_the_others_know_nothing_of_it(
    logged: list[dict[str, object]],
) -> None:
    trunks = Breakers("trunk", least=2, open_s=5.0)
    for _ in range(3):
        trunks.record("one", False, now=0.0)
    assert (trunks.allows("one", 1.0), trunks.allows("other", 1.0)) == (False, True)
    assert trunks.failing == {"one"}
    assert trunks.state("one", 6.0) is BreakerState.HALF_OPEN
    assert [trunks.allows("one", 6.0), trunks.allows("one", 6.0)] == [True, False]
    trunks.record("one", True, now=6.1)
    assert trunks.figures() == {"trunk_breakers_open": 0.0, "trunk_breakers_opened": 1.0}
    assert [(line["event"], line["name"]) for line in logged] == [("breaker.opened", "one"), ("breaker.closed", "one")]


def test_a_trial_that_fails_opens_it_again_and_is_no_news(logged: list[dict[str, object]]) -> None:
    hosts = Breakers("fetch", least=1, open_s=5.0)
    hosts.record("h", False, now=0.0)
    assert hosts.allows("h", 6.0)
    hosts.record("h", False, now=6.5)
    assert not hosts.allows("h", 7.0)
    assert [line["event"] for line in logged] == ["breaker.opened"]


def test_of_names_without_end_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST", 3)
    hosts = Breakers("fetch", least=1)
    for n in range(9):
        hosts.record(f"h{n}", False, now=0.0)
    assert hosts.failing == {"h6", "h7", "h8"}
