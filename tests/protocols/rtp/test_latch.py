"""Who is heard, and who gets our audio: the rules one by one, and that no order of events lets a stranger in."""

import random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocols.errors import RemoteProtocolError
from protocols.machine import Address
from protocols.rtp.latch import PROOF, WINDOW_S, Latch
from protocols.rtp.packet import Packet

SDP, NAT, OTHER = ("192.0.2.1", 4000), ("198.51.100.7", 61000), ("203.0.113.9", 5000)


class Channel:
    """A latch as a line uses it, with the clock of the test."""

    def __init__(self, strict: bool = False) -> None:
        self.latch, self.strict, self.now = Latch(), strict, 100.0
        self.agree(SDP)

    def agree(self, address: Address, given: Address | None = None) -> None:
        self.agreed_s = self.now
        self.latch.agree(address, self.now, self.strict, given)

    def take(self, source: Address, sequence: int, ssrc: int = 1) -> int:
        """Return how many packets were heard of with this one."""
        packet, latch = Packet(0, sequence & 0xFFFF, 0, ssrc, b""), self.latch
        if (source, ssrc) == (latch.source, latch.ssrc):
            latch.sequence = packet.sequence
            return 1
        try:
            return len(latch.judge(packet, source, self.now))
        except RemoteProtocolError:
            return 0

    def stream(self, source: Address, n: int, first: int = 0, ssrc: int = 1) -> list[int]:
        heard = []
        for k in range(n):
            heard.append(self.take(source, first + k, ssrc))
            self.now += 0.02
        return heard


def test_three_packets_in_a_row_from_the_agreed_address_are_a_proof_and_all_three_are_heard() -> None:
    assert Channel().stream(SDP, 5) == [0, 0, 3, 1, 1]


def test_the_agreed_address_needs_no_clock_and_so_is_heard_after_a_start_on_another_machine() -> None:
    channel = Channel()
    channel.latch.agree(SDP, 1e9, False, None)
    assert channel.stream(SDP, 3) == [0, 0, 3]


def test_packets_that_are_not_in_a_row_prove_nothing() -> None:
    channel = Channel()
    assert [channel.take(SDP, number) for number in (1, 2, 4, 5, 7, 7, 8, 9)] == [0] * 7 + [3]
    assert [Channel().take(SDP, 1, ssrc) for ssrc in range(9)] == [0] * 9


def test_another_source_is_believed_after_the_grace_while_the_agreed_address_is_silent() -> None:
    channel = Channel()
    heard = channel.stream(NAT, 30)
    assert heard.index(PROOF) in (15, 16)  # 0.3 s, as floats add up
    assert channel.latch.far == NAT


def test_the_agreed_host_at_another_port_is_believed_at_once() -> None:
    assert Channel().stream((SDP[0], 9), 3) == [0, 0, 3]


def test_who_sends_long_before_there_is_an_sdp_waits_for_whoever_begins_after_it() -> None:
    """Shared case security/rtp_bleed against a callee behind a translator."""
    channel = Channel()
    channel.latch = Latch()
    for k in range(100):
        if k == 50:
            channel.agree(SDP)
        channel.take(OTHER, k, ssrc=9)
        if k > 60:
            channel.take(NAT, k)
        channel.now += 0.02
    assert channel.latch.far == NAT


def test_who_sends_before_a_lost_sdp_and_alone_is_believed_in_the_end() -> None:
    channel = Channel()
    channel.latch = Latch()
    channel.stream(NAT, 50)
    channel.agree(SDP)
    assert channel.stream(NAT, 60, first=50).index(PROOF) in (50, 51)


def test_another_source_is_not_believed_once_the_agreed_address_was_heard_of() -> None:
    channel = Channel()
    channel.take(SDP, 500, ssrc=9)
    assert sum(channel.stream(NAT, 90)) == 0
    assert channel.latch.far == SDP


def test_another_source_that_comes_late_is_not_believed() -> None:
    channel = Channel()
    channel.now += WINDOW_S
    assert sum(channel.stream(NAT, 500)) == 0


def test_an_answer_after_early_media_opens_the_window_again() -> None:
    channel = Channel()
    channel.now += 10.0
    channel.agree(SDP)
    assert sum(channel.stream(NAT, 30)) > 0


