"""A description that cannot be run is refused where it is written (OTP: child_specs, sup_flags)."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from supervisors import (
    Actor,
    AutoShutdown,
    Backoff,
    BadSpec,
    Child,
    Dynamic,
    Restart,
    Strategy,
    Supervisor,
    WhenFull,
)
from supervisors.testing import Echo

odd: Any = "odd"  # what somebody without a type checker writes

BAD: dict[str, Callable[[], object]] = {
    "a start that cannot be called": lambda: Child(odd, id="a"),
    "an empty id": lambda: Child(Echo, id=""),
    "an id with a slash": lambda: Child(Echo, id="a/b"),
    "an id that is no string": lambda: Child(Echo, id=None),  # type: ignore[arg-type]
    "an unknown restart": lambda: Child(Echo, id="a", restart=odd),
    "a negative shutdown": lambda: Child(Echo, id="a", shutdown=-1.0),
    "a shutdown that is no number": lambda: Child(Echo, id="a", shutdown=math.nan),
    "a shutdown in words": lambda: Child(Echo, id="a", shutdown=odd),
    "a start timeout in words": lambda: Child(Echo, id="a", start_timeout_s=odd),
    "a child that may be significant": lambda: Child(Echo, id="a", restart=Restart.TEMPORARY, significant=odd),
    "a child that is none": lambda: Supervisor([odd]),
    "a class for a child": lambda: Supervisor([Child]),  # type: ignore[list-item]
    "a dynamic start that cannot be called": lambda: Dynamic(odd, id="a"),
    "a period in words": lambda: Supervisor(period_s=odd),
    "no time to start": lambda: Child(Echo, id="a", start_timeout_s=0.0),
    "a significant permanent child": lambda: Child(Echo, id="a", significant=True),
    "a negative intensity": lambda: Supervisor(intensity=-1),
    "an infinite intensity": lambda: Supervisor(intensity=odd),
    "a period of nothing": lambda: Supervisor(period_s=0.0),
    "an infinite period": lambda: Supervisor(period_s=math.inf),
    "an unknown strategy": lambda: Supervisor(strategy=odd),
    "an unknown auto_shutdown": lambda: Supervisor(auto_shutdown=odd),
    "two children of one id": lambda: Supervisor([Child(Echo, id="a"), Dynamic(Echo, id="a")]),
    "a significant child under auto_shutdown never": lambda: Supervisor(
        [Child(Echo, id="a", restart=Restart.TEMPORARY, significant=True)]
    ),
    "a wait that lets the window empty": lambda: Supervisor(backoff=Backoff(top_s=3.0), intensity=2, period_s=5.0),
    "no room for a child": lambda: Dynamic(Echo, id="a", max_children=0),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD.keys())
def test_refused_is(make: Callable[[], object]) -> None:
    with pytest.raises(BadSpec):
        make()


def test_every_combination_that_makes_sense_is_accepted() -> None:
    for restart in Restart:
        for significant in {False, restart is not Restart.PERMANENT}:
            for shutdown in (0.0, 0.5, math.inf):
                child = Child(Echo, id="a", restart=restart, shutdown=shutdown, significant=significant)
                for strategy in Strategy:
                    for auto in set(AutoShutdown) - ({AutoShutdown.NEVER} if significant else set()):
                        Supervisor([child], strategy=strategy, auto_shutdown=auto)


def test_the_defaults_are_those_of_otp() -> None:
    child = Child(Echo, id="a")
    assert (child.restart, child.shutdown, child.significant) == (Restart.PERMANENT, 5.0, False)
    above = Supervisor([child])
    assert (above.strategy, above.intensity, above.period_s) == (Strategy.ONE_FOR_ONE, 1, 5.0)
    assert above.as_child.shutdown == math.inf


def test_a_mailbox_without_room_for_a_message_is_refused_with_its_class() -> None:
    with pytest.raises(BadSpec):

        class Deaf(Actor):
            mailbox_limit = 0
            when_full = WhenFull.DROP_OLDEST
