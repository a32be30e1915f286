"""The shipped scripts, talked to in writing: each case beside a script is a call, from its first turn to its end.

A case's turns are what the callee or the world does, and the state that it leads to:

    hear: words     silence:      press: 1      machine:      hang_up:
    fetched: {...}  fetch_failed: reason        handover: done, or the reason of its failure
"""

from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import msgspec
import pytest
import yaml

import grammars
from grammars import Conversation, ConversationState, Script, load
from grammars.conversation_state import Begin, Fetched, FetchFailed, HungUp, Input
from grammars.rules.compile import compile_rule
from grammars.rules.ruleset import RuleSet
from protocols.amd import MessageMayStart
from protocols.floor import Listen, NotUnderstood, Pressed, PromptEnded, Silence, Understood
from protocols.handover import HandoverDone, HandoverFailed

SCRIPTS = Path(grammars.__file__).parent / "scripts"
TODAY = date(2026, 3, 2)
"""A Monday."""


@dataclass(frozen=True)
class Happening:
    """One turn of a case."""

    state: str
    hear: str | None = None
    press: str | None = None
    fetched: dict[str, dict[str, str]] | None = None
    fetch_failed: str | None = None
    handover: str | None = None
    silence: bool = False
    machine: bool = False
    hang_up: bool = False


@dataclass(frozen=True)
class Case:
    """One call."""

    case: str
    turns: tuple[Happening, ...]
    disposition: str
    contact: dict[str, str] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cases:
    """A file of cases."""

    contact: dict[str, str]
    cases: tuple[Case, ...]


def all_cases() -> list[object]:
    """Every case of every shipped script, with the script's path."""
    found: list[object] = []
    for path in sorted(SCRIPTS.glob("*.cases.yaml")):
        script = path.with_name(path.name.replace(".cases", ""))
        cases = msgspec.convert(yaml.load(path.read_text(), yaml.BaseLoader), Cases, strict=False)
        found += [pytest.param(script, cases.contact, c, id=f"{script.stem}: {c.case}") for c in cases.cases]
    return found


def understand(script: Script, listen: Listen, words: str) -> Input:
    """Hear words as a speech process would, in writing."""
    rules = RuleSet({rule: compile_rule(script.rules[rule], TODAY) for rule in listen.rules})
    meaning = rules.parse(words)
    return Understood(meaning, words) if meaning else NotUnderstood(words)


def happening(script: Script, listen: Listen | None, turn: Happening) -> Input:
    """The input that a turn of a case is."""
    match turn:
        case Happening(hear=str(words)):
            assert listen is not None, f"nobody listens to {words!r}"
            return understand(script, listen, words)
        case Happening(press=str(digit)):
            return Pressed(digit)
        case Happening(fetched=dict(body)):
            return Fetched({name: {**fields} for name, fields in body.items()})
        case Happening(fetch_failed=str(reason)):
            return FetchFailed(reason)
        case Happening(handover=str(word)):
            return HandoverDone() if word == "done" else HandoverFailed(word)
        case Happening(silence=True):
            return Silence()
        case Happening(machine=True):
            return MessageMayStart()
    assert turn.hang_up, turn
    return HungUp()


def tell(talk: Conversation, given: Input) -> Listen | None:
    """Step, let every prompt play to its end, and return the question that is open then."""
    effects = talk.step(given)
    while talk.state.playing and not isinstance(given, HungUp):
        effects += talk.step(PromptEnded())
    return next((effect for effect in reversed(effects) if isinstance(effect, Listen)), None)


@pytest.mark.parametrize(("path", "contact", "case"), all_cases())
def test_a_call_goes_as_its_case_says(path: Path, contact: dict[str, str], case: Case) -> None:
    script = load(path.read_text())
    columns = contact | case.contact
    assert script.problems(columns) == ()
    talk = Conversation(script, ConversationState.new(script, columns))
    listen = tell(talk, Begin()) if not case.turns[0].machine else None
    for turn in case.turns:
        listen = tell(talk, happening(script, listen, turn))
        assert talk.state.state == turn.state, (turn, talk.state.turns[-3:])
    assert talk.state.disposition == case.disposition
    assert case.slots.items() <= talk.state.slots.items()
    assert talk.state.tags == case.tags