def test_the_agreed_address_wins_over_one_that_was_found() -> None:
    channel = Channel()
    channel.stream(NAT, 30)
    assert channel.stream(SDP, 3, ssrc=2) == [0, 0, 3]
    assert channel.latch.far == SDP


def test_a_stranger_who_knows_the_stream_does_not_get_it_while_the_far_end_is_heard() -> None:
    channel = Channel()
    channel.stream(SDP, 10)
    for k in range(50):
        assert channel.take(SDP, 10 + k) == 1
        assert channel.take(OTHER, 11 + k) == 0
        assert channel.take(SDP, 5000 + k, ssrc=2) == 0


def test_a_translator_that_forgets_and_gives_another_port_is_followed_by_the_stream_that_goes_on() -> None:
    channel = Channel()
    channel.stream(SDP, 10)
    channel.now += 30.0
    assert channel.stream(NAT, 4, first=500) == [0, 0, 3, 1]
    assert sum(channel.stream(OTHER, 50, first=600, ssrc=2)) == 0
    assert sum(channel.stream(OTHER, 50, first=400)) == 0


def test_a_far_end_that_begins_another_stream_where_it_is_must_prove_that_too() -> None:
    channel = Channel()
    channel.stream(NAT, 30)
    assert channel.stream(NAT, 4, first=7000, ssrc=2) == [0, 0, 3, 1]


def test_a_new_address_in_the_sdp_begins_anew() -> None:
    channel = Channel()
    channel.stream(SDP, 10)
    channel.agree(OTHER)
    assert channel.latch.far == OTHER
    assert channel.take(SDP, 10) == 0
    assert channel.stream(OTHER, 3, ssrc=5) == [0, 0, 3]


def test_on_a_strict_trunk_nobody_but_the_agreed_address_is_believed() -> None:
    channel = Channel(strict=True)
    assert sum(channel.stream(NAT, 90)) == 0
    channel.stream(SDP, 10)
    assert sum(channel.stream(NAT, 90, first=10)) == 0


def test_a_successor_is_given_the_source_and_needs_no_proof() -> None:
    channel = Channel()
    channel.now += 60.0
    channel.latch.agree(SDP, channel.agreed_s, False, NAT)
    assert channel.latch.far == NAT
    assert sum(channel.stream(OTHER, 50, ssrc=9)) == 0
    assert channel.stream(NAT, 2, first=777) == [1, 1]


def test_a_translator_that_gives_another_port_towards_another_machine_is_followed_there() -> None:
    """The far end that was found at the machine that died comes from elsewhere once it has been told of this one."""
    channel = Channel()
    channel.now += 60.0
    channel.agree(SDP, given=NAT)
    channel.now += 0.2
    channel.agree(SDP, given=NAT)
    assert channel.latch.far == NAT, "until then we send to where it was"
    elsewhere = (NAT[0], NAT[1] + 1)
    heard = channel.stream(elsewhere, 30)
    assert heard.index(PROOF) in (15, 16)
    assert channel.latch.far == elsewhere


def test_who_was_told_of_and_is_heard_is_not_given_up_for_another() -> None:
    channel = Channel()
    channel.agree(SDP, given=NAT)
    channel.now += 0.2
    channel.agree(SDP, given=NAT)
    assert channel.take(NAT, 7) == 1
    channel.now += 0.5
    assert channel.stream(OTHER, 10, ssrc=2) == [0] * 10


def test_what_another_process_has_found_since_is_followed_until_one_has_found_it_oneself() -> None:
    channel = Channel()
    channel.agree(SDP, given=NAT)
    channel.agree(SDP, given=OTHER)
    assert channel.latch.far == OTHER
    channel.stream(SDP, 3)
    channel.agree(SDP, given=OTHER)
    assert channel.latch.far == SDP


