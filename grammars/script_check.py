"""Judging a script: would a call that follows it be lawful, finite and understandable?

Each check yields its reasons; `CHECKS` is the list of all. Checks that walk the graph run only when every name leads
somewhere. What each promises is in its first line, and `tests/grammars/wrong_scripts/` has a script for each.
What a callee must be told first is looked for in `script_law.py`. Source: VoiceXML 2.0 s.5.2 (ladders).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from grammars.errors import Reason
from grammars.lang import pack
from grammars.rules.spec import INTENTS
from grammars.script_graph import START, Graph, steps
from grammars.script_law import first_words
from grammars.script_model import OPT_OUT_KEY, RULE_KINDS, Action, Enqueue, Fetch, Gather, Hangup, Script
from grammars.template import Template

KEYS = frozenset("0123456789*#")
_WORD = re.compile(r"[A-Za-z][A-Za-z']*")


def check(script: Script, pronounceable: Callable[[str], bool] | None = None) -> list[Reason]:
    """Return every reason to refuse the script; none means it may be run."""
    reasons = [reason for judge in NAMES for reason in judge(script)]
    if pronounceable:
        reasons += words(script, pronounceable)
    if reasons:
        return reasons
    graph = Graph.of(script)
    return [reason for judge in WAYS for reason in judge(graph)]


# ---- names: everything that is named is there, and is of the right kind -------------------------------------------


def targets(script: Script) -> Iterator[Reason]:
    """Every redirect names a state."""
    for step in steps(script):
        if step.action.redirect and step.action.redirect not in script.states:
            yield Reason(step.action.line, f"there is no state {step.action.redirect!r}")


def slots(script: Script) -> Iterator[Reason]:
    """Every slot that is tested or filled is declared; an answer's kind is its slot's."""
    for choice in script.choices():
        for action in choice:
            yield from _undeclared(script, action.when, action.line)
    for state in script.states.values():
        match state.verb:
            case Gather(slot=slot) as gather if slot:
                yield from _undeclared(script, [slot], gather.lines["slot"])
                yield from _wrong_kind(script, gather, gather.lines["slot"])
            case Fetch(slots=filled, line=line):
                yield from _undeclared(script, filled, line)


def _undeclared(script: Script, names: Iterable[str], line: int) -> Iterator[Reason]:
    yield from (Reason(line, f"there is no slot {name!r}") for name in names if name not in script.slots)


def _wrong_kind(script: Script, gather: Gather, line: int) -> Iterator[Reason]:
    rule, slot = script.rules.get(gather.rule), script.slots.get(gather.slot)
    if rule and slot and slot.kind is not RULE_KINDS.get(rule.name):
        yield Reason(line, f"slot {gather.slot!r} is {slot.kind}, but {rule.name} answers are {RULE_KINDS[rule.name]}")


def answers(script: Script) -> Iterator[Reason]:
    """Every answer leads somewhere, and every branch and key is an answer."""
    for name, state in script.states.items():
        if isinstance(state.verb, Gather):
            possible = possible_answers(script, state.verb)
            yield from _branches(name, state.verb, possible)
            yield from _keys(script, state.verb, possible)


def possible_answers(script: Script, gather: Gather) -> frozenset[str] | None:
    """Return the answers a state can get, or None when they cannot be counted."""
    spec = script.rules[gather.rule]
    if spec.name == "yes_no":
        return frozenset({"yes", "no"})
    return frozenset(spec.options) if spec.name == "choices" else None


def _branches(name: str, gather: Gather, possible: frozenset[str] | None) -> Iterator[Reason]:
    if "any" not in gather.match:
        for each in sorted((possible or frozenset({"any"})) - gather.match.keys()):
            yield Reason(gather.lines["match"], f"state {name} does nothing about the answer {each!r}")
    if possible is not None:
        for each in sorted(gather.match.keys() - possible - {"any"}):
            yield Reason(gather.match[each][0].line, f"{each!r} is no answer in state {name}")


def _keys(script: Script, gather: Gather, possible: frozenset[str] | None) -> Iterator[Reason]:
    for key, meant in gather.dtmf.items():
        line = gather.lines[key]
        if key == OPT_OUT_KEY:
            yield Reason(line, f"key {OPT_OUT_KEY} opts out in every state")
        elif key not in KEYS:
            yield Reason(line, f"there is no key {key!r}")
        if meant in INTENTS and meant not in script.intents:
            yield Reason(line, f"key {key} means {meant!r}, about which global says nothing")
        elif meant not in INTENTS and possible is not None and meant not in possible:
            yield Reason(line, f"key {key} means {meant!r}, which is neither an answer nor a global intent")


def ladders(script: Script) -> Iterator[Reason]:
    """Silence and misunderstanding end: the last rung leaves the state. Things that happen elsewhere must redirect."""
    for name, state in script.states.items():
        match state.verb:
            case Gather() as gather:
                for kind, ladder in (("nomatch", gather.nomatch), ("noinput", gather.noinput)):
                    last = ladder[max(ladder)]
                    if any(action.redirect in ("", name) for action in last):
                        yield Reason(last[0].line, f"the last {kind} rung must redirect out of state {name}")
            case Fetch(fetched=fetched, failed=failed):
                yield from _must_redirect((*fetched, *failed))
            case Enqueue(failed=failed):
                yield from _must_redirect(failed)
    yield from _must_redirect((*script.machine, *script.exhausted, *script.intents["stop"]))


def _must_redirect(actions: tuple[Action, ...]) -> Iterator[Reason]:
    for action in actions:
        if not action.redirect:
            yield Reason(action.line, "there is no question to stay with here: it must redirect")


def questions(script: Script) -> Iterator[Reason]:
    """A state that listens has asked something."""
    for name, state in script.states.items():
        if isinstance(state.verb, Gather) and not state.say:
            yield Reason(state.line, f"state {name} listens without asking: it needs `say`")


def words(script: Script, pronounceable: Callable[[str], bool]) -> Iterator[Reason]:
    """Every word that is said or heard can be pronounced."""
    for template in script.templates():
        text = " ".join(piece for sentence in template.sentences for piece in sentence if isinstance(piece, str))
        yield from _unpronounceable(text, template.line, pronounceable)
    for state in script.states.values():
        if isinstance(state.verb, Gather):
            phrases = (phrase for each in script.rules[state.verb.rule].options.values() for phrase in each)
            yield from _unpronounceable(" ".join(phrases), state.line, pronounceable)


def unheard(script: Script, heard: Collection[str]) -> Iterator[Reason]:
    """What can only be answered by voice is asked in a language that is heard: `heard` are those of the recognisers."""
    if script.language not in heard:
        why = f"no recogniser here hears {pack(script.language).name} (speech.hears): give it keys (`dtmf`)"
        yield from (Reason(state.line, f"{why}, for it can only be answered by voice") for state in script.keyless)


def _unpronounceable(text: str, line: int, pronounceable: Callable[[str], bool]) -> Iterator[Reason]:
    for word in dict.fromkeys(_WORD.findall(text.lower())):
        if not pronounceable(word):
            yield Reason(line, f"nobody knows how to pronounce {word!r}")


# ---- ways: every way through the script is a good one -------------------------------------------------------------


def unreachable(graph: Graph) -> Iterator[Reason]:
    """Every state can be reached."""
    missing = graph.script.states.keys() - graph.reachable(START)
    yield from (Reason(graph.script.states[name].line, f"state {name} is never reached") for name in missing)


def endless(graph: Graph) -> Iterator[Reason]:
    """From every state the call can end, and between two ends of a circle somebody is listened to."""
    for name, state in graph.script.states.items():
        if not any(isinstance(graph.script.states[each].verb, Hangup) for each in graph.reachable(name)):
            yield Reason(state.line, f"state {name} cannot end: no hangup can follow")
        if graph.loops_unheard(name):
            yield Reason(state.line, f"state {name} comes back to itself without listening")


def farewells(graph: Graph) -> Iterator[Reason]:
    """Opting out, a machine and too many turns end the call; the first two say so, and hand nobody over."""
    script = graph.script
    for what, choice, ends in (
        ("stop", script.intents["stop"], "opted_out"),
        ("machine", script.machine, "machine"),
        ("exhausted", script.exhausted, ""),
    ):
        for action in choice:
            verbs = [script.states[name].verb for name in graph.reachable(action.redirect)]
            if any(isinstance(verb, Gather) for verb in verbs):
                yield Reason(action.line, f"{what} must end the call without listening again")
            elif ends and any(
                isinstance(v, Enqueue) or (isinstance(v, Hangup) and v.disposition != ends) for v in verbs
            ):
                yield Reason(action.line, f"{what} must end in `hangup: {ends}` and nothing else")


def unfilled(graph: Graph) -> Iterator[Reason]:
    """Every slot that is said has a value by then, whichever way was taken."""
    known = graph.known()
    for name, state in graph.script.states.items():
        yield from _unfilled(state.say, known[name])
        if isinstance(state.verb, Fetch):
            for template in (state.verb.url, *(state.verb.body or {}).values()):
                yield from _unfilled(template, known[name])
    for out in graph.by_source.values():
        for step in out:
            yield from _unfilled(step.action.say, known[step.source] | step.learned)
    yield from _unfilled(graph.script.identify, known[START])


def _unfilled(template: Template, known: frozenset[str]) -> Iterator[Reason]:
    for value in template.values():
        if value.slot not in known:
            yield Reason(template.line, f"slot {value.slot!r} may have no value yet when this is said")


NAMES: tuple[Callable[[Script], Iterator[Reason]], ...] = (
    first_words, targets, slots, answers, ladders, questions,
)  # fmt: skip
WAYS: tuple[Callable[[Graph], Iterator[Reason]], ...] = (unreachable, endless, farewells, unfilled)
