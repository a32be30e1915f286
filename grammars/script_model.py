"""A script as data: what `script.py` reads, `script_check.py` judges and `conversation.py` runs. Frozen and pure.

It is packed as it is (`script_pack.py`). The verbs are msgspec's structs because a packed state must say which it has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from grammars.lang import ENGLISH
from grammars.rules.spec import INTENTS, RuleSpec
from grammars.spoken import unspeakable
from grammars.template import Kind, Prompt, Template, in_language
from protocols.floor import Bargein
from protocols.pauses import COMPLETE_S, INCOMPLETE_S
from protocols.wire.ids import ScriptHash

OPT_OUT_KEY = "9"
"""The key that means `stop` in every state (47 CFR 64.1200(a)(7): an automated key-press opt-out)."""

DISPOSITIONS = ("completed", "human", "machine", "invalid", "failed", "opted_out")
"""How a script may say that a call ended; the other dispositions are not a script's to give."""

URGENCIES = ("low", "normal", "high")

RULE_KINDS: Mapping[str, Kind] = {
    "yes_no": Kind.TEXT,
    "choices": Kind.TEXT,
    **{kind.value: kind for kind in Kind if kind is not Kind.TEXT},
}
"""Rule -> the kind of its answers. The rules with a kind are those a state may listen to."""


@dataclass(frozen=True, slots=True)
class Slot:
    """Something known or learned about this call. `contact`: it comes with the contact, before the call."""

    line: int
    kind: Kind
    contact: bool = False
    default: str = ""

    @property
    def is_given(self) -> bool:
        """Say whether it has a value when the call begins."""
        return self.contact or bool(self.default)


@dataclass(frozen=True, slots=True)
class Action:
    """What to do next. Without `redirect` the state stays, and its question is open again.

    `when`: slot -> the values it may have; True for any value, False for none. `reprompt`: ask the question again.
    """

    line: int
    say: Template = field(default_factory=Template)
    tag: str = ""
    reprompt: bool = False
    redirect: str = ""
    when: Mapping[str, bool | tuple[str, ...]] = field(default_factory=dict)

    def holds(self, slots: Mapping[str, str]) -> bool:
        """Say whether the condition is true of these slots."""
        return all(
            (bool(slots.get(name)) is wanted) if isinstance(wanted, bool) else slots.get(name) in wanted
            for name, wanted in self.when.items()
        )


Choice: TypeAlias = tuple[Action, ...]
"""Actions of which the first that holds is taken; the last has no condition."""


def taken(choice: Choice, slots: Mapping[str, str]) -> Action:
    """Return the action that is taken."""
    return next(action for action in choice if action.holds(slots))


Ladder: TypeAlias = Mapping[int, Choice]
"""Count -> what to do from that time on (VoiceXML 2.0 s.5.2.2: the highest count that is not above the event's)."""


def rung(ladder: Ladder, count: int) -> Choice:
    """Return what to do at the `count`-th time.

    >>> [rung({1: ("a",), 3: ("b",)}, count) for count in (1, 2, 3, 9)]
    [('a',), ('a',), ('b',), ('b',)]
    """
    return ladder[max(step for step in ladder if step <= count)]


class Gather(msgspec.Struct, frozen=True, tag=True):
    """Hear one answer."""

    rule: str
    """The rule's id in the script."""
    slot: str
    """Where the answer goes; empty: nowhere."""
    bargein: Bargein
    noinput_s: float
    speech_s: float
    match: Mapping[str, Choice]
    """Answer -> what to do; `any` for all the others."""
    nomatch: Ladder
    noinput: Ladder
    dtmf: Mapping[str, str]
    """Key -> the answer or the global intent that it means."""
    lines: Mapping[str, int]
    """`slot`, `match`, a key -> where it is written."""
    complete_s: float = COMPLETE_S
    incomplete_s: float = INCOMPLETE_S
    confirm: float = 0.0
    """An answer with less confidence is asked about ("Did you say four two seven one?"); 0: never."""


class Fetch(msgspec.Struct, frozen=True, tag=True):
    """Ask a business API over HTTP. `slots`: slot -> path of the field in the JSON reply, with dots.

    `repeats`: a POST may be sent again by one who goes on with the call, who cannot know whether it was done.
    `example`: what the slots are in a rehearsal, where nobody is asked; empty: the fetch fails there.
    """

    line: int
    method: str
    url: Template
    body: Mapping[str, Template] | None
    timeout_s: float
    slots: Mapping[str, str]
    fetched: Choice
    failed: Choice
    repeats: bool = False
    example: Mapping[str, str] = {}


