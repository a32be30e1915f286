"""Recordings once they are published: encrypted, sent, removed here when they are there, whatever ends when."""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nodes.audio.wav import header
from nodes.storage import files
from nodes.storage.claims import Claims
from nodes.storage.keeper import Keeper
from nodes.storage.names import Place
from nodes.storage.sealing import CHUNK, Key, Ring
from nodes.storage.stock import Stock
from nodes.storage.store import Store, StoreError
from protocols.wire.ids import CallId, NodeId
from protocols.wire.pieces import PIECE_BYTES
from tests.nodes.storage.conftest import Bucket

C1, N1 = CallId("c1"), NodeId("n1")
OLD_S = 600.0


def recording(n_bytes: int = 200_000) -> bytes:
    return header(0, n_bytes) + os.urandom(n_bytes)


@dataclass
class Rig:
    """A directory of two owners, and what is kept of it."""

    root: Path
    stock: Stock
    claims: Claims
    keeper: Keeper

    def publish(self, name: str = "c1.wav", data: bytes | None = None, age_s: float = OLD_S, owner: str = "") -> bytes:
        data = recording() if data is None else data
        path = self.stock.places[1 if owner else 0].root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        then = time.time() - age_s
        os.utime(path, (then, then))
        return data

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in self.root.iterdir() if path.is_file())

    def read(self, name: str = "c1") -> bytes:
        """Read a part as others do, piece by piece."""
        data = b""
        while True:
            piece = self.stock.piece(name, len(data))
            data += piece.data
            if len(data) >= piece.size or not piece.data:
                return data

    def count(self, word: str) -> float:
        return self.keeper.figures()[word]


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    keepers: list[Keeper] = []

    def make(ring: Ring | None = None, store: Store | None = None) -> Rig:
        root = tmp_path / "recordings"
        root.mkdir(exist_ok=True)
        places = Place("", root, "rm/"), Place("acme", root / "acme", "rm/owners/acme/")
        claims, stock = Claims(), Stock(places, ring or Ring(), store)
        keepers.append(Keeper(stock, claims, N1))
        return Rig(root, stock, claims, keepers[-1])

    yield make
    for keeper in keepers:
        keeper.close()


async def test_what_is_settled_is_encrypted_and_read_as_before(made, ring: Ring) -> None:
    rig = made(ring)
    data = rig.publish()
    young = rig.publish("c2.wav", age_s=5)
    ended_s = (rig.root / "c1.wav").stat().st_mtime
    await rig.keeper.seal_some()
    assert rig.names == ["c1.sealed", "c2.wav"]
    assert data[1000:1100] not in (rig.root / "c1.sealed").read_bytes()
    assert (rig.root / "c1.sealed").stat().st_mtime == pytest.approx(ended_s, abs=0.001)
    assert (rig.root / "c1.sealed").stat().st_mode & 0o777 == 0o600
    assert (rig.read("c1"), rig.read("c2")) == (data, young)
    assert rig.stock.piece("c1", 70_000).data == data[70_000 : 70_000 + PIECE_BYTES]
    assert rig.stock.here(C1) == {0: len(data)}
    assert rig.count("sealed") == 1


async def test_an_owners_recordings_are_encrypted_with_their_own_key(made, ring: Ring) -> None:
    own = Key.of(os.urandom(32))
    rig = made(Ring({**ring.sealing, "acme": own}, {**ring.by_id, own.id: own}))
    data = rig.publish("c1.wav", owner="acme")
    await rig.keeper.seal_some()
    assert rig.read() == data
    assert (rig.root / "acme" / "c1.sealed").read_bytes()[8:16] == own.id
    stranger = made(ring)
    assert stranger.stock.here(C1) == {}
    assert stranger.stock.counts["unreadable"] == 1


async def test_without_a_key_and_a_store_everything_stays_as_it_is(made) -> None:
    rig = made()
    data = rig.publish()
    await rig.keeper.seal_some()
    await rig.keeper.look()
    assert rig.names == ["c1.wav"]
    assert rig.read() == data
    assert rig.count("waiting") == 0


CUTS = ("draft", "both", "older")


@pytest.mark.parametrize("cut", CUTS)
async def test_wherever_sealing_is_cut_off_the_next_life_goes_on_and_nothing_is_lost(
    made, ring: Ring, cut: str
) -> None:
    rig = made(ring)
    data = rig.publish()
    await rig.keeper.seal_some()
    whole = (rig.root / "c1.sealed").read_bytes()
    if cut == "draft":  # before it had its name
        (rig.root / "c1.sealed").unlink()
        (rig.root / ".c1.sealed").write_bytes(whole[: CHUNK + 5])
    if cut == "older":  # media has gone on with it meanwhile
        data += os.urandom(64_000)
    rig.publish(data=data)
    assert rig.read() == data
    assert rig.stock.here(C1) == {0: len(data)}
    for place in rig.stock.places:
        files.clean_up(place)
    await rig.keeper.seal_some()
    assert rig.names == ["c1.sealed"]
    assert rig.read() == data


