"""Two phones on a line that loses, repeats and reorders: both ends agree in the end, or time has run out."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocols.machine import Address
from protocols.sip import (
    Accept,
    Answered,
    Dial,
    Ended,
    Finished,
    HangUp,
    LegInput,
    LegPhase,
    Listening,
    Local,
    Offer,
    Reject,
    Ring,
    Side,
    TakeOver,
    Uac,
)
from protocols.testing import End, LossyLine, calm, stormy

A, B, C = ("10.0.0.1", 5060), ("10.0.0.2", 5060), ("10.0.0.3", 5060)
DIAL = Dial("sip:bob@10.0.0.2", "sip:robot@10.0.0.1", Listening("10.0.0.1", 4000), B, ring_s=40)
ACCEPT = Accept(Listening("10.0.0.2", 30000))
PATIENCE_S = 200
"""Ring limit, CANCEL, and the longest timer after it."""


@dataclass
class Table:
    """A caller and a callee on one line."""

    line: LossyLine
    caller: End
    callee: End
    heir: End
    """A machine that has no call yet."""
    uac: Uac

    def command(self, end: End, given: LegInput) -> None:
        for key in end.machine.legs:
            self.line.give(end, (key, given))


@pytest.fixture(scope="module")
def lay(request: pytest.FixtureRequest) -> Callable[..., Table]:
    """Put two phones on a line and dial."""
    conftest = next(one for one in request.config.pluginmanager.get_plugins() if hasattr(one, "Phone"))

    def make(weather, *script: tuple[float, LegInput]) -> Table:
        def receive(data: bytes, source: Address):
            return conftest.Datagram(data, source)

        line = LossyLine(weather)
        phones = [conftest.Phone(at, random.Random(str(at)), script if at == B else ()) for at in (A, B, C)]
        caller, callee, heir = (line.join(phone, phone.address, receive) for phone in phones)
        uac = Uac(Local(*A), random.Random(1).randbytes)
        caller.machine.legs[uac.sip_call_id] = uac
        table = Table(line, caller, callee, heir, uac)
        table.command(caller, DIAL)
        return table

    return make


def another_machine_goes_on(table: Table) -> Uac:
    """Have the caller's machine be dead, and a leg at another address go on from the record of its own; return it."""
    record = table.uac.record
    invite = record.invite if record.phase is LegPhase.INVITING and record.is_proceeding else None
    dead, heir = table.caller.machine, table.heir.machine
    dead.legs.clear()
    dead.step = lambda given, now: []
    left = replace(record, invite=invite, ring_until_s=None, session_at_s=None, wanted=None)
    uac = heir.legs[table.uac.sip_call_id] = Uac.resume(left, table.line.now, random.Random(3).randbytes)
    table.command(table.heir, TakeOver(Local(*C), Listening("10.0.0.3", 4100)))
    return uac


def ends(end: End) -> list[Ended]:
    return [event for event in end.told if isinstance(event, Ended)]


class TestOnACalmLine:
    def test_a_call_takes_nine_datagrams(self, lay) -> None:
        table = lay(calm(), (0.5, Ring()), (2, ACCEPT))
        table.line.run(10)
        table.command(table.caller, HangUp())
        table.line.run(60)
        assert [data.split()[0] for data in table.caller.sent] == [b"INVITE", b"ACK", b"BYE"]
        assert [data.split()[1] for data in table.callee.sent] == [b"100", b"180", b"200", b"200"]
        assert [type(one).__name__ for one in table.caller.told] == ["Ringing", "Answered", "Ended", "Finished"]

    def test_both_offering_at_the_same_moment_both_succeed_in_the_end(self, lay) -> None:
        """RFC 3261 s.14.1: glare."""
        table = lay(calm(), (0.5, ACCEPT), (3, Offer(Listening("10.0.0.2", 30002))))
        table.line.run(3.005)
        table.command(table.caller, Offer(Listening("10.0.0.1", 4002)))
        table.line.run(20)
        assert b" 491 " in b"".join(table.caller.sent + table.callee.sent)
        assert [leg.media.port for end in (table.caller, table.callee) for leg in end.machine.legs.values()] == [
            30002,
            4002,
        ]


SCRIPTS = st.sampled_from(
    [
        [(0.5, Ring()), (2.0, ACCEPT)],
        [(0.0, ACCEPT)],
        [(1.0, Ring(Listening("10.0.0.2", 30000))), (3.0, ACCEPT), (9.0, HangUp())],
        [(0.5, ACCEPT), (4.0, Offer(Listening("10.0.0.2", 30002), holds=True)), (30.0, HangUp())],
        [(0.5, Reject(486))],
        [(0.5, Ring())],
        [],
    ]
)
ORDERS = st.lists(
    st.tuples(
        st.floats(0.01, 20),
        st.sampled_from([Offer(Listening("10.0.0.1", 4002)), Offer(Listening("10.0.0.1", 4004), True), HangUp()]),
    ),
    max_size=4,
)
HARSH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@HARSH
@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]), script=SCRIPTS, orders=ORDERS)
def test_a_call_always_ends_once_at_each_end_and_is_forgotten(lay, seed: int, loss: float, script, orders) -> None:
    """Always: one `Ended` and one `Finished` each, nothing raised, nothing left to wait for."""
    table = lay(stormy(random.Random(seed).randbytes, loss), *script)
    for wait_s, order in orders:
        table.line.run(wait_s)
        table.command(table.caller, order)
    table.line.run(60)
    table.command(table.caller, HangUp())
    table.line.run(PATIENCE_S)
    table.command(table.callee, HangUp())  # a callee whose caller has gone while nothing got through
    table.line.run(PATIENCE_S)
    for end in (table.caller, table.callee):
        assert len(ends(end)) == len(end.machine.legs)
        assert end.told.count(Finished()) == len(end.machine.legs)
        assert end.machine.deadline is None


