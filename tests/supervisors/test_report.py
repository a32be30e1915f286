"""What is told of an event, in text: whatever was raised, it keeps to its limits."""

from hypothesis import given
from hypothesis import strategies as st

from supervisors import ChildExited, ChildStarted, Crash, Event, GaveUp, Killed, Shutdown, WouldNotStop, report
from supervisors.events import BackingOff
from supervisors.testing import Boom


class Untold:
    """Its text raises, or has two lines."""

    def __init__(self, text: str | None) -> None:
        self.text = text

    def __repr__(self) -> str:
        if self.text is None:
            raise Boom
        return self.text


anything = st.recursive(
    st.none() | st.integers() | st.text() | st.builds(Untold, st.none() | st.just("two\nlines")),
    lambda below: st.lists(below) | st.dictionaries(st.text(), below) | st.tuples(below, below),
)
reasons = st.lists(anything, max_size=4).map(lambda args: Crash(Boom(*args))) | st.sampled_from([Killed(), Shutdown()])
paths = st.sampled_from(["/", "a", "a/b", "a/b/c"])
events: st.SearchStrategy[Event] = (
    st.builds(ChildExited, paths, reasons, st.sampled_from(["", "init", "Call.take"]), st.booleans())
    | st.builds(ChildStarted, paths, st.integers(0, 9))
    | st.builds(GaveUp, paths, st.integers(0, 9), st.floats(0.1, 9), st.just("child"))
    | st.builds(WouldNotStop, paths, st.integers(1, 9))
    | st.builds(BackingOff, paths, st.floats(0.1, 9))
)


@given(events, st.integers(0, 12), st.integers(0, 400))
def test_a_report_is_never_longer_than_its_limit_and_in_one_line_unless_it_is_to_be_in_several(
    event: Event, depth: int, limit: int
) -> None:
    one_line, several = (report(event, lines=lines, depth=depth, limit=limit) for lines in (False, True))
    assert len(one_line) <= limit
    assert len(several) <= limit
    assert "\n" not in one_line
    assert several.count("\n") <= 4


@given(st.lists(anything, min_size=1))
def test_at_depth_0_nothing_is_said_of_what_an_error_was_raised_with(args: list[object]) -> None:
    event = ChildExited("a", Crash(Boom(*args)))
    assert report(event, depth=0) == "supervisor: /; context: child_terminated; reason: Boom(...); offender: a"
