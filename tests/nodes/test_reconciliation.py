"""Random deaths of edge, spares, launcher and central, in virtual time: every attempt ends, once, and is dialled once.

The parts that decide are the real ones: what heirs and the disk keep and give back (`heirs`, `checkpoint`), what a
successor makes of it (`succession`), what central takes for lost (`search`) and what its fold says. Around them stands
a small world: queues in which messages wait and with which a death loses them, and telephones.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nodes.call.record import CallPhase, CallRecord
from nodes.central.outcomes import ended, lost
from nodes.central.search import N_LOOKS, N_OVER, Missing
from nodes.edge import checkpoint
from nodes.edge.checkpoint import LAYOUT, Alive, Opened
from nodes.edge.heirs import bequest
from nodes.edge.standby_records import StandbyRecords
from nodes.edge.succession import Here, epoch_after, taken_up
from protocols.wire.campaigns import ContactId, Plan, attempt_id, contact_of
from protocols.wire.heirs import KeepOnly, KeepRecord, KeepScript
from protocols.wire.ids import AttemptId, CallId, CampaignId, Identity, ScriptHash
from protocols.wire.journal import Answered, Attempted, CampaignPhase, Contact, Steered
from protocols.wire.reconcile import CallsFound
from tests.nodes.central.journals import folded, imported
from tests.nodes.edge.records import leg, record

AT = datetime(2026, 3, 3, 12, tzinfo=UTC)
SPRING = CampaignId("spring")
NAMES = [ContactId(name) for name in "abc"]
PLAN = Plan(opens_min=0, closes_min=1440, retries={"failed": (0.0,) * 9, "busy": (0.0,) * 9, "abandoned": (0.0,) * 9})
SPARES = 2
EXPIRES = 2
"""Looks after which an order that has not arrived never will: its ask waits for 5 s, and a look is every 2 s."""
Told = KeepScript | KeepRecord | KeepOnly


@dataclass(eq=False)
class Spare:
    """What it keeps, and what is on its way to it."""

    standby: StandbyRecords = field(default_factory=StandbyRecords)
    coming: deque[Told] = field(default_factory=deque)

    def take(self, n: int) -> list[KeepScript | KeepRecord]:
        """Take the next `n` messages; return what it gives back to whoever sent them."""
        strays: list[KeepScript | KeepRecord] = []
        for _ in range(min(n, len(self.coming))):
            match self.coming.popleft():
                case KeepScript() as script:
                    self.standby.learn(script)
                case KeepRecord() as kept:
                    self.standby.keep(kept)
                case KeepOnly() as only:
                    strays += self.standby.only(only, Identity("n1.edge-0:1")) or ()
        return strays


@dataclass
class Edge:
    """An active edge: its calls, what it knows to be over, and what it has not yet told its spares."""

    calls: dict[CallId, CallRecord] = field(default_factory=dict)
    standby: StandbyRecords = field(default_factory=StandbyRecords)
    epoch: int = 0
    held: set[CallId] = field(default_factory=set)
    """Whose INVITE waits until others have the record of it."""


class Reconciliation(RuleBasedStateMachine):
    """One node with its central, and the telephones of three people."""

    @initialize()
    def begin(self) -> None:
        self.now, self.launcher = 1000.0, 1
        self.edge: Edge | None = Edge()
        self.spares = [Spare() for _ in range(SPARES)]
        self.waits_for: list[Spare] = []
        self.next: StandbyRecords | None = None
        """Who is to become active, while nobody is."""
        self.disk, self.is_slow = b"", False
        self.dials: Counter[CallId] = Counter()
        self.up: set[CallId] = set()
        """Calls that the callees' telephones believe in."""
        self.orders: deque[tuple[Attempted, int]] = deque()
        """And how many looks ago each was given."""
        self.told: deque[tuple[CallId, str]] = deque()
        """Events on their way to central: how calls ended."""
        contacts = tuple(Contact(name, f"sip:{name}@b", ("UTC",), "form") for name in NAMES)
        entries = (imported(SPRING, contacts, AT, PLAN), Steered(SPRING, CampaignPhase.RUNNING, AT))
        self.fold, self.missing = folded(entries), Missing()
        self.ends: Counter[str] = Counter()
        self._flush()

    # ---- central ---------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), arrives=st.booleans())
    def dial(self, name: ContactId, arrives: bool) -> None:
        """Central writes an attempt down and gives the order, which may arrive at once."""
        progress = self.fold.campaigns[SPRING].progress(self.fold.campaigns[SPRING].roll.find(name) or 0)
        if progress.due is None or name in self.fold.in_flight:
            return
        n = progress.n_attempts + 1
        attempt = Attempted(SPRING, name, attempt_id(SPRING, name, n), n, AT, "", "form", (), row=NAMES.index(name))
        assert self.fold.apply(attempt)
        self.orders.append((attempt, 0))
        if arrives and self.edge:
            self.orders.rotate(1)
            self._take_an_order()

    def _central_dies_with_its_orders(self) -> None:
        self.orders.clear()
        self.missing = Missing()

    @rule(n=st.integers(1, N_LOOKS))
    def look(self, n: int) -> None:
        """Ask so many times; what is lost is written down when no event waits to be read."""
        for _ in range(n):
            self._look()

    def _look(self) -> None:
        asked = [CallId(attempt.attempt_id) for attempt in self.fold.in_flight.values()]
        self.orders = deque((order, age + 1) for order, age in self.orders if age < EXPIRES)
        is_silent = self.edge is None or any(spare in self.waits_for for spare in self.spares)
        answers: list[CallsFound | None] = [self._find(self.edge, asked) if self.edge and not is_silent else None]
        self.missing.look(asked, answers)
        if self.told:
            return
        gone = self.missing.lost()
        for attempt in [one for one in self.fold.in_flight.values() if one.attempt_id in gone]:
            self._end(lost(attempt, self.fold, AT, self.now))

    def _find(self, edge: Edge, asked: list[CallId]) -> CallsFound:
        held = tuple(call_id for call_id in asked if call_id in edge.calls)
        return CallsFound(held, tuple(call_id for call_id in asked if edge.standby.has_been(call_id)))

    @precondition(lambda self: self.told)
    @rule()
    def read_an_event(self) -> None:
        call_id, disposition = self.told.popleft()
        attempt = next((one for one in self.fold.in_flight.values() if one.attempt_id == call_id), None)
        if attempt is None:
            return
        if disposition == "answered":
            self.fold.apply(Answered(SPRING, attempt.contact_id, attempt.attempt_id, AT))
        else:
            self._end(ended(attempt, disposition, "x", AT, self.now, 0.0))

    def _end(self, entry) -> None:  # type: ignore[no-untyped-def]
        if self.fold.apply(entry):
            self.ends[entry.attempt_id] += 1

    # ---- the active edge -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.edge and self.orders)
    @rule()
    def take_an_order(self) -> None:
        self._take_an_order()

    def _take_an_order(self) -> None:
        assert self.edge
        attempt, _ = self.orders.popleft()
        in_flight = {one.attempt_id for one in self.fold.in_flight.values()}
        assert attempt.attempt_id in in_flight, "it has been given up, and is dialled"
        call_id = CallId(attempt.attempt_id)
        if call_id in self.edge.calls or self.edge.standby.has_been(call_id):
            return
        person = attempt.contact_id
        others = [one for one in self.edge.calls if contact_of(AttemptId(one)) == person]
        assert not others, f"{person} is dialled again while {others} are up"
        self.edge.held.add(call_id)
        self._write(record(call_id, phase=CallPhase.RINGING, answered_s=0.0))

    def _send_what_is_kept(self) -> None:
        """An INVITE leaves when its record is on disk; a slow one is not waited for if both spares have read it."""
        assert self.edge
        kept = {one.order.call_id for one in checkpoint.read(self.disk).standby.take()}
        if self.is_slow:
            kept |= set.intersection(*(set(spare.standby._kept) for spare in self.spares))
        for call_id in self.edge.held & kept:
            self.edge.held.discard(call_id)
            self.dials[call_id] += 1
            self.up.add(call_id)

    @precondition(lambda self: self.edge and self.edge.calls.keys() - self.edge.held)
    @rule(which=st.integers(0, 9), how=st.sampled_from(["answers", "hangs up", "talks"]))
    def something_happens(self, which: int, how: str) -> None:
        assert self.edge
        rung = sorted(self.edge.calls.keys() - self.edge.held)
        call_id = rung[which % len(rung)]
        before = self.edge.calls[call_id]
        if how == "hangs up":
            self.up.discard(call_id)
            self._over(before, "busy")
        elif how == "answers" and not before.answered_s:
            self._write(replace(before, phase=CallPhase.ANSWERED, answered_s=self.now))
            self.told.append((call_id, "answered"))
        else:
            self._write(replace(before, n_events=before.n_events + 1))

    @precondition(lambda self: self.edge and not self.is_slow)
    @rule()
    def flush(self) -> None:
        """The thread has written to the disk."""
        self._flush()
        self._send_what_is_kept()

    @rule(is_slow=st.booleans())
    def the_disk_is_slow(self, is_slow: bool) -> None:
        """Or it is not any more, and has everything that was to be written."""
        self.is_slow = is_slow
        if not is_slow and self.edge:
            self.flush()

    def _write(self, made: CallRecord) -> None:
        """Write a record: at the end of the turn every spare that there is has been told; the disk not yet."""
        assert self.edge
        made = replace(made, revision=made.revision + 1)
        call_id = made.order.call_id
        self.edge.calls[call_id] = made
        for spare in self.spares:
            spare.coming.extend(bequest(made, lambda _: False))
        if made.phase is CallPhase.DONE:
            del self.edge.calls[call_id]
            self.edge.standby.ended(call_id)

    def _tell_all(self, spare: Spare) -> None:
        """Give it everything; what it gives back the active edge waits for before it answers questions."""
        assert self.edge
        self.waits_for.append(spare)
        for made in self.edge.calls.values():
            spare.coming.extend(bequest(made, lambda _: False))
        spare.coming.append(KeepOnly(tuple(self.edge.calls)))

    @rule(which=st.integers(0, SPARES - 1), n=st.integers(1, 9))
    def a_spare_reads(self, which: int, n: int) -> None:
        self._a_spare_reads(self.spares[which], n)

    def _settle(self) -> None:
        """One death at a time: there is a second between two, in which everybody has read what there is."""
        for spare in self.spares:
            self._a_spare_reads(spare, 999)

    def _a_spare_reads(self, spare: Spare, n: int) -> None:
        strays = spare.take(n)
        if self.edge:
            if not any(isinstance(message, KeepOnly) for message in spare.coming):
                self.waits_for = [one for one in self.waits_for if one is not spare]
            for stray in strays:
                if isinstance(stray, KeepScript):
                    self.edge.standby.learn(stray)
                elif stray.call_id not in self.edge.calls:
                    self.edge.standby.keep(stray)
            self._go_on(self.edge.standby.take())
            self._send_what_is_kept()

    def _over(self, before: CallRecord, disposition: str) -> None:
        self._write(replace(before, phase=CallPhase.DONE))
        self.told.append((before.order.call_id, disposition))

    def _flush(self) -> None:
        assert self.edge
        over = [KeepRecord(call_id, 0, ScriptHash(""), b"") for call_id in self.edge.standby.last_over(99)]
        calls = [message for made in self.edge.calls.values() for message in bequest(made, lambda _: False)]
        opened = Opened(LAYOUT, str(self.launcher), "boot")
        self.disk = b"".join(map(checkpoint.frame, [opened, *over, *calls, Alive(self.now)]))

    # ---- deaths ----------------------------------------------------------------------------------------------------

    @rule(who=st.sampled_from(["spare", "spare", "central", "edge", "edge", "edge", "all edges", "launcher"]),
          which=st.integers(0, SPARES - 1), n_lost=st.lists(st.integers(0, 3), min_size=SPARES, max_size=SPARES),
          seconds=st.sampled_from([0.0, 5.0, 60.0]), hung_up=st.sets(st.sampled_from(NAMES)))  # fmt: skip
    def somebody_dies(self, who: str, which: int, n_lost: list[int], seconds: float, hung_up: set[ContactId]) -> None:
        if self.waits_for:
            self._settle()
        if who == "central":
            self._central_dies_with_its_orders()
        elif who == "spare":
            self._a_spare_dies(which)
        elif self.edge is None or (self.is_slow and who in ("all edges", "launcher")):
            pass  # one fault at a time: what a slow disk does not have yet is in memory only
        elif who == "edge":
            self._the_edge_dies(which, n_lost)
        elif who == "all edges":
            self._every_edge_dies(seconds)
        else:
            self._the_launcher_dies(seconds, hung_up)

    def _a_spare_dies(self, which: int) -> None:
        """Another begins empty, and is given everything."""
        self.spares[which] = Spare()
        if self.edge:
            self._tell_all(self.spares[which])

    def _the_edge_dies(self, which: int, n_lost: list[int]) -> None:
        """What it has sent last may not have left it."""
        self._lose_untold(n_lost)
        heir = self.spares[which]
        heir.take(len(heir.coming))
        self.spares[which] = Spare()
        self.edge, self.next = None, heir.standby

    def _every_edge_dies(self, seconds: float) -> None:
        self.now += seconds
        self.spares = [Spare() for _ in range(SPARES)]
        self.edge, self.next = None, StandbyRecords()

    def _the_launcher_dies(self, seconds: float, hung_up: set[ContactId]) -> None:
        """Whoever hangs up meanwhile is not heard; who is asked afterwards says so."""
        self.now += seconds
        self.up -= {call_id for call_id in self.up if contact_of(AttemptId(call_id)) in hung_up}
        self.launcher += 1
        self.spares = [Spare() for _ in range(SPARES)]
        self._central_dies_with_its_orders()
        self.edge, self.next = None, StandbyRecords()

    def _lose_untold(self, n_lost: list[int]) -> None:
        """The spares lose the last messages."""
        for spare, n in zip(self.spares, n_lost, strict=True):
            for _ in range(min(n, len(spare.coming))):
                spare.coming.pop()

    @precondition(lambda self: self.next is not None)
    @rule()
    def a_successor_becomes_active(self) -> None:
        standby, self.next, self.waits_for = self.next, None, []
        assert standby is not None
        found = checkpoint.read(self.disk)
        standby.inherit(found.standby)
        self.now += 0.1
        here = Here(str(self.launcher), "boot", 5060, self.now)
        records = [taken_up(one, found, here) for one in standby.take()]
        self.edge = Edge(standby=standby, epoch=epoch_after(records, self.now))
        for spare in self.spares:  # it hears no more of the dead one than has reached it
            spare.take(len(spare.coming))
        self._go_on(records)
        for spare in self.spares:
            self._tell_all(spare)
        if not self.is_slow:
            self._flush()
            self._send_what_is_kept()

    def _go_on(self, records: list[CallRecord]) -> None:
        """`Call.resume`: a new epoch; what is to end ends; a far end that is gone says so."""
        assert self.edge
        for one in records:
            self.edge.calls[one.order.call_id] = one
            one = replace(one, epoch=max(one.epoch + 1, self.edge.epoch), is_doubtful=False, leg=leg())
            if one.ending:
                self.up.discard(one.order.call_id)
                self._over(one, one.ending.disposition.value)
            elif not self.dials[one.order.call_id]:
                self.edge.held.add(one.order.call_id)
                self._write(one)
            elif one.order.call_id not in self.up:
                self._over(one, "busy")
            else:
                self._write(one)

    # ---- what must hold --------------------------------------------------------------------------------------------

    @invariant()
    def nobody_is_dialled_twice_and_no_attempt_ends_twice(self) -> None:
        assert all(n == 1 for n in self.dials.values())
        assert all(n == 1 for n in self.ends.values())

    @invariant()
    def every_telephone_that_is_up_has_an_owner(self) -> None:
        if self.edge is not None:
            kept = {call_id for spare in self.spares for call_id in spare.standby._kept}
            assert self.up <= self.edge.calls.keys() | kept, "not even a fellow heir knows of it"

    @invariant()
    def a_spare_that_has_read_everything_has_what_the_active_one_has(self) -> None:
        for spare in self.spares if self.edge else ():
            if not spare.coming:
                kept = {call_id: (one.epoch, one.revision) for call_id, one in spare.standby._kept.items()}
                assert kept == {call_id: (one.epoch, one.revision) for call_id, one in self.edge.calls.items()}

    def teardown(self) -> None:
        """No more deaths: calls end by themselves, and then nothing is open."""
        if not hasattr(self, "next"):
            return
        if self.next is not None:
            self.a_successor_becomes_active()
        self._settle()
        assert self.edge is not None
        self.is_slow = False
        self.flush()
        assert self.up <= self.edge.calls.keys()
        self.orders.clear()
        for before in list(self.edge.calls.values()):
            self.up.discard(before.order.call_id)
            self._over(before, "busy")
        while self.told:
            self.read_an_event()
        for _ in range(max(N_LOOKS, N_OVER)):
            self._look()
        assert not self.fold.in_flight
        assert not self.up


Reconciliation.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestReconciliation = Reconciliation.TestCase


def test_an_edge_and_the_one_spare_that_had_its_order_die_in_the_same_moment() -> None:
    """What hypothesis has found: the order is on no disk yet, and its way to the other spare was lost with the edge."""
    node = Reconciliation()
    node.begin()
    node.dial(arrives=False, name=NAMES[0])
    node.take_an_order()
    node.somebody_dies(who="edge", which=1, n_lost=[0, 1], seconds=0.0, hung_up=set())
    node.somebody_dies(who="spare", which=0, n_lost=[0, 0], seconds=0.0, hung_up=set())
    node.teardown()