class Enqueue(msgspec.Struct, frozen=True, tag=True):
    """Hand the callee over to an agent."""

    skill: str
    reason: str
    urgency: str
    failed: Choice


class Hangup(msgspec.Struct, frozen=True, tag=True):
    """End the call, after the state's last word."""

    disposition: str


class Redirect(msgspec.Struct, frozen=True, tag=True):
    """Go on in another state."""

    to: str


Verb: TypeAlias = Gather | Fetch | Enqueue | Hangup | Redirect


@dataclass(frozen=True, slots=True)
class State:
    """Say something, then do one thing."""

    line: int
    say: Template
    tag: str
    verb: Verb


@dataclass(frozen=True, slots=True)
class Script:
    """A script that has been checked. `load` makes it; a call is pinned to its `hash`."""

    hash: ScriptHash
    flow: str
    version: str
    initial: Action
    slots: Mapping[str, Slot]
    rules: Mapping[str, RuleSpec]
    """Rule id -> what it is, the global intents included. This is what `Listen.rules` and `Hear.rules` name."""
    identify: Template
    intents: Mapping[str, Choice]
    machine: Choice
    exhausted: Choice
    turns: int
    """So many turns at most, then `exhausted`."""
    states: Mapping[str, State]
    language: str = ENGLISH
    confirm: Mapping[str, Template] = field(default_factory=dict)
    """Intent, or `answer` -> what is asked when it was perhaps not said (`doubt.py`)."""
    recogniser: str = ""
    """Who is to hear it, where a node has several and the campaign says nothing; empty: whoever hears the others."""

    def heard_in(self, gather: Gather) -> tuple[str, ...]:
        """Return the ids of the rules that are heard together: the state's own first."""
        return (gather.rule, *(name for name in INTENTS if name in self.intents))

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """Every sentence that has no slots: what can be rendered before the first call."""
        return self.speakable({})

    def speakable(self, slots: Mapping[str, str]) -> tuple[Prompt, ...]:
        """Return every sentence whose slots all have a value, once: what can be rendered while it rings."""
        sentences = dict.fromkeys(p for template in self.templates() for p in template.speakable(slots))
        return in_language(tuple(sentences), self.language)

    def templates(self) -> Iterator[Template]:
        """Yield everything that may be said."""
        yield from (self.identify, *self.confirm.values())
        yield from (state.say for state in self.states.values())
        yield from (action.say for choice in self.choices() for action in choice if action.say)

    def choices(self) -> Iterator[Choice]:
        """Yield everything that may be done."""
        yield from (*self.intents.values(), self.machine, self.exhausted)
        for state in self.states.values():
            match state.verb:
                case Gather(match=match, nomatch=nomatch, noinput=noinput):
                    yield from (*match.values(), *nomatch.values(), *noinput.values())
                case Fetch(fetched=fetched, failed=failed):
                    yield from (fetched, failed)
                case Enqueue(failed=failed):
                    yield failed

    def initial_slots(self, contact: Mapping[str, str]) -> dict[str, str]:
        """Return the slots a call begins with: the contact's columns that the script knows, and the defaults."""
        defaults = {name: slot.default for name, slot in self.slots.items() if slot.default}
        return defaults | {
            name: contact[name] for name, slot in self.slots.items() if slot.contact and contact.get(name)
        }

    def problems(self, contact: Mapping[str, str]) -> tuple[str, ...]:
        """Return what is wrong with a contact's columns, in words; with problems the call must not be placed."""
        known = self.initial_slots(contact)
        wanted = {name: slot for name, slot in self.slots.items() if slot.contact}
        wrong = (
            f"{name} is missing" if name not in known else f"{name} is no {slot.kind}"
            for name, slot in wanted.items()
            if not slot.kind.fits(known.get(name, ""))
        )
        strange = ((name, unspeakable(known.get(name, ""), self.language)) for name in wanted)
        return (
            *wrong,
            *(f"{name}: no voice here can say {text!r}" for name, text in strange if text and self._is_said(name)),
        )

    def _is_said(self, slot: str) -> bool:
        return any(value.slot == slot for template in self.templates() for value in template.values())

    @property
    def keyless(self) -> tuple[State, ...]:
        """Return the states whose question no key answers: without any, a script needs no ears."""
        return tuple(one for one in self.states.values() if isinstance(one.verb, Gather) and not one.verb.dtmf)

    @property
    def leaves_message(self) -> bool:
        """Say whether an answering machine is spoken to: whether a beep is worth waiting for."""
        targets = (self.states[action.redirect] for action in self.machine)
        return any(not isinstance(state.verb, Hangup) or state.say for state in targets)
