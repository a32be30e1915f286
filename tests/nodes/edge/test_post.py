"""What an edge tells of its calls when the machine is short of time, and when nobody has taken its events for long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nodes.bus import bus as links
from nodes.bus.bus import Bus
from nodes.bus.spool import Spool
from nodes.edge.post import Post
from protocols.wire.events import FIELDS, TRANSCRIPT, CallEvent, Kind, Value, shortened, to_body
from protocols.wire.ids import AttemptId, CallId, CampaignId, NodeId
from protocols.wire.subjects import Stream
from tests.conftest import NatsServer

VALUES: dict[type, Value] = {int: 1, float: 1.0, str: "what was said", dict: {"n": "42"}, list: ["p"], bool: True}


def event(kind: Kind, number: int = 1) -> CallEvent:
    """An event of a kind, with every field that it may have."""
    needed, allowed = FIELDS[kind]
    fields = {name: VALUES[wanted] for name, wanted in (needed | allowed).items()}
    call, attempt, node = CallId("c1"), AttemptId("a1"), NodeId("n1")
    return CallEvent(f"c1:1:{number}", call, attempt, CampaignId(""), node, datetime.now(UTC), number, kind, fields)


@pytest.mark.parametrize("kind", Kind)
def test_of_a_conversation_is_left_what_is_counted_and_of_its_outcome_everything(kind: Kind) -> None:
    whole = event(kind)
    left = shortened(whole)
    if kind not in TRANSCRIPT:
        assert left == whole
    elif left is not None:
        to_body(left)  # is as its kind has it
        counted = {"answer_ms", "first_word_ms", "turn", "state"}
        assert {name: left.fields[name] for name in counted & whole.fields.keys()} == {
            name: whole.fields[name] for name in counted & whole.fields.keys()
        }
        assert kind is Kind.HEARD or "what was said" not in {left.fields.get("spoken"), left.fields.get("words")}


def test_an_opt_out_a_slot_and_an_end_are_no_transcript() -> None:
    assert not {Kind.OPT_OUT, Kind.SLOT_FILLED, Kind.TAGGED, Kind.ANSWERED, Kind.ENDED} & TRANSCRIPT


class Rig:
    """A post whose stream is away, until the server is started; its spool has room for ten."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.gives_up_words = False
        self.noted: list[CallEvent] = []
        self.post = Post(bus, lambda: self.gives_up_words, self.noted.append)
        self._n = 0

    def say(self, kind: Kind) -> str:
        self._n += 1
        self.post.take(one := event(kind, self._n))
        return one.event_id


@pytest.fixture
async def rig(nats_server: NatsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rig]:
    monkeypatch.setattr(links, "Spool", lambda where, name: Spool(where, name, max_records=10))
    bus = await Bus.connect(nats_server.url, name="edge-0", node_id=NodeId("n1"), spool=tmp_path / "spool")
    await bus.ensure_layout()
    yield Rig(bus)
    await bus.close()


async def test_an_edge_that_is_cut_off_refuses_calls_then_drops_words_and_all_else_arrives_once(
    rig: Rig, nats_server: NatsServer
) -> None:
    nats_server.kill()
    kept = [rig.say(Kind.HEARD) for _ in range(4)]
    assert not rig.post.fills_up()
    kept += [rig.say(Kind.HEARD) for _ in range(6)]
    assert rig.post.fills_up(), "no new calls"
    dropped = [rig.say(Kind.HEARD) for _ in range(5)]
    kept += [rig.say(kind) for kind in (Kind.SLOT_FILLED, Kind.OPT_OUT, Kind.ENDED)]
    figures = rig.bus.figures()
    assert (figures["records_dropped"], figures["records_waiting"]) == (len(dropped), len(kept))
    assert [one.event_id for one in rig.noted] == kept, "an heir is not told what was dropped"
    await nats_server.start()
    await rig.bus.settled()
    assert [one.event_id async for one in rig.bus.replay(Stream.EVENTS)] == kept
    assert not rig.post.fills_up()


async def test_words_that_are_given_up_are_counted_and_the_rest_is_told_in_its_order(rig: Rig) -> None:
    rig.gives_up_words = True
    for kind in (Kind.STATE_ENTERED, Kind.PROMPT_STARTED, Kind.PROMPT_ENDED, Kind.HEARD, Kind.OPT_OUT, Kind.ENDED):
        rig.say(kind)
    await rig.bus.settled()
    told = [one.body or {} async for one in rig.bus.replay(Stream.EVENTS)]
    assert [one["kind"] for one in told] == [Kind.PROMPT_STARTED, Kind.HEARD, Kind.OPT_OUT, Kind.ENDED]
    assert told[0]["fields"]["spoken"] == ""
    assert rig.post.figures()["events_given_up"] == 3
