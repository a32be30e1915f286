"""How long ago something was is not a matter of the wall clock, whoever sets it, and whoever leads."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.central.admission import Admission
from nodes.central.clock import Clock, Stamp, to_body
from nodes.central.dialler import Dialler, Moment
from nodes.central.outcomes import ended, lost
from protocols.wire.campaigns import ContactId, Plan
from protocols.wire.ids import CampaignId
from protocols.wire.journal import Answered, Attempted, CampaignPhase, Contact, Ended, Entry, Steered
from tests.nodes.central.journals import folded, imported

NOON = datetime.fromisoformat("2026-03-03T12:00:00+00:00")
SPRING, NAMES = CampaignId("spring"), [ContactId(name) for name in "abc"]
WAIT_S = 900.0
PLAN = Plan(
    opens_min=0, closes_min=1440, spacing_s=300.0, per_day=99, ring_s=30.0,
    retries={"busy": (WAIT_S,) * 9, "failed": (WAIT_S,) * 9, "abandoned": (WAIT_S,) * 9},
)  # fmt: skip


class Machine:
    """A machine whose monotonic clock is true, and whose wall clock is whatever somebody has set it to."""

    def __init__(self) -> None:
        self.true_s, self.wall_error, self.boot, self.booted_s = 0.0, timedelta(), "first", 0.0

    def clock(self) -> Clock:
        return Clock(lambda: NOON + timedelta(seconds=self.true_s) + self.wall_error, self.up_s, self.boot)

    def up_s(self) -> float:
        return self.true_s - self.booted_s


class Term:
    """A leader, and the successors that read what it has written."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.journal: list[tuple[Entry, dict[str, Any]]] = []
        self.dials: dict[ContactId, float] = {}
        self.ends: dict[ContactId, float] = {}
        contacts = tuple(Contact(name, f"sip:{name}@b", ("UTC",), "form") for name in NAMES)
        self.clock = machine.clock()
        self.write(imported(SPRING, contacts, NOON, PLAN))
        self.write(Steered(SPRING, CampaignPhase.RUNNING, NOON))
        self.take_over()

    def write(self, entry: Entry) -> None:
        self.journal.append((entry, to_body(self.clock.stamp())))

    def take_over(self) -> None:
        """A new process begins: it knows the journal and nothing else."""
        self.clock = self.machine.clock()
        for _, stamp in self.journal:
            self.clock.heard(stamp)
        self.fold = folded(entry for entry, _ in self.journal)
        admission = Admission({}, self.clock.now(), base=1000.0)
        self.dialler = Dialler(self.fold, admission, [])

    def dial(self) -> None:
        moment = Moment(self.clock.wall(), self.clock.now(), 1, ())
        while isinstance(entry := self.dialler.next(moment), Attempted):
            name, now = entry.contact_id, self.machine.true_s
            assert now - self.dials.get(name, -9e9) >= PLAN.spacing_s - 0.01, "rung again too early"
            assert now - self.ends.get(name, -9e9) >= WAIT_S - 0.01, "the retry rule was not kept"
            self.dials[name] = now
            self.tell(entry)

    def tell(self, entry: Entry) -> None:
        self.write(entry)
        self.fold.apply(entry)

    def end(self, name: ContactId) -> None:
        if attempt := self.fold.in_flight.get(name):
            self._end(ended(attempt, "busy", "486", self.clock.wall(), self.clock.now(), 0.0))

    def answer(self, name: ContactId) -> None:
        if attempt := self.fold.in_flight.get(name):
            self.tell(Answered(SPRING, name, attempt.attempt_id, self.clock.wall()))

    def lose(self, name: ContactId) -> None:
        """No edge has it: as `search` finds out, which counts looks and no time."""
        if attempt := self.fold.in_flight.get(name):
            self._end(lost(attempt, self.fold, self.clock.wall(), self.clock.now()))

    def _end(self, entry: Ended) -> None:
        self.ends[entry.contact_id] = self.machine.true_s
        self.tell(entry)
        self.dialler.ended(entry)


steps = st.one_of(
    st.tuples(st.just("pass"), st.floats(0, 1000)),
    st.tuples(st.just("set"), st.floats(-1e6, 1e6)),
    st.tuples(st.sampled_from(["end", "answer", "lose"]), st.sampled_from(NAMES)),
    st.tuples(st.just("take_over"), st.sampled_from(["same boot", "rebooted", "other machine"])),
)


@given(st.lists(steps, max_size=40))
def test_no_step_of_the_wall_clock_rings_anybody_early_whatever_becomes_of_a_call(
    told: list[tuple[str, object]],
) -> None:
    machine = Machine()
    term = Term(machine)
    for what, how in told:
        match what, how:
            case "pass", float(seconds):
                machine.true_s += seconds
            case "set", float(seconds):
                machine.wall_error = timedelta(seconds=seconds)
            case "take_over", str(kind):
                if kind != "same boot":
                    machine.boot, machine.booted_s = f"{machine.true_s}", machine.true_s - 5.0 * (kind == "rebooted")
                term.take_over()
            case "end", str(name):
                term.end(ContactId(name))
            case "lose", str(name):
                term.lose(ContactId(name))
            case _, str(name):
                term.answer(ContactId(name))
        term.dial()


def test_a_successor_on_the_same_boot_knows_what_has_passed_while_nobody_led() -> None:
    machine = Machine()
    stamp = to_body(machine.clock().stamp())
    machine.true_s, machine.wall_error = 500.0, timedelta(days=-9)
    successor = machine.clock()
    successor.heard(stamp)
    assert successor.now() == pytest.approx(500.0, abs=0.01)


def test_a_successor_elsewhere_goes_on_from_the_last_entry_and_never_back() -> None:
    machine = Machine()
    successor = machine.clock()
    for stamp in (Stamp(70.0, "another", 1e6), Stamp(60.0, "another", 2e6)):
        successor.heard(msgspec.to_builtins(stamp))
    machine.true_s = 5.0
    assert successor.now() == pytest.approx(75.0, abs=0.01)
    for nonsense in (None, 7, {}, {"journal_s": "x", "boot": "", "up_s": 0}):
        successor.heard(nonsense)
    assert successor.now() == pytest.approx(75.0, abs=0.01)
