"""At most one holder, and tokens that grow, whatever is lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.js.api import StreamConfig

from nodes.bus import lease as module
from nodes.bus.bucket import Bucket, Entry
from nodes.bus.bus import Bus
from nodes.bus.layout import WANTED
from nodes.bus.lease import TTL_S, Lease
from nodes.links import incarnation
from nodes.links.errors import BusAway
from protocols.wire import subjects
from protocols.wire.ids import NodeId


class Store(Bucket):
    """A bucket with age limit as nats-server keeps it, on a clock of the test's own. `lost`: the next answer's fate."""

    def __init__(self) -> None:
        self.now, self.revision, self.lost = 0.0, 0, ""
        self.entry: Entry | None = None
        self.written = 0.0

    async def get(self, key: str) -> Entry | None:
        self._fail("before")
        return self._alive()

    async def create(self, key: str, value: dict[str, Any]) -> int | None:
        return self._write(key, value, self._alive() is None)

    async def update(self, key: str, value: dict[str, Any], revision: int) -> int | None:
        alive = self._alive()
        return self._write(key, value, alive is not None and alive.revision == revision)

    async def delete(self, key: str) -> None:
        self._fail("before")
        self.entry = None

    def _alive(self) -> Entry | None:
        return self.entry if self.entry and self.now < self.written + TTL_S else None

    def _write(self, key: str, value: dict[str, Any], may: bool) -> int | None:
        self._fail("before")
        if may:
            self.revision += 1
            self.entry, self.written = Entry(key, value, self.revision), self.now
        self._fail("after")
        return self.revision if may else None

    def _fail(self, when: str) -> None:
        if self.lost == when:
            self.lost = ""
            raise BusAway


def done(work: Coroutine[Any, Any, Any]) -> Any:
    """Run what never waits."""
    try:
        work.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waited")


acts = st.tuples(
    st.sampled_from(["keep", "keep", "keep", "give_back", "wait", "wait long"]),
    st.integers(0, 2),
    st.sampled_from(["", "", "before", "after"]),
)


@given(st.lists(acts, max_size=60))
def test_at_no_moment_do_two_hold_it_and_a_later_holder_has_a_higher_token(done_acts: list[tuple[str, int, str]]):
    store = Store()
    leases = [Lease(store, "central", f"n{n}.central:1", clock=lambda: store.now) for n in range(3)]
    last, last_token = -1, 0
    for act, who, lost in done_acts:
        store.lost = lost
        try:
            if act == "keep":
                done(leases[who].keep())
            elif act == "give_back":
                done(leases[who].give_back())
            else:
                store.now += 3.0 if act == "wait" else TTL_S
        except BusAway:
            pass
        holders = [n for n, lease in enumerate(leases) if lease.token is not None]
        assert len(holders) <= 1
        if holders and (token := leases[holders[0]].token):
            assert token > last_token or (token == last_token and holders[0] == last)
            last, last_token = holders[0], token


def test_the_holder_stops_by_its_own_clock_before_the_server_lets_another_begin():
    store = Store()
    mine, theirs = (Lease(store, "central", name, clock=lambda: store.now) for name in ("mine", "theirs"))
    assert done(mine.keep()) == 1
    store.now = TTL_S - module.MARGIN_S
    assert mine.token is None
    assert done(theirs.keep()) is None
    store.now = TTL_S
    assert done(theirs.keep()) == 2


def test_who_waits_knows_that_somebody_holds_it_for_as_long_as_that_may_be_so():
    store = Store()
    mine, theirs = (Lease(store, "central", name, clock=lambda: store.now) for name in ("mine", "theirs"))
    done(mine.keep())
    assert done(theirs.keep()) is None
    assert (mine.is_another_s, theirs.is_another_s) == (False, True)
    store.now = TTL_S
    assert not theirs.is_another_s, "nobody has said so since"
    assert done(theirs.keep())
    assert not theirs.is_another_s


def test_a_dead_process_of_this_machine_holds_nothing_and_one_of_another_machine_until_its_time_is_up():
    boot, namespace, _, began = incarnation.own().split("/")
    for where, token in ((boot, 2), ("another", None)):
        store = Store()
        dead = Lease(store, "central", "n1.central-0:1", clock=lambda store=store: store.now)
        dead._value = {"holder": "n1.central-0:1", "process": f"{where}/{namespace}/{2**22}/{began}"}
        assert done(dead.keep()) == 1
        assert done(Lease(store, "central", "n1.central-0:2", clock=lambda store=store: store.now).keep()) == token


def test_the_token_stays_while_the_lease_is_renewed_in_time():
    store = Store()
    lease = Lease(store, "central", "mine", clock=lambda: store.now)
    tokens = []
    for _ in range(10):
        tokens.append(done(lease.keep()))
        store.now += module.RENEW_S
    assert tokens == [1] * 10


def test_a_lost_answer_does_not_lose_the_lease():
    store = Store()
    lease = Lease(store, "central", "mine", clock=lambda: store.now)
    assert done(lease.keep()) == 1
    store.now, store.lost = 4.0, "after"
    with pytest.raises(BusAway):
        done(lease.keep())
    assert lease.token == 1
    store.now = 8.0
    assert done(lease.keep()) == 1


def test_who_gives_it_back_stops_at_once_even_when_nats_is_away():
    store = Store()
    lease = Lease(store, "central", "mine", clock=lambda: store.now)
    done(lease.keep())
    store.lost = "before"
    with pytest.raises(BusAway):
        done(lease.give_back())
    assert lease.token is None


def test_the_bucket_forgets_a_lease_when_the_holder_believes_it():
    wanted = next(one for one in WANTED if one.name == f"KV_{subjects.Bucket.LEASES}")
    assert wanted.max_age_s == TTL_S


async def test_on_a_real_server_another_takes_over_what_is_no_longer_renewed(each_nats_server, monkeypatch):
    monkeypatch.setattr(module, "MARGIN_S", 0.2)
    bus = await Bus.connect(each_nats_server.url, name="central", node_id=NodeId("n1"))
    short = StreamConfig(
        name="KV_rm_leases", subjects=["$KV.rm_leases.>"], max_age=0.8, duplicate_window=0.8, allow_direct=True,
        max_msgs_per_subject=1, allow_rollup_hdrs=True,
    )  # fmt: skip
    await bus._connection.jetstream.add_stream(short)
    bucket = bus.kv(subjects.Bucket.LEASES)
    mine, theirs = Lease(bucket, "central", "mine", ttl_s=0.8), Lease(bucket, "central", "theirs", ttl_s=0.8)
    first = await mine.keep()
    assert first
    assert await theirs.keep() is None
    assert await mine.keep() == first
    async with asyncio.timeout(60):
        while (second := await theirs.keep()) is None:
            await asyncio.sleep(0.01)
    assert mine.token is None
    assert second > first
    assert await mine.keep() is None
    await bus.close()