async def test_another_recording_of_the_same_name_is_never_written_over(made, ring: Ring) -> None:
    rig = made(ring)
    rig.publish()
    await rig.keeper.seal_some()
    other = rig.publish()
    await rig.keeper.seal_some()
    assert rig.names == ["c1.sealed", "c1.wav"]
    assert rig.read() == other
    assert rig.count("seal_failures") == 1


async def test_a_full_disk_leaves_the_recording_and_no_draft(made, ring: Ring, monkeypatch) -> None:
    rig = made(ring)
    data = rig.publish()
    real = os.fsync

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    await rig.keeper.seal_some()
    assert rig.names == ["c1.wav"]
    assert rig.read() == data
    assert rig.count("seal_failures") == 1
    monkeypatch.setattr(files.os, "fsync", real)
    await rig.keeper.seal_some()
    assert rig.names == ["c1.sealed"]


async def test_recordings_go_to_the_store_and_leave_the_disk_when_they_are_there(
    made, ring: Ring, store: Store, bucket: Bucket
) -> None:
    rig = made(ring, store)
    data, part, own = rig.publish(), rig.publish("c1.2.wav"), rig.publish("c2.wav", owner="acme")
    await rig.keeper.seal_some()
    await rig.keeper.look()
    assert rig.count("waiting") == 3
    assert rig.count("oldest_s") >= OLD_S - 1
    assert await rig.keeper.send_some()
    assert rig.names == []
    folders = [key.rpartition("/")[0] for key in bucket.keys]
    assert folders == ["rm/owners/acme/recordings/c2", "rm/recordings/c1", "rm/recordings/c1"]
    assert data[1000:1100] not in bucket.get(bucket.keys[1])
    for _ in range(2):  # the second time heads are known
        assert (rig.read("c1"), rig.read("c1.2"), rig.read("c2")) == (data, part, own)
    assert rig.stock.there(C1) == {0: (N1, len(data)), 2: (N1, len(part))}
    assert rig.stock.here(C1) == {}
    await rig.keeper.look()
    assert (rig.count("waiting"), rig.count("uploads"), rig.count("store_up")) == (0, 3, 1)
    with pytest.raises(FileNotFoundError):
        rig.stock.piece("c3", 0)


async def test_without_a_key_the_store_has_them_as_they_are(made, store: Store, bucket: Bucket) -> None:
    rig = made(store=store)
    data = rig.publish()
    assert await rig.keeper.send_some()
    assert bucket.get(bucket.keys[0]) == data
    assert rig.read() == data


async def test_a_store_that_is_away_keeps_nothing_from_being_encrypted_and_takes_all_when_it_is_back(
    made, ring: Ring, store: Store, bucket: Bucket, monkeypatch
) -> None:
    rig = made(ring, store)
    data = [rig.publish(f"c{n}.wav") for n in range(3)]
    tried: list[str] = []

    def away(key: str, *_: object) -> None:
        tried.append(key)
        raise StoreError("503", is_away=True)

    with monkeypatch.context() as patch:
        patch.setattr(store, "put", away)
        assert await rig.keeper.send_some(), "nothing is ready"
        await rig.keeper.seal_some()
        assert not await rig.keeper.send_some()
    assert len(tried) == 1, "the next would wait as long"
    assert rig.names == ["c0.sealed", "c1.sealed", "c2.sealed"]
    assert (rig.count("store_up"), rig.count("upload_failures")) == (0, 1)
    assert await rig.keeper.send_some()
    assert rig.names == []
    assert [rig.read(f"c{n}") for n in range(3)] == data
    assert rig.count("store_up") == 1


async def test_an_upload_that_was_cut_off_after_the_object_was_there_leaves_one_object(
    made, store: Store, bucket: Bucket
) -> None:
    rig = made(store=store)
    data = rig.publish()
    path = rig.root / "c1.wav"
    told = path.stat()
    await rig.keeper.send_some()
    path.write_bytes(data)  # as a kill before its removal leaves it
    os.utime(path, ns=(told.st_mtime_ns, told.st_mtime_ns))
    assert await rig.keeper.send_some()
    assert len(bucket.keys) == 1
    assert rig.names == []
    assert rig.read() == data


class KilledError(BaseException):
    """The process has ended: nothing of it happens any more, no clean-up either."""


