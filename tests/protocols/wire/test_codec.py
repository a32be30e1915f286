"""Messages and frames to bytes and back; and what becomes of bytes that nobody honest has sent."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import LocalProtocolError, RemoteProtocolError
from protocols.wire import codec
from protocols.wire.envelope import VERSION, Act, Envelope, Frame
from protocols.wire.heirs import KeepRecord
from protocols.wire.ids import CallId, Identity, ScriptHash
from protocols.wire.messages import EndCall, Heard, Meaning

A, B = Identity("n1.a:1"), Identity("n1.b:1")
KINDS = sorted(codec.KINDS, key=lambda kind: kind.__name__)
numbers = st.integers(-(2**31), 2**31) | st.floats(allow_nan=False) | st.booleans()
plain = st.recursive(
    st.none() | numbers | st.text(max_size=20) | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


def _is_sendable(value: object) -> bool:
    """Whether all whole numbers in it have 64 bits at most, and nothing differs from itself as a NaN does."""
    if dataclasses.is_dataclass(value):
        return all(_is_sendable(getattr(value, one.name)) for one in dataclasses.fields(value))
    if isinstance(value, (tuple, dict)):
        return all(map(_is_sendable, (*value, *value.values()) if isinstance(value, dict) else value))
    return value == value and (not isinstance(value, int) or -(2**63) <= value < 2**64)


messages = st.one_of([st.from_type(kind) for kind in KINDS]).filter(_is_sendable)


def framed(*envelopes: Envelope) -> Frame:
    return Frame(VERSION, A, B, 12.5, envelopes)


@given(messages)
def test_every_message_of_the_contract_is_the_same_after_the_wire(message):
    assert codec.decode(type(message).__name__, codec.encode(message)) == message


@given(messages)
def test_another_messagepack_reader_sees_the_same_fields(message):
    read = msgpack.unpackb(codec.encode(message), strict_map_key=False)
    assert read.keys() == {one.name for one in dataclasses.fields(message)}


@given(st.lists(st.sampled_from(Act), max_size=5), st.integers(0, 2**63), st.text(max_size=40))
def test_a_frame_is_the_same_after_the_wire(acts, number, trace):
    body = codec.encode(EndCall(CallId("c1")))
    frame = framed(*(Envelope(act, number, "EndCall", 5.0, trace, body) for act in acts))
    read = codec.unpack(codec.pack(frame))
    assert msgspec.structs.replace(read, envelopes=()) == msgspec.structs.replace(frame, envelopes=())
    assert [(e.act, e.number, e.kind, e.trace, bytes(e.body)) for e in read.envelopes] == [
        (act, number, "EndCall", trace, bytes(body)) for act in acts
    ]


def test_a_whole_frame_can_be_taken_apart_without_knowing_the_product():
    frame = framed(Envelope(Act.TELL, 0, "EndCall", 0.0, "t1", codec.encode(EndCall(CallId("c1")))))
    body = {"call_id": "c1", "disposition": "completed"}
    assert msgpack.unpackb(codec.pack(frame)) == [1, A, B, 12.5, [[0, 0, "EndCall", 0.0, "t1", body]]]


def error_of(read: Callable[[], object]) -> RemoteProtocolError | None:
    """The one error that reading may end in; any other fails the test by itself."""
    try:
        read()
    except RemoteProtocolError as error:
        return error
    return None


# ---- hostile bytes ------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200) | plain.map(msgpack.packb))
def test_no_bytes_raise_anything_but_a_remote_error_as_a_frame(data):
    error = error_of(lambda: codec.unpack(data))
    assert error is None or error.what in {"malformed_frame", "unknown_version", "too_long"}


@given(st.sampled_from([kind.__name__ for kind in KINDS]), st.binary(max_size=200) | plain.map(msgpack.packb))
def test_no_bytes_raise_anything_but_a_remote_error_as_a_body(kind, data):
    error = error_of(lambda: codec.decode(kind, data))
    assert error is None or (error.what == "malformed_body" and kind in error.detail)


@given(messages, st.data())
def test_one_field_of_a_wrong_type_is_refused_and_named_or_the_message_is_what_it_says(message, data):
    fields = msgpack.unpackb(codec.encode(message), strict_map_key=False)
    if not fields:
        return
    name = data.draw(st.sampled_from(sorted(fields)))
    fields[name] = data.draw(plain)
    error = error_of(lambda: codec.decode(type(message).__name__, msgpack.packb(fields)))
    assert error is None or f"$.{name}" in error.detail


@given(messages, st.integers(0, 60))
def test_a_body_that_was_cut_is_refused(message, keep):
    data = bytes(codec.encode(message))
    if keep < len(data):
        with pytest.raises(RemoteProtocolError):
            codec.decode(type(message).__name__, data[:keep])


@pytest.mark.parametrize(
    "data",
    [
        b"\x91" * 100_000,  # nesting
        b"\xdd\xff\xff\xff\xff",  # a list of four thousand million
        b"\x95\x01\xa1a\xa1b\xcb\x40\x00\0\0\0\0\0\0\xdd\xff\xff\xff\xff",  # the same, further in
        b"\x95\x01\xa2\xff\xff\xa1b\xcb\x40\x00\0\0\0\0\0\0\x90",  # a name that is not UTF-8
        bytes(codec.MAX_FRAME + 1),
    ],
)
def test_bytes_that_are_made_to_hurt_are_refused_without_being_built(data):
    with pytest.raises(RemoteProtocolError):
        codec.unpack(data)


def test_a_frame_of_another_version_says_so():
    with pytest.raises(RemoteProtocolError, match="unknown_version"):
        codec.unpack(codec.pack(msgspec.structs.replace(framed(), version=VERSION + 1)))


@pytest.mark.parametrize("sent_s", [float("nan"), float("inf"), float("-inf")])
def test_a_frame_that_was_sent_at_no_time_is_refused(sent_s):
    with pytest.raises(RemoteProtocolError, match="sent_s"):
        codec.unpack(codec.pack(msgspec.structs.replace(framed(), sent_s=sent_s)))


# ---- versions that live together ----------------------------------------------------------------------------------


def test_a_kind_of_a_newer_version_is_a_value():
    assert codec.decode("HoldCall", msgpack.packb({"call_id": "c1"})) == codec.Unknown("HoldCall")


def test_fields_of_a_newer_version_are_ignored_in_messages_envelopes_and_frames():
    newer: list[Any] = [1, A, B, 12.5, [[0, 0, "EndCall", 0.0, "", {"call_id": "c1", "why": "x"}, "new"]], "new"]
    (envelope,) = codec.unpack(msgpack.packb(newer)).envelopes
    assert codec.decode(envelope.kind, envelope.body) == EndCall(CallId("c1"))


def test_an_act_of_a_newer_version_is_refused_with_its_frame():
    with pytest.raises(RemoteProtocolError, match="malformed_frame"):
        codec.unpack(msgpack.packb([1, A, B, 12.5, [[9, 0, "EndCall", 0.0, "", {}]]]))


# ---- our own mistakes ---------------------------------------------------------------------------------------------


def test_an_error_names_the_path_of_the_wrong_field():
    heard = Heard("ch", 1, 1, "yes", 0.9, 1.0, 1.1, Meaning("r", "i", {"a": "b"}))  # type: ignore[arg-type]
    fields = msgpack.unpackb(codec.encode(heard))
    fields["meaning"]["slots"]["a"] = 7
    with pytest.raises(RemoteProtocolError, match=r"\$\.meaning\.slots\[\.\.\.\]"):
        codec.decode("Heard", msgpack.packb(fields))


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (object(), "unknown_kind"),
        (EndCall, "unknown_kind"),
        (EndCall(object()), "unpackable"),  # type: ignore[arg-type]
        (EndCall(2**70), "unpackable"),  # type: ignore[arg-type]
        (KeepRecord(CallId("c1"), 1, ScriptHash("s"), bytes(codec.MAX_BODY)), "too_long"),
    ],
)
def test_what_we_may_not_send_is_a_local_error(message, what):
    with pytest.raises(LocalProtocolError, match=what):
        codec.encode(message)


def test_no_two_messages_have_the_same_name():
    names = [kind.__name__ for kind in KINDS]
    assert len(names) == len(set(names))


def test_every_reply_is_itself_a_message():
    for kind in KINDS:
        assert getattr(kind, "Reply", kind) in KINDS
