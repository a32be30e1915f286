"""Nobody is called who must not be: what one node learns all know, nothing takes it away, no list is no dialling."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.bus import bucket, bus
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.links.contact_key import BadContactKey, contact_key, fingerprint
from nodes.links.do_not_call import DoNotCall
from nodes.links.errors import BusAway
from nodes.links.kept_list import FILE, KeptList
from nodes.links.tasks import Tasks
from protocols.wire.campaigns import ContactId
from protocols.wire.do_not_call import Listing, listing_of
from protocols.wire.ids import NodeId
from protocols.wire.roles import Role
from protocols.wire.subjects import Bucket
from tests.conftest import NatsServer

ADA, BEN = (ContactId(name.encode().hex().zfill(32)) for name in ("ada", "ben"))


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "MADE_S", 0.2)
    monkeypatch.setattr(bucket, "LOOK_S", 0.05)
    monkeypatch.setattr("nodes.links.do_not_call.LOOK_S", 0.05)
    monkeypatch.setattr("nodes.links.do_not_call.RETRY_S", 0.05)


async def until(seen: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not seen():
            await asyncio.sleep(0.01)


class Node:
    """A node's central and edge, as far as they know the list."""

    def __init__(self, server: NatsServer, state: Path) -> None:
        self.server, self.file = server, state / FILE
        self.is_fresh, self.made_with = True, "a key"

    @asynccontextmanager
    async def up(self, role: Role) -> AsyncIterator[DoNotCall]:
        joined = await Bus.connect(login(self.server.config, role), name=f"{role}-0", node_id=NodeId("n1"))

        async def is_fresh() -> bool:
            if not joined.connected:
                raise BusAway("away")
            return self.is_fresh

        listed = DoNotCall(
            joined.kv(Bucket.DNC), KeptList(self.file, self.made_with), is_fresh if role is Role.CENTRAL else None
        )
        try:
            async with Tasks() as tasks:
                if role is Role.CENTRAL and joined.connected:
                    await joined.ensure_layout()
                tasks.spawn(listed.follow())
                yield listed
        finally:
            await joined.close()


@pytest.fixture
def here(nats_server: NatsServer, tmp_path: Path) -> Node:
    return Node(nats_server, tmp_path / "here")


@pytest.fixture
def there(nats_server: NatsServer, tmp_path: Path) -> Node:
    return Node(nats_server, tmp_path / "there")


async def opts_out(listed: DoNotCall, contact: ContactId) -> None:
    """As an edge does it."""
    said = listed.entry(contact, "callee", "stop")
    listed.hold(said)
    await listed.write([said])
    await listed.publish(said)


@asynccontextmanager
async def by_hand(server: NatsServer) -> AsyncIterator[Bus]:
    joined = await Bus.connect(server.url, name="somebody", node_id=NodeId("n1"))
    try:
        yield joined
    finally:
        await joined.close()