def test_a_crowd_of_sources_is_not_remembered_for_ever_and_does_not_keep_the_far_end_out() -> None:
    channel = Channel()
    for k in range(1000):
        channel.take((f"203.0.113.{k % 250}", 1024 + k), k)
        assert len(channel.latch._candidates) <= 8
        if k % 100 == 0:
            channel.take(SDP, k // 100)
    assert channel.latch.source == SDP


@pytest.mark.parametrize("strict", [False, True])
def test_nothing_is_heard_before_there_is_an_sdp(strict: bool) -> None:
    channel = Channel(strict)
    channel.latch = Latch()
    assert sum(channel.stream(SDP, 10)) == 0
    assert channel.latch.far is None


class Strangers(RuleBasedStateMachine):
    """One call: a far end that moves, falls silent and begins anew as far ends may, and strangers who send anything.

    A stranger knows neither the far end's SSRC (32 random bits) nor sends from its addresses. From the moment the far
    end is latched, no packet of theirs is heard and no packet of ours goes to them; and the far end itself is heard
    within a proof of every change that it may make.
    """

    def __init__(self) -> None:
        super().__init__()
        self.channel = Channel()
        self.is_latched = False

    @initialize(seed=st.integers(0, 2**32), strict=st.booleans(), translated=st.booleans())
    def begins(self, seed: int, strict: bool, translated: bool) -> None:
        self.chance = random.Random(seed)
        self.channel = Channel(strict)
        self.n_moves = 0
        self.is_translated = translated and not strict
        self.sends_from = NAT if self.is_translated else SDP
        self.ssrc, self.sequence = 1000, self.chance.randrange(65536)
        self.is_moved = True

    def _far(self, n: int) -> list[int]:
        heard = self.channel.stream(self.sends_from, n, self.sequence, self.ssrc)
        self.sequence = (self.sequence + n) % 65536
        return heard

    @rule(n=st.integers(1, 20))
    def the_far_end_speaks(self, n: int) -> None:
        heard = self._far(n)
        if self.is_latched:
            assert sum(heard[PROOF - 1 :]) >= n - PROOF + 1, "heard within a proof, and from then on always"
            self.is_moved = self.is_moved and n < PROOF
            assert self.is_moved or heard[-1] == 1 or n == PROOF
        else:
            self.is_latched = self.channel.latch.source == self.sends_from

    @rule(seconds=st.floats(0.02, 5.0))
    def nobody_speaks(self, seconds: float) -> None:
        self.channel.now += seconds

    @rule(seconds=st.floats(0.02, 1.0))
    def packets_are_lost(self, seconds: float) -> None:
        self.sequence = (self.sequence + round(seconds / 0.02)) % 65536

    @precondition(lambda self: self.is_latched and not self.is_moved)
    @rule()
    def the_far_end_begins_another_stream(self) -> None:
        self.ssrc, self.sequence, self.is_moved = self.ssrc + 1, self.chance.randrange(65536), True

    @precondition(lambda self: self.is_latched and self.is_translated and not self.is_moved)
    @rule()
    def its_translator_gives_it_another_port(self) -> None:
        self.n_moves += 1
        self.sends_from = (NAT[0], NAT[1] + self.n_moves)
        self.is_moved = True

    @rule(refresh=st.booleans())
    def it_says_by_a_re_invite_where_it_is(self, refresh: bool) -> None:
        if not refresh and not self.is_translated:
            self.n_moves += 1
            self.sends_from = (SDP[0], SDP[1] + self.n_moves)
            self.is_latched, self.is_moved = False, True
        self.channel.agree(
            SDP if self.is_translated else self.sends_from, self.channel.latch.source if refresh else None
        )

    @precondition(lambda self: self.is_latched and not self.is_moved)
    @rule()
    def the_spare_takes_over(self) -> None:
        before = self.channel.latch
        self.channel.latch = Latch()
        self.channel.latch.agree(before.agreed, self.channel.agreed_s, self.channel.strict, before.source)
        assert self._far(1) == [1]

    @rule(n=st.integers(1, 40), who=st.integers(0, 3), first=st.integers(0, 65535), ssrc=st.integers(0, 3))
    def a_stranger_sprays(self, n: int, who: int, first: int, ssrc: int) -> None:
        heard = self.channel.stream((OTHER[0], OTHER[1] + who), n, first, ssrc)
        if self.is_latched:
            assert sum(heard) == 0

    @invariant()
    def our_audio_goes_to_the_far_end_once_it_is_known(self) -> None:
        if self.is_latched:
            assert self.channel.latch.far is not None
            assert self.channel.latch.far[0] == self.sends_from[0]


TestStrangers = Strangers.TestCase