@pytest.mark.parametrize("moment", range(16))
async def test_at_whatever_moment_it_is_killed_a_recording_is_in_the_store_once_afterwards(
    made, ring: Ring, store: Store, bucket: Bucket, monkeypatch, moment: int
) -> None:
    """Before each change of the disk and the store, and behind an upload."""
    rig = made(ring, store)
    data = rig.publish()
    n_left = moment

    def step() -> None:
        nonlocal n_left
        n_left -= 1
        if n_left < 0:
            raise KilledError

    def mortal(act: Callable[..., object]) -> Callable[..., object]:
        def acts(*given: object, **more: object) -> object:
            step()
            return act(*given, **more)

        return acts

    with monkeypatch.context() as patch:
        for owner, name in ((os, "fsync"), (os, "utime"), (os, "open"), (Path, "rename"), (Path, "unlink")):
            patch.setattr(owner, name, mortal(getattr(owner, name)))
        put = mortal(store.put)
        patch.setattr(store, "put", lambda *given: (put(*given), step()))
        try:
            await rig.keeper.seal_some()
            await rig.keeper.send_some()
        except KilledError:
            pass
    assert rig.stock.here(C1) or rig.stock.there(C1), "nobody could play it"
    assert rig.read() == data
    again = Keeper(rig.stock, Claims(), N1)
    try:
        files.clean_up(rig.stock.places[0])
        await again.seal_some()
        assert await again.send_some()
    finally:
        again.close()
    assert (rig.names, len(bucket.keys)) == ([], 1)
    assert rig.read() == data


async def test_an_object_that_is_not_proven_keeps_the_file_here(
    made, store: Store, bucket: Bucket, monkeypatch
) -> None:
    rig = made(store=store)
    rig.publish()
    monkeypatch.setattr(store, "has", lambda key, digest: False)
    assert not await rig.keeper.send_some()
    assert rig.names == ["c1.wav"]
    assert rig.count("upload_failures") == 1


async def test_a_call_is_erased_here_and_in_the_store_and_that_is_seen(
    made, ring, store: Store, bucket: Bucket
) -> None:
    rig = made(ring, store)
    rig.publish()
    rig.publish("c10.wav")
    await rig.keeper.seal_some()
    await rig.keeper.send_some()
    rig.publish("c1.1.wav")
    rig.read()
    done = rig.stock.erase([C1], only_look=False)
    assert sorted((one.place, one.n_bytes > 0) for one in done.deleted) == [("disk", True), ("store", True)]
    assert (done.left, done.unseen) == ((), ())
    assert [key.split("/")[2] for key in bucket.keys] == ["c10"]
    with pytest.raises(FileNotFoundError):
        rig.read()


async def test_what_is_erased_while_it_is_sent_is_not_in_the_store_afterwards(
    made, store: Store, bucket: Bucket, monkeypatch
) -> None:
    rig = made(store=store)
    rig.publish()
    loop, begun, goes_on = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    real = store.put

    def slow(*given: object) -> None:
        real(*given)  # it is there already
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(goes_on.wait(), loop).result()

    monkeypatch.setattr(store, "put", slow)
    sending = asyncio.ensure_future(rig.keeper.send_some())
    await begun.wait()
    with rig.claims.erasing([C1]):
        loop.call_later(0.05, goes_on.set)
        await rig.claims.alone([C1])
        done = await asyncio.to_thread(rig.stock.erase, [C1], False)
        assert await rig.keeper.send_some(), "nothing of it is begun meanwhile"
    await sending
    assert (done.left, done.unseen) == ((), ())
    assert (bucket.keys, rig.names) == ([], [])


async def test_a_store_that_cannot_be_asked_leaves_no_proof(made, store: Store, bucket: Bucket, monkeypatch) -> None:
    rig = made(store=store)
    rig.publish()

    def away(prefix: str) -> Iterator[object]:
        raise StoreError("away", is_away=True)
        yield

    monkeypatch.setattr(store, "objects", away)
    done = rig.stock.erase([C1], only_look=False)
    assert [one.name for one in done.deleted] == ["c1.wav"]
    assert done.unseen == ("store",)


async def test_what_lies_in_the_directory_and_is_none_of_ours_stays(made, ring: Ring, store: Store) -> None:
    rig = made(ring, store)
    for name in ("notes.txt", "c1.x.wav", ".hidden.wav", "c1.part"):
        (rig.root / name).write_bytes(b"x")
        os.utime(rig.root / name, (1, 1))
    await rig.keeper.seal_some()
    await rig.keeper.send_some()
    assert rig.names == [".hidden.wav", "c1.part", "c1.x.wav", "notes.txt"]
