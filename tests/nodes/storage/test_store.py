"""A store that speaks S3: what is put is proven to be there, and a server that errs, lies or is silent is told of."""

from __future__ import annotations

import contextlib
import io
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from nodes.config_storage import Storage
from nodes.storage import store as adapter
from nodes.storage.store import Digest, Store, StoreError
from tests.nodes.storage.conftest import Bucket

DATA = os.urandom(300_000)


def test_a_file_is_put_read_listed_and_deleted(store: Store, bucket: Bucket) -> None:
    store.reach()
    store.put("rm/c1/0", io.BytesIO(DATA))
    assert bucket.get("rm/c1/0") == DATA
    assert store.has("rm/c1/0", Digest.of(io.BytesIO(DATA)))
    assert not store.has("rm/c1/0", Digest.of(io.BytesIO(DATA[1:])))
    assert not store.has("rm/c1/1", Digest.of(io.BytesIO(DATA)))
    assert store.read("rm/c1/0", 1000, 70_000) == DATA[1000:71_000]
    assert store.read("rm/c1/0", len(DATA) - 5, 100) == DATA[-5:]
    assert [(one.key, one.n_bytes) for one in store.objects("rm/c1/")] == [("rm/c1/0", len(DATA))]
    store.delete("rm/c1/0")
    assert bucket.keys == []
    store.delete("rm/c1/0")


def test_an_empty_file_is_a_file(store: Store) -> None:
    store.put("rm/empty", io.BytesIO())
    assert [(one.key, one.n_bytes) for one in store.objects("rm/")] == [("rm/empty", 0)]
    assert store.read("rm/empty", 0, 0) == b""


def test_of_a_bucket_with_versions_none_is_left(store: Store, bucket: Bucket) -> None:
    bucket.client.put_bucket_versioning(Bucket=bucket.settings.bucket, VersioningConfiguration={"Status": "Enabled"})
    for data in (b"first", b"second"):
        store.put("rm/a", io.BytesIO(data))
        store.put("rm/ab", io.BytesIO(data))
    store.delete_former("rm/ab")
    store.delete("rm/a")
    told = bucket.client.list_object_versions(Bucket=bucket.settings.bucket)
    assert [(one["Key"], one["Size"]) for one in told["Versions"]] == [("rm/ab", len(b"second"))]
    assert "DeleteMarkers" not in told


def test_more_objects_than_one_answer_has_are_listed(store: Store, bucket: Bucket, monkeypatch) -> None:
    for n in range(7):
        bucket.put(f"rm/{n}", b"x")
    whole = store._client.list_objects_v2
    monkeypatch.setattr(store._client, "list_objects_v2", lambda **given: whole(**given, MaxKeys=3))
    assert [one.key for one in store.objects("rm/")] == [f"rm/{n}" for n in range(7)]


def test_a_bucket_that_is_not_there_or_that_is_not_ours_is_told_and_is_not_away(store: Store, settings) -> None:
    other = Store(replace(settings, bucket="nobodys"))
    try:
        for act in (other.reach, lambda: other.put("k", io.BytesIO(b"x")), lambda: list(other.objects("k"))):
            with pytest.raises(StoreError, match="NoSuchBucket") as refused:
                act()
            assert not refused.value.is_away
    finally:
        other.close()


def test_a_secret_that_others_may_read_is_refused(settings) -> None:
    settings.secret.chmod(0o644)
    with pytest.raises(StoreError, match="chmod 600"):
        Store(settings)
    settings.secret.chmod(0o600)
    settings.secret.write_text("")
    with pytest.raises(StoreError, match="has no secret access key"):
        Store(settings)


PATIENCE_S = 30.0


def _read_request(one: socket.socket) -> None:
    """Read all of a request; one that waits to be told to go on has sent what it sends."""
    data = b""
    while b"\r\n\r\n" not in data and (more := one.recv(1 << 16)):
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    left = int(length[1]) - len(body) if length and b"100-continue" not in head.lower() else 0
    while left > 0 and (more := one.recv(1 << 16)):
        left -= len(more)


class Answering:
    """A server that reads what comes, says `reply` whatever it was, and hangs up; None: it says nothing."""

    def __init__(self) -> None:
        self.reply: bytes | None = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        self.endpoint = "http://{}:{}".format(*self._listener.getsockname())

    def _serve(self) -> None:
        while True:
            one, _ = self._listener.accept()
            self._held.append(one)
            if self.reply == b"over":
                return
            if self.reply is None:
                continue
            one.settimeout(PATIENCE_S)
            with contextlib.suppress(OSError):
                _read_request(one)
                one.sendall(self.reply)
                one.shutdown(socket.SHUT_WR)
                while one.recv(1 << 20):  # or the kernel resets, and takes the reply back
                    pass

    def close(self) -> None:
        self.reply = b"over"
        with socket.create_connection(self._listener.getsockname()):
            self._thread.join()
        for one in (*self._held, self._listener):
            one.close()


