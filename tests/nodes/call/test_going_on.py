"""Whoever goes on with a call goes on as if nothing had been: the same call twice, and a death in the second.

A schedule of what callee, agents and answers do is run through in two worlds. In the second one the actor or its
process dies after a step: before it has carried out what that step wants, or afterwards. What the callee and the
reports see is the same: prompts in order, answers, tags, the list, handovers, the end, and how often we dialled.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from nodes.call.effects import AskBusiness, HearCallee, LateHandover, Question, Speak
from nodes.call.inputs import HangUpOrdered
from nodes.call.record import CallPhase
from protocols.handover import Stage
from protocols.sip import Disposition
from protocols.wire.events import Kind
from protocols.wire.ids import ChannelId
from protocols.wire.messages import DigitPressed
from tests.nodes.call.audio import Said
from tests.nodes.call.world import CALL, PACKED, World

N_EXAMPLES = 400
PHASES = [one for one in Phase if one is not Phase.explain]
KIND_S = 900.0
ACTS = (
    *(f"say:{what}" for what in ("", "=yes", "=no", "=2026-03-03", "=7", "=keep", "=move", "human", "stop", "repeat")),
    *(f"key:{digit}" for digit in "129"),
    "hangs_up", "beep", "quiet", "loud", "accept", "accept", "decline", "finish", "sits", "leaves", "order",
)  # fmt: skip
"""What may happen after the answer."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When what happens, in tenths of a second, and how long answers take."""

    script: str
    number: str
    is_recorded: bool
    n_agents: int
    answers_s: float
    acts: tuple[tuple[int, str], ...]
    waits: tuple[float, ...]
    """Of words, engines and business APIs."""

    def seconds(self, question: Question) -> float:
        """Return how long this question waits for its answer."""
        kinds = (Speak, HearCallee, AskBusiness)
        place = next((n for n, kind in enumerate(kinds) if isinstance(question, kind)), None)
        return 0.003 if place is None else self.waits[place]


SCHEDULES = st.builds(
    Schedule,
    st.sampled_from(sorted(PACKED)),
    st.sampled_from(["sip:ann@192.0.2.2", "sip:ann@192.0.2.2", "browser:n1.desk-9:1/phone-7"]),
    st.booleans(),
    st.integers(0, 2),
    st.sampled_from([0.2, 2.0, 8.0]),
    st.lists(st.tuples(st.integers(1, 60), st.sampled_from(ACTS)), max_size=14).map(tuple),
    st.tuples(st.sampled_from([0.0, 0.004, 0.4]), st.sampled_from([0.0, 0.002, 0.3]), st.sampled_from([0.0, 0.1, 1.5])),
)


def act(world: World, what: str) -> None:
    """Have this happen."""
    name, _, rest = what.partition(":")
    match name:
        case "say":
            world.line.speak(Said(*rest.split("=")))
        case "key" if world.line.is_heard:
            world.give(DigitPressed(ChannelId(CALL), rest, world.now))
        case "hangs_up":
            world.phone.hangs_up()
        case "beep":
            world.line.beep()
        case "quiet" | "loud" if world.phone.phone == "up":
            world.line.is_up(name == "loud")
        case "order":
            world.give(HangUpOrdered(Disposition.COMPLETED, "ordered"))
        case "accept" | "decline" | "finish" | "sits" | "leaves":
            getattr(world.desk, name)("ann")


def seen(world: World) -> dict[str, Any]:
    """Return what the callee and the reports have seen."""
    notes = [note for note in world.notes if note.kind not in (Kind.RECOVERED, Kind.RECORDING_LEFT)]
    ended = notes[-1].fields
    return {
        "events": [note.kind for note in notes],
        "said": [note.fields["spoken"] for note in notes if note.kind is Kind.PROMPT_STARTED],
        "slots": [note.fields for note in notes if note.kind is Kind.SLOT_FILLED],
        "tags": [note.fields["tag"] for note in notes if note.kind is Kind.TAGGED],
        "handovers": [note.fields.get("reason", "") for note in notes if note.kind.value.startswith("handover")],
        "is_listed": world.is_listed,
        "ended": (ended["disposition"], ended["cause"], ended["by"]),
        "calls": (world.phone.n_dials, world.phone.n_byes, world.fetched),
    }


def run(schedule: Schedule, dies_at: int, after: int, how: str, refuses: int = 0) -> World:
    """Let it all happen; after the step of this number somebody dies, `after` so many of its effects.

    Or the call is moved to another machine, which the far end agrees to, or `refuses`.
    """
    world = World(schedule.script, target=schedule.number, is_recorded=schedule.is_recorded, waits=schedule.seconds)

    def fate() -> tuple[int, Callable[[], None]] | None:
        then = {"actor": world.actor_dies, "edge": world.edge_dies}.get(how)
        if how == "moves" and world.n_steps == dies_at:
            world.clock.after(after / 100, world.moves)
        return (after, then) if then and world.n_steps == dies_at else None

    world.doom, world.phone.refuses = fate, refuses
    world.begin(2, *("ann", "bob")[: schedule.n_agents])
    world.pass_(schedule.answers_s)
    world.phone.answer()
    for tenths, what in schedule.acts:
        world.pass_(tenths / 10)
        act(world, what)
        world.check()
    world.be_kind()
    until_s = world.now + KIND_S
    while not world.is_over and (next_s := world.clock.next_s) is not None and next_s <= until_s:
        world.clock.tick()
    assert world.is_over
    world.pass_(1.0)
    return world


