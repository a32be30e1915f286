"""What is taken out of the log: whatever a caller of the logger passes, no number, no secret and no words come out."""

from __future__ import annotations

import io
import json
import random
import string
from base64 import urlsafe_b64encode
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from nodes.sink import line_of
from nodes.telemetry import logs, redaction
from nodes.telemetry.log_table import FieldKind, log_events, log_fields
from nodes.telemetry.redaction import UNDECLARED, field, redact, text

LEVELS = ("debug", "info", "warning", "error")
NAMES = (FieldKind.ID, FieldKind.NAME)
ANY_FIELD = st.one_of(st.sampled_from(sorted(log_fields())), st.from_regex(r"[a-z_]{1,12}", fullmatch=True))
NO_NAME = ANY_FIELD.filter(lambda name: name not in log_fields() or log_fields()[name].kind not in NAMES)
SAFE = st.sampled_from(["no way to", "the far end at", "refused by", "asked for", "(", "in"])
"""Words of ours around what must not be seen."""


def of_kinds(*kinds: FieldKind) -> st.SearchStrategy[str]:
    return st.sampled_from(sorted(row.name for row in log_fields().values() if row.kind in kinds))


@st.composite
def numbers(draw: st.DrawFn) -> tuple[str, str]:
    """A telephone number as people write it, and its digits."""
    digits = draw(st.text("0123456789", min_size=7, max_size=15).filter(lambda one: not one.startswith(("19", "20"))))
    cut = sorted(draw(st.sets(st.integers(1, len(digits) - 1), max_size=3)))
    separator = draw(st.sampled_from(["", " ", "-", "/", " - ", "\u2011", "."]))
    if separator == ".":  # else it would be the address of a machine
        cut = cut[:2]
    pieces = [digits[a:b] for a, b in zip([0, *cut], [*cut, len(digits)], strict=True)]
    written = (separator if len(separator) < 3 else separator.strip()).join(pieces)
    return draw(st.sampled_from(["+", "00", "", "tel:+", "tel"])) + written, digits


def secret(seed: int) -> str:
    """A token as `secrets.token_urlsafe` makes it."""
    return urlsafe_b64encode(random.Random(seed).randbytes(24)).decode().rstrip("=")


def written(event: object, fields: dict[str, Any], level: str = "info") -> str:
    out = io.StringIO()
    logs.configure("debug", "n1", "edge-0", out)
    try:
        logs.get("nodes.edge.call").log({"debug": 10, "info": 20, "warning": 30, "error": 40}[level], event, **fields)
    finally:
        structlog.reset_defaults()
    line, rest = out.getvalue().split("\n")
    assert not rest
    return line


@given(numbers(), ANY_FIELD, SAFE, st.sampled_from(LEVELS), st.booleans(), st.booleans())
def test_a_telephone_number_never_comes_out_of_any_field_at_any_level(number, name, words, level, is_alone, is_listed):
    told, digits = number
    value: Any = told if is_alone else f"{words} {told}: 404"
    line = json.loads(written("call.lost", {name: [value] if is_listed else value}, level))
    seen = "".join(one for one in json.dumps(line.get(name, "")) if one.isdigit())
    assert digits not in seen
    assert told not in json.dumps(line)


@given(st.integers(10**6, 10**15), of_kinds(FieldKind.ID, FieldKind.NAME, FieldKind.TEXT) | st.just("callee"))
def test_a_number_that_is_no_text_comes_out_of_fields_that_count_only(number, name):
    assert str(number) not in written("call.lost", {name: number})
    assert json.loads(written("spool.full", {"waiting": number}))["waiting"] == number


@given(st.text(string.ascii_letters + string.digits + "+.-_;=&", min_size=1, max_size=20), ANY_FIELD, SAFE)
def test_the_user_of_an_address_never_comes_out(user, name, words):
    line = written("call.lost", {name: f"{words} sip:{user}@192.0.2.1:5060;transport=udp refused"})
    assert f"{user}@" not in line.replace("[user]@", "") or user in "[user]"


@given(st.integers(), NO_NAME, SAFE)
def test_a_token_never_comes_out(seed, name, words):
    token = secret(seed)
    for value in (token, f"{words} {token}", f"Bearer {token}", f"token={token}", f"nats://u:{token}@192.0.2.1"):
        assert token not in written("call.lost", {name: value}), value


SAID = st.lists(st.sampled_from("yes no please call mister miller tomorrow thanks never again".split()), min_size=2)