@pytest.fixture(scope="module")
def answering() -> Iterator[Answering]:
    made = Answering()
    yield made
    made.close()


@pytest.fixture(scope="module")
def there(answering: Answering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """What such a server is to us."""
    secret = tmp_path_factory.mktemp("secret") / "s3.secret"
    secret.touch(0o600)
    secret.write_text("secret")
    made = Store(Storage(bucket="calls", endpoint=answering.endpoint, access_key="AK", secret=secret))
    yield made
    made.close()


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = "".join(f"{line}\r\n" for line in (*headers, f"Content-Length: {len(body)}", "Connection: close"))
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body


ACTS: dict[str, Callable[[Store], object]] = {
    "put": lambda store: store.put("rm/k", io.BytesIO(DATA)),
    "read": lambda store: store.read("rm/k", 0, 100),
    "list": lambda store: list(store.objects("rm/")),
    "has": lambda store: store.has("rm/k", Digest(3, b"")) or pytest.fail("says no"),
    "delete": lambda store: store.delete("rm/k"),
    "reach": lambda store: store.reach(),
}
GARBAGE = {
    "503": (http("503 Slow Down", b"<Error><Code>SlowDown</Code></Error>"), True),
    "500 without words": (http("500 Oh", b""), True),
    "403": (http("403 Forbidden", b"<Error><Code>AccessDenied</Code></Error>"), False),
    "no http": (b"\x00\xff garbage\r\n\r\n", True),
    "hangs up": (b"", True),
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", GARBAGE)
def test_a_server_that_errs_is_told_of_whatever_it_was_asked(
    answering: Answering, there: Store, act: str, kind: str
) -> None:
    answering.reply, is_away = GARBAGE[kind]
    with pytest.raises(StoreError) as failed:
        ACTS[act](there)
    assert failed.value.is_away is is_away or act == "has"  # a HEAD's answer has no word why


@pytest.mark.parametrize("body", [b"<html>Welcome</html>", b"<ListBucketResult><Contents><Key>", b"", b"\xff" * 100])
@pytest.mark.parametrize("act", ["put", "read"])
def test_a_server_that_says_yes_to_everything_is_not_believed(
    answering: Answering, there: Store, act: str, body: bytes
) -> None:
    """A page of a proxy, for one, with status 200: nothing is taken for stored, and nothing for what was recorded."""
    answering.reply = http("200 OK", body, "ETag: nothing")
    with pytest.raises(StoreError):
        ACTS[act](there)


def test_a_list_that_is_none_names_nothing_of_ours(answering: Answering, there: Store) -> None:
    text = b"<ListBucketResult><Contents><Key>other/x</Key><Size>1</Size></Contents></ListBucketResult>"
    answering.reply = http("200 OK", text)
    assert list(there.objects("rm/")) == []
    answering.reply = http("200 OK", b"<html>")
    with pytest.raises(StoreError):
        list(there.objects("rm/"))


def test_a_server_that_is_not_there_is_away(store_at) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = "http://{}:{}".format(*listener.getsockname())
    with pytest.raises(StoreError) as failed:
        store_at(endpoint).reach()
    assert failed.value.is_away


def test_a_server_that_says_nothing_is_given_up(answering: Answering, store_at, monkeypatch) -> None:
    monkeypatch.setattr(adapter, "READ_S", 0.3)
    answering.reply = None
    silent = store_at(answering.endpoint)
    for act in ("reach", "put"):
        with pytest.raises(StoreError) as failed:
            ACTS[act](silent)
        assert failed.value.is_away


def test_an_upload_that_takes_too_long_is_given_up(store: Store, bucket: Bucket, monkeypatch) -> None:
    monkeypatch.setattr(adapter, "GRACE_S", -1.0)
    monkeypatch.setattr(adapter, "LEAST_B_S", 1e12)
    with pytest.raises(StoreError) as failed:
        store.put("rm/k", io.BytesIO(DATA))
    assert failed.value.is_away
    assert bucket.keys == []


def test_an_upload_that_is_not_wanted_any_more_is_given_up(store: Store, bucket: Bucket) -> None:
    with pytest.raises(StoreError):
        store.put("rm/k", io.BytesIO(DATA), lambda: False)
    assert bucket.keys == []


def test_another_file_of_the_same_length_is_not_taken_for_ours(store: Store) -> None:
    store.put("rm/k", io.BytesIO(DATA))
    assert not store.has("rm/k", Digest(len(DATA), bytes(16)))
