"""The lives of one call: whoever begins one, and from however old a record, gives no event's id a second time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import given
from hypothesis import strategies as st

from nodes.call import effects as wants
from nodes.call.call import Call
from nodes.call.inputs import Resumed
from nodes.call.record import CallRecord
from nodes.edge.succession import epoch_after
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import DigitPressed
from tests.nodes.call.world import CALL, World


@dataclass
class Process:
    """An edge that has the call, as its record store knows it."""

    owner: Identity
    epoch: int
    record: CallRecord


LIVES = st.lists(
    st.tuples(
        st.integers(0, 99).map(lambda n: n / 99), st.sampled_from(["actor", "edge", "edge"]),
        st.sampled_from([0.0, 0.001, 3.0, -7200.0]), st.integers(0, 3),
    ),
    max_size=9,
)  # fmt: skip
"""From which record a life begins, whose it is, how the wall clock went on until then, and what happens in it."""


@given(LIVES)
def test_an_events_id_is_never_given_twice_whoever_goes_on_from_whichever_record(
    lives: list[tuple[float, str, float, int]],
) -> None:
    world = World("appointment_reminder")
    world.begin()
    world.pass_(0.1)
    world.phone.answer()
    world.pass_(3.0)
    given_ids = {(note.owner, note.epoch, note.number) for note in world.notes}
    assert len(given_ids) == len(world.notes)
    known, wall_s = [world.record], 1000.0
    here = Process(world.owner, 0, world.record)
    for n, (which, who, seconds, n_keys) in enumerate(lives):
        wall_s += seconds
        if who == "edge":
            left = known[round(which * (len(known) - 1))]
            here = Process(Identity(f"n1.edge-0:{n + 2}"), epoch_after([left], wall_s), left)
        keys = [DigitPressed(ChannelId(CALL), "1", world.now)] * n_keys
        for told in (Resumed(here.owner, world.line.lives(), epoch=here.epoch), *keys):
            call = Call(here.record, world.script)
            for effect in call.step(told, world.now):
                if isinstance(effect, wants.Note):
                    name = effect.owner, effect.epoch, effect.number
                    assert name not in given_ids
                    given_ids.add(name)
            here.record = replace(call.record, revision=here.record.revision + 1)
            known.append(here.record)