@HARSH
@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.1, 0.3, 0.5]))
def test_what_both_ends_believe_after_a_storm_is_the_same(lay, seed: int, loss: float) -> None:
    """Always: if the caller has an answered call, so has the callee, with each other's addresses; else neither has."""
    table = lay(stormy(random.Random(seed).randbytes, loss), (0.5, Ring()), (2.0, ACCEPT))
    table.line.run(100)
    callee = next(iter(table.callee.machine.legs.values()), None)
    if table.uac.phase is LegPhase.CONFIRMED:
        assert callee is not None
        assert callee.phase is LegPhase.CONFIRMED or ends(table.callee)[0].cause == "no_ack"
        assert (table.uac.media.port, callee.media.port) == (30000, 4000)
    else:
        assert ends(table.caller)
        assert callee is None or callee.phase in (LegPhase.ENDED, LegPhase.FINISHED)


@HARSH
@given(seed=st.integers(0, 2**32))
def test_a_line_that_loses_one_in_five_carries_calls(lay, seed: int) -> None:
    """RFC 3261's repetitions are for this: the chance that one message is lost seven times in 32 s is 1 in 78 000."""
    table = lay(stormy(random.Random(seed).randbytes, loss=0.2), (0.5, Ring()), (2.0, ACCEPT), (20.0, HangUp()))
    table.line.run(PATIENCE_S)
    assert any(isinstance(event, Answered) for event in table.caller.told)
    assert ends(table.caller)[0].by in (Side.THEM, Side.NOBODY)


@HARSH
@given(
    seed=st.integers(0, 2**32), deaths=st.lists(st.floats(0.0, 15.0), min_size=1, max_size=5), offer_at=st.floats(3, 14)
)
def test_a_caller_who_dies_again_and_again_loses_no_call(lay, seed: int, deaths: list[float], offer_at: float) -> None:
    """Always: a leg that goes on from its record, at whatever instant, keeps the call that the dead one had."""
    table = lay(stormy(random.Random(seed).randbytes, loss=0.2), (0.5, Ring()), (2.0, ACCEPT))
    key, phone = table.uac.sip_call_id, table.caller.machine
    for at, happening in sorted([(at, "death") for at in deaths] + [(offer_at, "offer")]):
        table.line.run(at - table.line.now)
        if happening == "offer":
            table.command(table.caller, Offer(Listening("10.0.0.1", 4002)))
        else:
            phone.legs[key] = Uac.resume(phone.legs[key].record, table.line.now, random.Random(at).randbytes)
    table.line.run(100)
    (callee,) = table.callee.machine.legs.values()
    assert (phone.legs[key].phase, callee.phase) == (LegPhase.CONFIRMED, LegPhase.CONFIRMED)
    assert phone.legs[key].media.port == 30000
    assert callee.media.port in (4000, 4002)
    assert (callee.media.port == 4002) == (phone.legs[key].ours.port == 4002)
    table.command(table.caller, HangUp())
    table.line.run(PATIENCE_S)
    assert ends(table.callee)[0].by is Side.THEM


@HARSH
@given(seed=st.integers(0, 2**32), loss=st.sampled_from([0.0, 0.0, 0.2, 0.5]), died=st.floats(0.0, 8.0),
       outage_s=st.sampled_from([0.0, 0.3, 3.0, 20.0]), hangs_up=st.booleans())  # fmt: skip
def test_what_a_callee_and_the_heir_of_a_dead_machine_believe_is_the_same(
    lay, seed: int, loss: float, died: float, outage_s: float, hangs_up: bool
) -> None:
    """Always, whenever it died and however long nobody was there: they talk with each other, or neither has a call."""
    table = lay(stormy(random.Random(seed).randbytes, loss), (0.5, Ring()), (4.0, ACCEPT))
    table.line.run(died)
    table.caller.machine.legs.clear()
    table.line.run(outage_s)
    uac = another_machine_goes_on(table)
    table.line.run(150)
    if hangs_up:
        table.command(table.heir, HangUp())
        table.line.run(PATIENCE_S)
    callee = next(iter(table.callee.machine.legs.values()), None)
    is_theirs = callee is not None and callee.phase is LegPhase.CONFIRMED
    if uac.phase is LegPhase.CONFIRMED:
        assert is_theirs or ends(table.callee)[0].cause == "no_ack"
        assert (uac.media.port, callee.media.port) == (30000, 4100)
    else:
        assert not is_theirs
        assert len(ends(table.heir)) == 1
        assert table.heir.machine.deadline is None


def test_who_picks_up_while_nobody_is_there_is_talked_with_by_the_heir(lay) -> None:
    table = lay(calm(), (0.5, Ring()), (2.0, ACCEPT))
    table.line.run(1.0)
    table.caller.machine.legs.clear()
    table.line.run(5.0)
    uac = another_machine_goes_on(table)
    table.line.run(1.0)
    assert [type(one) for one in table.heir.told] == [Answered]
    assert uac.media.port == 30000
