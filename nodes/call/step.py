"""One step of a call in the making: the record so far, what is to be done, and the machines inside it.

What it does: writes the record, numbers events and questions, steps machine detection, floor and conversation from
their state in the record. What it does not: decide anything; the pages that import it do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from grammars import conversation_state as says
from grammars.conversation import Conversation
from grammars.script_model import Script
from nodes.call.effects import Effect, Note, PutOnList
from nodes.call.record import Ask, Asked, CallRecord
from protocols import amd, floor
from protocols.replacing import replace
from protocols.wire.events import Kind, Value
from protocols.wire.ids import Identity


class CallStep:
    """`now`: monotonic seconds. `script` is None for a call that came without, and can only be ended."""

    __slots__ = ("_effects", "_notes", "before", "now", "record", "script")

    def __init__(self, record: CallRecord, script: Script | None, now: float) -> None:
        self.before = self.record = record
        self.script, self.now = script, now
        self._notes: list[Effect] = []
        self._effects: list[Effect] = []

    @property
    def effects(self) -> list[Effect]:
        """What is to be done, in order: events first, so that none is counted and never said; then the list."""
        listed: list[Effect] = [one for one in self._effects if isinstance(one, PutOnList)]
        return [*self._notes, *listed, *(one for one in self._effects if not isinstance(one, PutOnList))]

    def write(self, **changes: Any) -> None:
        """Change fields of the record."""
        self.record = replace(self.record, **changes)

    def live(self, owner: Identity, least: int = 0) -> None:
        """Begin another life: its records and channels, and the ids of its events, are later than any before."""
        self.write(owner=owner, epoch=max(self.record.epoch + 1, least))

    def do(self, effect: Effect) -> None:
        """Have this done, after what was wanted before it."""
        self._effects.append(effect)

    def note(self, kind: Kind, **fields: Value | None) -> None:
        """Write down one event. What fields a kind has is said in `protocols/wire/events.py`; None is left out."""
        number = self.record.n_events + 1
        self.write(n_events=number)
        given = {name: value for name, value in fields.items() if value is not None}
        self._notes.append(Note(number, self.record.owner, self.record.epoch, kind, given))

    def since_placed_ms(self) -> int:
        """Return whole milliseconds since the order was taken."""
        return self.since_ms(self.record.placed_s)

    def since_ms(self, since_s: float) -> int:
        """Return whole milliseconds since a moment."""
        return round((self.now - since_s) * 1000)

    # ---- questions -------------------------------------------------------------------------------------------------

    def number(self) -> int:
        """Return a number that no question and no handover of this call has had."""
        self.write(n_asked=self.record.n_asked + 1)
        return self.record.n_asked

    def ask(self, what: Ask, within_s: float, *, is_again: bool = False) -> int:
        """Open a question and return its number; an open one of its kind is withdrawn."""
        number = self.number()
        others = tuple(one for one in self.record.asked if one.what is not what)
        self.write(asked=(*others, Asked(what, number, self.now, self.now + within_s, is_again)))
        return number

    def is_open(self, what: Ask) -> bool:
        """Say whether a question of this kind waits for its answer."""
        return any(one.what is what for one in self.record.asked)

    def withdraw(self, *what: Ask) -> None:
        """Close these: whatever is answered is nobody's any more."""
        self.write(asked=tuple(one for one in self.record.asked if one.what not in what))

    def answered(self, number: int) -> Asked | None:
        """Close the question with this number and return it; None: it is not open."""
        asked = next((one for one in self.record.asked if one.number == number), None)
        if asked is not None:
            self.write(asked=tuple(one for one in self.record.asked if one is not asked))
        return asked

    # ---- the machines inside -----------------------------------------------------------------------------------------

    def detect(self, given: amd.AmdInput) -> Sequence[amd.AmdEvent]:
        """Step machine detection, which has begun; one that has nothing more to say is gone."""
        assert self.record.amd is not None, "it begins with the answer"
        machine = amd.Amd.of(self.record.amd)
        told = [notice.event for notice in machine.step(given, self.now)]
        self.write(amd=None if machine.state.stage is amd.AmdStage.DONE else machine.state)
        return told

    def floor(self, given: floor.FloorInput) -> Sequence[floor.FloorEvent]:
        """Step the floor."""
        machine = floor.Floor(self.record.floor)
        told = [notice.event for notice in machine.step(given, self.now)]
        self.write(floor=machine.state)
        return told

    def conversation(self) -> Conversation:
        """Return the conversation as it stands; before its first word, a new one."""
        assert self.script is not None, "without a script nothing is said"
        order = self.record.order
        return Conversation(
            self.script, self.record.conversation or says.ConversationState.new(self.script, order.slots)
        )

    def converse(self, given: says.Input) -> Sequence[says.Effect]:
        """Step the conversation."""
        machine = self.conversation()
        wanted = machine.step(given)
        self.write(conversation=machine.state)
        return wanted


__all__ = ["CallStep"]