@given(SAID, ANY_FIELD, st.sampled_from(LEVELS))
def test_words_that_somebody_said_never_come_out_of_a_field_that_is_not_for_sentences(said, name, level):
    row = log_fields().get(name)
    if row is None or row.kind not in (FieldKind.TEXT, FieldKind.TRACEBACK):
        assert " ".join(said) not in written("call.lost", {name: " ".join(said)}, level)


@given(SAID, of_kinds(FieldKind.TEXT, FieldKind.TRACEBACK), st.integers(1))
def test_a_sentence_of_a_librarys_that_quotes_what_somebody_said_is_written_without_it(said, name, n):
    words = " ".join(said[:n])
    for error in (
        ValueError(f"cannot read {words!r}"),
        KeyError(words),
        ValueError([words]),
        ValueError({"said": words}),
    ):
        line = json.loads(written("call.lost", {name: str(error)}))
        assert not set(said[:n]) & set("".join(c if c.isalpha() else " " for c in line[name]).split()), line


@given(SAID)
def test_an_exceptions_message_is_written_without_what_it_quotes_and_with_where_it_was(said):
    words = " ".join(said)
    try:
        raise ValueError(f"cannot read {words!r}")
    except ValueError as error:
        line = written("seat.failed", {"exc_info": error})
    assert words not in line
    assert "ValueError: cannot read [...]" in line
    assert "test_redaction.py" in line


@given(st.text() | st.integers() | st.lists(st.text()), st.text(max_size=30))
def test_an_event_that_nobody_has_declared_and_what_it_carries_is_told_as_such(value, event):
    line = json.loads(written(event, {"answer_of_the_callee": value}))
    assert line["event"] in (event, redaction.EVENT)
    assert line["event"] == redaction.EVENT or event in log_events() or "." in event
    if not isinstance(value, int) or abs(value) >= redaction.MOST_COUNT:
        assert line["answer_of_the_callee"] == UNDECLARED


PLAIN = st.one_of(st.none(), st.booleans(), st.floats(), st.text(), st.binary())
ANYTHING = st.one_of(PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(st.text(), PLAIN, max_size=3))


@given(st.dictionaries(ANY_FIELD, ANYTHING, max_size=3))
def test_whatever_is_passed_a_line_comes_out_and_nothing_is_raised(fields):
    fields = {name: value for name, value in fields.items() if name not in ("event", "level", "exc_info")}
    line = json.loads(written("call.lost", fields))
    assert (line["event"], line["level"], line["node_id"] is not None) == ("call.lost", "info", True)


def test_what_an_operator_needs_stays() -> None:
    for told in (
        "/var/lib/ringmaster/spool/edge-0.1: No space left on device",
        "[Errno 28] No space left on device: '/var/lib/ringmaster/calls/checkpoint'",
        "desk.port: 127.0.0.1:8080 is in use",
        "nats: 'rm_calls' has 3 replicas, and 1 is wanted since 2026-03-03T10:00:00.123456Z",
        "n1.edge-0:1893ab2f04 does not answer within 5 s",
        "c7d13f0e86a94b2f8f1d5a7c34e09b21 is not here",
        "code 503: Service Unavailable",
        "the server does not know this login: nats.nkey or nats.creds; in a cluster: ringmaster cluster keys",
    ):
        assert text(told) == told
    for name, value in (
        ("call_id", "spring-20260301-a4ee2b-2"), ("call_id", "c7d13f0e86a94b2f8f1d5a7c34e09b21"),
        ("trace", "00-5c536beda3cfd1e8da94764a05b4a4ba-aecbdb69ed2fd2f5-01"), ("sender", "n1.edge-0:1893ab2f04c1d2e3"),
        ("path", "calls/spring-a4ee2b-2/call"), ("streams", ["RM_EVENTS", "KV_rm_calls"]), ("code", 503),
        ("epoch", 1893456000123456789), ("is_in", True), ("error", "BusAway: no answer"),
    ):  # fmt: skip
        assert field(name, value) == value


def test_a_line_of_the_launchers_goes_the_same_way() -> None:
    line = json.loads(
        line_of("launcher", "warning", "process.ended", name="edge-0", why="it said 'call me' to +12025550100")
    )
    assert line["why"] == "it said [...] to [number]"
    assert line["process"] == "launcher"


def test_a_field_without_a_value_is_left_out() -> None:
    assert redact(None, "", {"event": "call.lost", "campaign_id": None, "code": 0}) == {"event": "call.lost", "code": 0}


@pytest.mark.parametrize("n", [10_000, 100_000])
def test_a_value_that_is_long_is_cut_before_it_costs(n: int) -> None:
    for one in ("1", "ab ", "'", "sip:", "a@", "A", "(", "token=", "1 ", "+1", "\u2019"):
        assert len(text(one * n)) <= 4 * redaction.MOST_CHARS