def test_the_key_is_made_once_and_is_for_its_owner_only(tmp_path: Path) -> None:
    key = contact_key(tmp_path / "state")
    assert contact_key(tmp_path / "state") == key
    assert len(key) == 32
    assert (tmp_path / "state" / "contact.key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["contact.key"]


@pytest.mark.parametrize("text", [b"", b"ab" * 31, b"ab" * 33, b"zz" * 32, b"\xff" * 64])
def test_a_key_that_a_power_cut_left_short_is_none(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "contact.key").write_bytes(text)
    with pytest.raises(BadContactKey, match=r"contact.key: is not 64 hexadecimal digits"):
        contact_key(tmp_path)
    assert (tmp_path / "contact.key").read_bytes() == text


def test_a_fingerprint_tells_keys_apart_and_a_key_with_a_line_end_is_the_same(tmp_path: Path) -> None:
    key = contact_key(tmp_path)
    (tmp_path / "contact.key").write_text(key.hex().upper() + "\n")
    assert contact_key(tmp_path) == key
    assert fingerprint(key) == fingerprint(contact_key(tmp_path)) != fingerprint(contact_key(tmp_path / "another"))


async def test_a_node_with_another_key_does_not_know_the_list_though_it_is_whole(here: Node, there: Node) -> None:
    """It would look everybody up under names that nobody has."""
    there.made_with = "another key"
    async with here.up(Role.CENTRAL) as central, here.up(Role.EDGE) as ours:
        await central.take([central.entry(ADA, "operator", "")])
        await until(lambda: ours.is_known and ADA in ours.contacts)
        async with there.up(Role.CENTRAL) as their_central, there.up(Role.EDGE) as theirs:
            await until(lambda: ADA in theirs.contacts and their_central.decided.is_set())
            assert not theirs.is_known
            assert not their_central.is_known
            assert (central.is_known, ours.is_known) == (True, True)
            there.made_with = "a key"  # somebody has brought it
            async with there.up(Role.EDGE) as theirs:
                await until(lambda: theirs.is_known)
    there.made_with = "another key"
    async with there.up(Role.EDGE) as theirs:
        here.server.kill()
        await asyncio.sleep(0.3)
        assert not theirs.is_known, "its file says that the list is whole, and with which key"


async def test_where_the_key_and_nats_were_lost_the_list_was_not_never_there(here: Node) -> None:
    """The journal is empty, too: it was in the same store."""
    KeptList(here.file, "the key that was lost").add([Listing(ADA, True, "callee", "stop", "")], is_whole=True)
    async with here.up(Role.CENTRAL) as central, here.up(Role.EDGE) as edge:
        await until(central.decided.is_set)
        assert not central.is_known
        await central.take([central.entry(BEN, "operator", "")], is_whole=True)  # an operator says that this is all
        await until(lambda: central.is_known and edge.is_known)


async def test_whoever_says_what_the_list_is_under_a_new_key_stops_all_who_have_the_old_one(
    here: Node, there: Node
) -> None:
    there.made_with = "another key"
    async with here.up(Role.CENTRAL), here.up(Role.EDGE) as ours, there.up(Role.CENTRAL) as new:
        await until(lambda: ours.is_known and new.decided.is_set())
        await new.take([new.entry(ADA, "operator", "")], is_whole=True)
        await until(lambda: new.is_known and not ours.is_known)


async def test_who_opts_out_at_one_node_is_known_at_another_and_to_who_comes_later(here: Node, there: Node) -> None:
    async with here.up(Role.CENTRAL), here.up(Role.EDGE) as ours, there.up(Role.EDGE) as theirs:
        await until(lambda: ours.is_known and theirs.is_known)
        await opts_out(ours, ADA)
        assert ADA in ours.contacts
        await until(lambda: ADA in theirs.contacts)
        async with there.up(Role.EDGE) as later:
            await until(lambda: later.is_known and ADA in later.contacts)


async def test_a_key_that_is_deleted_takes_nobody_off_the_list_and_is_written_again(here: Node, there: Node) -> None:
    async with here.up(Role.CENTRAL) as central, there.up(Role.EDGE) as edge, by_hand(here.server) as hand:
        await central.take([central.entry(ADA, "operator", "asked by letter")])
        await until(lambda: ADA in edge.contacts)
        assert await central.is_everywhere(5)
        await hand._connection.jetstream.delete_stream("KV_rm_dnc")
        await hand.ensure_layout()
        async with asyncio.timeout(60):
            while (entry := await hand.kv(Bucket.DNC).get(ADA)) is None:
                await asyncio.sleep(0.02)
        assert entry.value
        assert (entry.value["by"], entry.value["why"]) == ("operator", "asked by letter")
        assert ADA in central.contacts
        assert ADA in edge.contacts
        await central.take([central.entry(BEN, "operator", "")])
        await until(lambda: BEN in edge.contacts)


async def test_only_a_word_that_says_so_takes_somebody_off_and_the_latest_word_holds(here: Node) -> None:
    async with here.up(Role.CENTRAL) as central, here.up(Role.EDGE) as edge:
        await until(lambda: edge.is_known)
        await opts_out(edge, ADA)
        await until(lambda: ADA in central.contacts)
        await central.take([central.entry(ADA, "operator", "called us back", is_on=False)])
        await until(lambda: ADA not in edge.contacts)
        assert edge.holds(ADA) is False
        await opts_out(edge, ADA)
        await until(lambda: ADA in central.contacts)


async def test_without_nats_a_node_knows_its_list_and_every_process_learns_from_its_file(
    here: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with here.up(Role.CENTRAL) as central:
        await central.take([central.entry(ADA, "operator", "")])
        await until(lambda: central.is_known)
    here.server.kill()
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)
    async with here.up(Role.EDGE) as edge, here.up(Role.CENTRAL) as central:
        await until(lambda: edge.is_known and ADA in edge.contacts)
        said = edge.entry(BEN, "callee", "stop")
        edge.hold(said)
        await edge.write([said])
        await until(lambda: BEN in central.contacts)
        await here.server.start()
        assert await central.is_everywhere(10)
        async with by_hand(here.server) as hand:
            assert await hand.kv(Bucket.DNC).get(BEN)


async def test_who_comes_on_the_list_is_told_once(here: Node) -> None:
    async with here.up(Role.CENTRAL) as central, here.up(Role.EDGE) as edge:
        told: list[ContactId] = []
        edge.forbidden = told.append
        for _ in range(3):
            await central.take([central.entry(ADA, "operator", "")])
        await until(lambda: edge.contacts)
        assert await central.is_everywhere(5)
        assert told == [ADA]


async def test_where_there_were_campaigns_and_no_list_is_left_nobody_knows_it(here: Node, there: Node) -> None:
    here.is_fresh = False
    async with here.up(Role.CENTRAL) as central, there.up(Role.EDGE) as edge:
        await asyncio.sleep(0.5)
        assert not central.is_known
        assert not edge.is_known
        await opts_out(edge, ADA)
        await until(lambda: ADA in central.contacts)
        assert not central.is_known, "one entry is no list"
        await central.take([], is_whole=True)  # an operator says that this is all
        await until(lambda: central.is_known and edge.is_known)
        assert edge.contacts.keys() == central.contacts.keys() == {ADA}


def test_a_file_keeps_what_was_said_through_torn_lines_and_says_when_it_has_shrunk(tmp_path: Path) -> None:
    kept, reader = KeptList(tmp_path / FILE, "ours"), KeptList(tmp_path / FILE, "ours")
    one, two = (Listing(name, True, "x", "", "2026-01-01T00:00:00+00:00") for name in (ADA, BEN))
    kept.add([one])
    with (tmp_path / FILE).open("ab") as file:
        file.write(b'{"listing":{"contact_id":"eve","is_on":tr')
    assert reader.news() == [one]
    kept.add([two], is_whole=True)
    assert reader.news() == [two]
    assert (reader.is_whole, reader.n_torn) == (True, 1)
    (tmp_path / FILE).write_bytes(b"")
    assert reader.news() is None
    assert not reader.is_whole
    kept.add([one])
    (tmp_path / FILE).chmod(0o600)
    assert reader.news() == [one]
    (tmp_path / FILE).unlink()
    assert reader.news() is None


async def test_a_file_that_was_emptied_under_us_is_written_again(here: Node) -> None:
    async with here.up(Role.CENTRAL) as central:
        await central.take([central.entry(ADA, "operator", "")])
        await until(lambda: here.file.read_bytes().count(b"\n") >= 2)
        await asyncio.sleep(0.2)
        here.file.write_bytes(b"")
        await until(lambda: ADA.encode() in here.file.read_bytes() and b"whole" in here.file.read_bytes())


@pytest.mark.parametrize("odd", ["", "a b", "x" * 32, f"{ADA[:-1]} ", ADA.upper(), f"{BEN}.removed", "list.made", "ä"])
async def test_what_names_nobody_ends_nobody_and_takes_nobody_off_wherever_it_comes_from(odd: str, here: Node) -> None:
    """It ended central again and again, for it was in the file before it turned out to be no key."""
    nobody = Listing(ContactId(odd), True, "import", "", "2999-01-01T00:00:00+00:00")
    here.file.parent.mkdir()
    with here.file.open("wb") as file:
        file.write(msgspec.json.encode({"listing": nobody}) + b"\n")
    async with here.up(Role.CENTRAL) as central, here.up(Role.EDGE) as edge, by_hand(here.server) as hand:
        await asyncio.wait_for(central.decided.wait(), 60)
        await central.take([nobody, central.entry(ADA, "operator", ""), central.entry(BEN, "operator", "")])
        assert await central.is_everywhere(5)
        if odd == "x" * 32:
            await hand.kv(Bucket.DNC).put(odd, {})
        await until(lambda: len(edge.contacts) == 2)
        assert edge.contacts.keys() == central.contacts.keys() == {ADA, BEN}
        assert {one.contact_id for one in KeptList(here.file, "").all()} == {ADA, BEN}


@given(st.datetimes(timezones=st.just(UTC)), st.booleans())
@example(datetime.max.replace(tzinfo=UTC), False)
def test_after_whatever_clocks_have_said_a_wish_to_be_on_the_list_holds(wall: datetime, is_on: bool) -> None:
    listed = DoNotCall(None, None)  # type: ignore[arg-type]  # neither is touched
    listed.hold(Listing(ADA, is_on, "a clock", "", wall.isoformat()))
    listed.hold(listed.entry(ADA, "callee", "stop"))
    assert ADA in listed.contacts


class Filling(KeptList):
    """A file on a disk that is full now and then."""

    is_full = True

    def add(self, listings: Iterable[Listing], is_whole: bool = False) -> None:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().add(listings, is_whole)


@pytest.fixture
def filling(here: Node, monkeypatch: pytest.MonkeyPatch) -> type[Filling]:
    """What a process of this node that comes up from now on has for a file."""
    monkeypatch.setattr(f"{__name__}.KeptList", Filling)
    monkeypatch.setattr(Filling, "is_full", True)
    return Filling


async def test_who_opts_out_while_the_disk_is_full_is_in_the_file_when_it_is_not(
    here: Node, filling: type[Filling], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when NATS is away, and the last word when there were two."""
    here.server.kill()
    monkeypatch.setattr(bus, "CONNECT_S", 0.05)
    async with here.up(Role.EDGE) as edge:
        for contact, is_on in ((ADA, False), (ADA, True), (BEN, True), (BEN, False)):
            said = edge.entry(contact, "callee", "stop", is_on)
            edge.hold(said)
            with pytest.raises(OSError, match="space"):
                await edge.write([said])
        await asyncio.sleep(0.2)
        filling.is_full = False
        async with here.up(Role.CENTRAL) as central:
            await until(lambda: (central.holds(ADA), central.holds(BEN)) == (True, False))


async def test_a_file_that_was_lost_while_the_disk_is_full_is_written_again_when_it_is_not(
    here: Node, filling: type[Filling]
) -> None:
    filling.is_full = False
    async with here.up(Role.CENTRAL) as central:
        await central.take([central.entry(ADA, "operator", "")])
        await until(lambda: here.file.read_bytes().count(b"\n") >= 2)
        await asyncio.sleep(0.2)
        filling.is_full = True
        here.file.unlink()
        await until(lambda: central._unsaved)
        with pytest.raises(OSError, match="space"):
            await central.take([central.entry(BEN, "operator", "")])
        filling.is_full = False
        await until(lambda: here.file.exists() and here.file.read_bytes().count(b"whole"))
        kept = KeptList(here.file, here.made_with)
        assert {one.contact_id for one in kept.news() or []} == {ADA, BEN}
        assert kept.is_whole


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
listings = st.builds(
    Listing,
    contact_id=st.sampled_from([ADA, BEN]),
    is_on=st.booleans(),
    by=st.sampled_from(["callee", "operator"]),
    why=st.just(""),
    wall=st.integers(0, 3).map(lambda n: (NOON + timedelta(minutes=n)).isoformat()) | st.sampled_from(["", "noon"]),
)


def known(said: Iterable[Listing]) -> set[ContactId]:
    listed = DoNotCall(None, None)  # type: ignore[arg-type]  # neither is touched
    listed._learn(said)
    return set(listed.contacts)


@given(st.lists(listings, max_size=8), st.randoms())
def test_lists_merge_in_any_order_and_any_number_of_times_with_the_same_result(said: list[Listing], dice) -> None:
    again = said + [one for one in said if dice.random() < 0.5]
    dice.shuffle(again)
    assert known(again) == known(said)


@given(st.lists(listings, max_size=8))
def test_whoever_was_put_on_the_list_last_is_on_it(said: list[Listing]) -> None:
    for contact in (ADA, BEN):
        about = [one for one in said if one.contact_id == contact]
        latest = max((one.at for one in about), default=None)
        assert (contact in known(said)) == any(one.is_on for one in about if one.at == latest)


def test_a_key_alone_says_that_somebody_must_not_be_called() -> None:
    assert listing_of(ADA, {}).is_on
    assert listing_of(ADA, {"wall": 7, "by": None}).contact_id == ADA
    assert not listing_of(f"{ADA}.removed", {}).is_on