HANGS_UP_WHILE_WAITING = Schedule(
    "appointment_reminder", "sip:ann@192.0.2.2", False, 1, 0.2,
    ((1, "say:"), (48, "say:human"), (20, "say:"), (60, "say:"), (60, "hangs_up")), (0.0, 0.0, 0.0),
)  # fmt: skip
"""The agent is asked anew after the death: they hang up before it is known that nobody comes, and not after it."""


@example(HANGS_UP_WHILE_WAITING, 0.75, 0, "actor")
@settings(max_examples=N_EXAMPLES, deadline=None, report_multiple_bugs=False, phases=PHASES)
@given(SCHEDULES, st.floats(0, 1), st.sampled_from([0, 1, 9]), st.sampled_from(["actor", "edge"]))
def test_whoever_goes_on_goes_on_as_if_nothing_had_been(schedule: Schedule, at: float, after: int, how: str) -> None:
    first = run(schedule, 0, 0, "nobody")
    dies_at = 1 + round(at * (first.n_steps - 1))
    second = run(schedule, dies_at, after, how)
    saw, sees = seen(first), seen(second)
    if second.noted(Kind.ENDED)[0].fields["cause"] == "lost_while_placing":
        assert second.phone.phone in ("idle", "gone"), "written, and perhaps dialled: nobody rings for nothing"
    elif was_offered(second) and (was_late(first) or was_late(second)):
        n = next(n for n, note in enumerate(second.notes) if note.kind is Kind.RECOVERED)
        assert sees["events"][:n] == saw["events"][:n], "an agent who is asked again has all the time again"
        assert second.phone.n_dials == first.phone.n_dials
    else:
        assert sees == saw


SAYS_MUCH_FIRST = Schedule(
    "desk", "sip:ann@192.0.2.2", False, 0, 0.2, ((1, "say:"), (1, "say:"), (1, "say:"), (17, "say:")), (0.0, 0.0, 0.0)
)  # fmt: skip
"""They say two things before it is known who has answered."""
TALKS = Schedule(
    "appointment_reminder", "sip:ann@192.0.2.2", True, 0, 0.2,
    ((1, "say:"), (90, "say:=yes"), (60, "quiet"), (20, "loud"), (40, "say:"), (90, "say:=keep"), (60, "say:=yes")),
    (0.004, 0.002, 0.1),
)  # fmt: skip
"""They say hello, answer, and are not heard for a while."""


@pytest.mark.parametrize("schedule", [TALKS, SAYS_MUCH_FIRST], ids=["talks", "says much first"])
def test_an_edge_may_die_at_every_step_of_a_conversation(schedule: Schedule) -> None:
    first = run(schedule, 0, 0, "nobody")
    saw = seen(first)
    for dies_at in range(1, first.n_steps + 1):
        for after in (0, 9):
            second = run(schedule, dies_at, after, "edge")
            if second.noted(Kind.ENDED)[0].fields["cause"] != "lost_while_placing":
                assert seen(second) == saw, (dies_at, after)


ANSWERED_AT_ONCE = Schedule(
    "hello", "sip:ann@192.0.2.2", False, 0, 0.2, ((40, "say:"), (92, "say:=yes"), (16, "say:=no")), (0.0, 0.3, 0.0)
)
"""Their "yes" begins before an engine hears them for this question: one that hears them for the last one drops it, one
that did not hear them at all is given it from its beginning."""


TALKED_FOR_LONG = Schedule(
    "desk", "sip:ann@192.0.2.2", False, 1, 0.2, ((1, "say:"), (38, "key:1"), (81, "quiet")), (0.0, 0.0, 0.0)
)
"""The agent takes ten seconds, and so is still there when a desk has no seat for who had the call before any more."""


@example(TALKED_FOR_LONG, 0.5, 0, 0).via("moved while a seat is looked for")
@example(ANSWERED_AT_ONCE, 0.5, 0, 0).via("moved in those 0.3 s")
@settings(max_examples=N_EXAMPLES // 4, deadline=None, report_multiple_bugs=False, phases=PHASES)
@given(SCHEDULES, st.floats(0, 1), st.sampled_from([0, 1, 9]), st.sampled_from([0, 0, 0, 488]))
def test_who_is_moved_to_another_machine_notices_nothing(
    schedule: Schedule, at: float, after: int, refuses: int
) -> None:
    """But for a word that they were just saying: half of it is heard here, and half there."""
    first = run(schedule, 0, 0, "nobody")
    second = run(schedule, 1 + round(at * (first.n_steps - 1)), after, "moves", refuses)
    saw, sees = seen(first), seen(second)
    assert second.record.n_moves == 0 or not refuses
    if second.was_cut or (was_offered(second) and (was_late(first) or was_late(second))):
        assert sees["calls"][0] == saw["calls"][0], "nobody is dialled twice"
    else:
        assert sees == saw


def was_offered(world: World) -> bool:
    """Say whether somebody went on with a callee who was on the way to an agent."""
    return any(note.fields.get("phase") == CallPhase.HANDING_OVER.value for note in world.noted(Kind.RECOVERED))


def was_late(world: World) -> bool:
    """Say whether an agent let the time pass in which they might have taken the call."""
    return any(one == LateHandover(Stage.CONFIRMING.value) for one in world.done)
