"""The transaction tables: their shape, and the timers of RFC 3261 table 4."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.machine import Expired, Notify, Transmit
from protocols.sip.message import Request, Response
from protocols.sip.transaction import (
    CLIENT,
    INVITE_CLIENT,
    INVITE_SERVER,
    SERVER,
    Begin,
    Do,
    Kind,
    Passed,
    Saw,
    State,
    TimedOut,
    Transaction,
)

KINDS = {"invite client": INVITE_CLIENT, "client": CLIENT, "invite server": INVITE_SERVER, "server": SERVER}
TO = ("10.0.0.2", 5060)
HEADERS = (
    ("via", "SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKx"),
    ("from", "<sip:a@b>;tag=1"),
    ("to", "<sip:c@d>"),
    ("call-id", "x"),
)


def request(method: str) -> Request:
    return Request(method=method, uri="sip:c@d", headers=(*HEADERS, ("cseq", f"1 {method}")))


def response(code: int, method: str = "INVITE") -> Response:
    return Response(code=code, phrase="", headers=(*HEADERS, ("cseq", f"1 {method}")))


def begun(kind: Kind, method: str) -> Transaction:
    transaction = Transaction(kind, TO, request(method))
    if (State.IDLE, Saw.BEGIN) in kind.rows:
        transaction.step(Begin(), 0.0)
    return transaction


def sendings(transaction: Transaction, until: float) -> list[float]:
    """When something is sent, as the deadlines fall."""
    sent: list[float] = []
    while transaction.deadline is not None and transaction.deadline <= until:
        at = transaction.deadline
        sent += [at for effect in transaction.step(Expired(), at) if isinstance(effect, Transmit)]
    return sent


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
class TestATable:
    def test_has_a_clock_for_each_state_that_it_waits_in(self, kind: Kind) -> None:
        states = {state for state, _ in kind.rows} - {State.IDLE}
        assert states == set(kind.clocks)

    def test_has_a_row_for_each_timer_that_its_clocks_can_ring(self, kind: Kind) -> None:
        for state, clock in kind.clocks.items():
            assert ((state, Saw.REPEAT) in kind.rows) == (clock.repeat_s < 1e9)
            if clock.limit_s is not None:
                assert ((state, Saw.LIMIT) in kind.rows) == (clock.limit_s < 1e9)

    def test_leads_from_idle_to_every_state_and_from_every_state_to_the_end(self, kind: Kind) -> None:
        goes = {state: {to for (at, _), (to, _) in kind.rows.items() if at is state} for state in State}

        def reach(state: State, seen: frozenset[State] = frozenset()) -> frozenset[State]:
            for to in goes[state] - seen:
                seen = reach(to, seen | {to})
            return seen

        assert reach(State.IDLE) == set(kind.clocks) | {State.TERMINATED}
        assert all(State.TERMINATED in reach(state) for state in kind.clocks)

    def test_ends_for_good(self, kind: Kind) -> None:
        assert not any(state is State.TERMINATED for state, _ in kind.rows)

    def test_acknowledges_only_as_the_caller_of_an_invite(self, kind: Kind) -> None:
        acks = any(Do.ACK in actions for _, actions in kind.rows.values())
        assert acks == (kind is INVITE_CLIENT)


class TestTheTimers:
    def test_a_and_b_of_an_invite(self) -> None:
        invite = begun(INVITE_CLIENT, "INVITE")
        assert sendings(invite, 100) == [0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
        assert invite.state is State.TERMINATED

    def test_e_and_f_of_any_other_request(self) -> None:
        bye = begun(CLIENT, "BYE")
        assert sendings(bye, 100) == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]

    def test_e_at_t2_once_a_1xx_has_come_and_f_goes_on(self) -> None:
        bye = begun(CLIENT, "BYE")
        bye.step(response(100, "BYE"), 0.1)
        assert sendings(bye, 100) == [4.1, 8.1, 12.1, 16.1, 20.1, 24.1, 28.1]
        assert bye.state is State.TERMINATED

    def test_g_and_h_of_a_refusal(self) -> None:
        invite = begun(INVITE_SERVER, "INVITE")
        invite.step(response(486), 0.0)
        assert len(sendings(invite, 100)) == 10
        assert invite.state is State.TERMINATED

    @pytest.mark.parametrize(
        ("kind", "code", "seconds"),
        [(INVITE_CLIENT, 486, 32), (INVITE_CLIENT, 200, 32), (CLIENT, 200, 5), (SERVER, 200, 32)],
    )
    def test_d_m_k_and_j_absorb_for_so_long(self, kind: Kind, code: int, seconds: float) -> None:
        transaction = begun(kind, "INVITE")
        transaction.step(response(code), 1.0)
        assert transaction.deadline == 1.0 + seconds
        transaction.step(Expired(), 1.0 + seconds)
        assert transaction.state is State.TERMINATED

    def test_an_accepted_invite_is_resent_until_its_ack_and_absorbs_until_l(self) -> None:
        invite = begun(INVITE_SERVER, "INVITE")
        invite.step(response(200), 0.0)
        assert sendings(invite, 3) == [0.5, 1.5]
        (passed,) = invite.step(request("ACK"), 3.0)
        assert passed == Notify(Passed(request("ACK")))
        assert invite.step(request("INVITE"), 4.0) == []
        assert invite.deadline == 32


class TestMessages:
    def test_an_early_timer_changes_nothing(self) -> None:
        invite = begun(INVITE_CLIENT, "INVITE")
        assert invite.step(Expired(), 0.2) == []
        assert invite.deadline == 0.5

    def test_silence_is_told_once(self) -> None:
        bye = begun(CLIENT, "BYE")
        assert bye.step(Expired(), 33) == [Notify(TimedOut())]
        assert (bye.step(Expired(), 34), bye.deadline) == ([], None)

    def test_a_1xx_after_the_final_answer_is_absorbed(self) -> None:
        invite = begun(INVITE_CLIENT, "INVITE")
        invite.step(response(486), 0.1)
        assert invite.step(response(180), 0.2) == []

    def test_a_repeated_request_gets_the_last_answer(self) -> None:
        invite = begun(INVITE_SERVER, "INVITE")
        for code in (100, 180):
            invite.step(response(code), 0.0)
        (sent,) = invite.step(request("INVITE"), 1.0)
        assert isinstance(sent, Transmit)
        assert sent.data.startswith(b"SIP/2.0 180")


INPUTS = st.one_of(
    st.just(Begin()),
    st.just(Expired()),
    st.sampled_from([request("INVITE"), request("ACK")]),
    st.integers(100, 699).map(response),
)


@given(kind=st.sampled_from(list(KINDS.values())), steps=st.lists(st.tuples(INPUTS, st.floats(0, 40)), max_size=30))
def test_whatever_comes_in_whatever_order_it_ends_once_and_in_time(kind: Kind, steps) -> None:
    """Always: no exception, no word after the end, at most one time-out, and a deadline that lies ahead."""
    transaction, now, told = Transaction(kind, TO, request("INVITE")), 0.0, []
    for input_, later in steps:
        now += later
        was_over = transaction.state is State.TERMINATED
        effects = transaction.step(input_, now)
        told += [effect.event for effect in effects if isinstance(effect, Notify)]
        assert not (was_over and effects)
        if isinstance(input_, Expired) and transaction.deadline is not None:
            transaction.step(Expired(), now)
            assert transaction.deadline is None or transaction.deadline > now
    assert told.count(TimedOut()) <= 1
