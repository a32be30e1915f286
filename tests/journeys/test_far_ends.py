"""Far ends that others have written: SIPp to the letter, baresip as a telephone, kamailio as a carrier; and rubbish."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from grammars import load
from nodes.audio import g711
from protocols.wire.events import Kind
from protocols.wire.messages import Render
from tests.journeys.conftest import TALK
from tests.journeys.crowd import RUBBISH, Played
from tests.journeys.following import Node
from tests.journeys.peers.sipp import sipp

Calls = dict[str, Played]
Measured = Callable[..., None]


def code(played: Played) -> object:
    """Return the status code that ended it."""
    return played.one(Kind.ENDED).fields.get("code", 0)


def test_sipp_was_content_with_everything_that_we_sent(calls: Calls) -> None:
    complaints = {name: one.seen["complaint"] for name, one in calls.items() if name.startswith("sipp:")}
    assert len(complaints) == 7
    assert not any(complaints.values()), complaints


def test_busy_is_busy(calls: Calls) -> None:
    assert calls["sipp:busy"].end == ("busy", "busy", "them")
    assert code(calls["sipp:busy"]) == 486


def test_an_announcement_before_the_answer_is_no_answer(calls: Calls) -> None:
    one = calls["sipp:early_media"]
    kinds = [event.kind for event in one.call.events]
    assert kinds.index(Kind.EARLY_MEDIA) < kinds.index(Kind.ANSWERED) < kinds.index(Kind.PROMPT_STARTED)
    assert one.end == ("completed", "ordered", "us")


def test_an_answer_after_long_ringing_is_an_answer(calls: Calls) -> None:
    one = calls["sipp:late"]
    rang_ms = int(one.one(Kind.ANSWERED).fields["after_ms"]) - int(one.one(Kind.RINGING).fields["after_ms"])  # type: ignore[call-overload]
    assert rang_ms >= 1500
    assert one.end == ("completed", "ordered", "us")


def test_nobody_rings_longer_than_the_order_says(calls: Calls) -> None:
    assert calls["sipp:no_answer"].end == ("no_answer", "ring_limit", "nobody")
    assert code(calls["sipp:no_answer"]) == 487


@pytest.mark.parametrize(("moment", "has_spoken"), [("bye_at_once", False), ("bye_in_prompt", True)])
def test_who_hangs_up_at_an_odd_moment_has_hung_up(calls: Calls, moment: str, has_spoken: bool) -> None:
    one = calls[f"sipp:{moment}"]
    assert one.end == ("human", "remote_hangup", "them")
    assert bool(one.call.spoken()) == has_spoken


def test_who_holds_us_is_sent_nothing_until_they_take_the_call_back(calls: Calls) -> None:
    told = calls["sipp:hold"].one(Kind.ENDED).fields
    missing_s = float(told["duration_s"]) - float(told["sent"]) * 0.02  # type: ignore[arg-type]
    assert 0.9 < missing_s < 1.4, "one second of hold"


async def test_a_carrier_that_asks_whether_we_are_there_is_told(node: Node, tmp_path: Path) -> None:
    async with sipp("options", tmp_path, to=f"127.0.0.1:{node.stage.config.sip.port}") as peer:
        assert not await peer.complaint()


def test_a_call_through_a_carrier_that_wants_to_know_us_and_a_password_is_understood(calls: Calls) -> None:
    one = calls["carrier"]
    assert one.end == ("completed", "script", "us")
    assert [event.fields["intent"] for event in one.call.all(Kind.HEARD)] == ["digits", "yes"]
    assert one.one(Kind.SLOT_FILLED).fields["value"] == "4271"


async def test_what_the_telephone_behind_it_has_recorded_is_our_prompt(
    node: Node, calls: Calls, measured: Measured
) -> None:
    recording = calls["carrier"].seen["recording"]
    sentence = next(one for one in load(TALK).prompts if "four digits" in one[0].text)
    prompt = await node.stage.client.mesh.ask(node.active("speech").identity, Render(sentence))
    likeness = correlation(recording, (node.stage.config.paths.prompts / f"{prompt.prompt}.ulaw").read_bytes())
    measured(correlation=round(likeness, 3))
    assert likeness > 0.9


def test_keys_go_both_ways_and_nine_means_no_more_calls(calls: Calls) -> None:
    one = calls["keys"]
    assert one.seen["keys"] == "5#", "baresip has heard both"
    assert one.one(Kind.DTMF).fields["digit"] == "9"
    assert one.one(Kind.OPT_OUT)
    assert one.end == ("opted_out", "script", "us")


def test_rubbish_on_the_sip_and_the_rtp_port_is_counted_and_harms_no_call(calls: Calls, measured: Measured) -> None:
    one = calls["garbage"]
    measured(poured=len(RUBBISH), dropped=one.seen["dropped"], gap_ms=one.seen["gap_ms"])
    assert one.one(Kind.SLOT_FILLED).fields["value"] == "4271"
    assert one.end == ("completed", "ordered", "us")
    assert one.seen["dropped"]["edge"] >= len(RUBBISH) * 0.9, "what looks like a keep-alive is none"
    assert one.seen["dropped"]["media"] >= len(RUBBISH) * 0.9


def correlation(recording: Path, prompt: bytes) -> float:
    """Return how much of a prompt (mu-law) is in a recording, wherever it is: 1.0 is every sample of it."""
    with wave.open(str(recording)) as file:
        heard = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(float)
    wanted = g711.decode(prompt).astype(float)
    size = 2 ** int(np.ceil(np.log2(len(heard) + len(wanted))))
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size)), size)
    energy = np.cumsum(np.concatenate([[0.0], heard**2]))
    n_places = len(heard) - len(wanted) + 1
    loudness = np.sqrt((energy[len(wanted) :] - energy[:n_places]) * np.sum(wanted**2))
    return float(np.max(product[:n_places] / np.maximum(loudness, 1.0)))
