"""What is always true of a conversation, whatever happens, in the shipped scripts and in random ones.

Random scripts are built so that the checker accepts them: so these properties also say that what the checker accepts,
the machine can run.
"""

import json
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

import grammars
from grammars import Conversation, ConversationState, Script, TalkPhase, load
from grammars.conversation_state import Begin, Fetched, FetchFailed, HungUp, Input, OptOut
from grammars.rules.spec import INTENTS
from protocols.amd import MessageMayStart
from protocols.floor import NotUnderstood, Pressed, PromptEnded, Silence, Understood
from protocols.handover import HandoverDone, HandoverFailed
from protocols.wire.messages import Meaning

SCRIPTS = [
    load(p.read_text()) for p in (Path(grammars.__file__).parent / "scripts").glob("*.yaml") if "cases" not in p.name
]
CONTACT = {"name": "Ann", "clinic": "Elm", "company": "Acme", "account": "1234", "date": "2026-03-03", "time": "15:30"}
ACCOUNT = Fetched({"account": {"balance": 42.5, "due": "2026-02-15"}})
always = settings(deadline=None)


def intent(name: str) -> Understood:
    return Understood(Meaning(name, name), name)


def perhaps(name: str) -> Understood:
    return Understood(Meaning(name, name), name, confidence=0.3)


YES = Understood(Meaning("yes_no", "yes", {"value": "yes"}), "yes")
WORDS = st.text(max_size=5)
JSON = st.recursive(st.none() | st.booleans() | st.integers(-99, 99) | st.floats() | WORDS, st.lists, max_leaves=3)
ACCOUNTS = st.fixed_dictionaries({"balance": JSON | st.just("0.00"), "due": JSON | st.just("2026-01-01")})


def meanings(script: Script) -> st.SearchStrategy[Meaning]:
    """Meanings of the script's rules, mostly fitting ones."""
    values = st.sampled_from(["yes", "no", "7", "2026-03-03", "15:30", "1942", "keep", "move", "cancel", "price"])
    return st.builds(
        Meaning, st.sampled_from(sorted(script.rules)) | WORDS, WORDS, st.fixed_dictionaries({"value": values})
    )


def inputs(script: Script) -> st.SearchStrategy[Input]:
    """Anything that can happen, at any time."""
    return st.one_of(
        st.sampled_from([Begin(), PromptEnded(), Silence(), HandoverDone(), MessageMayStart(), HungUp()]),
        st.builds(Understood, meanings(script), WORDS, st.floats(0, 1)),
        st.sampled_from(INTENTS).map(intent),
        st.sampled_from(["stop", "wrong_number"]).map(perhaps),
        st.builds(NotUnderstood, WORDS),
        st.builds(Pressed, st.sampled_from("0123456789*#") | WORDS),
        st.builds(Fetched, JSON | st.fixed_dictionaries({"account": ACCOUNTS})),
        st.builds(FetchFailed, WORDS),
        st.builds(HandoverFailed, WORDS),
    )


def fitting(talk: Conversation, script: Script) -> st.SearchStrategy[Input]:
    """What the world does next, when it does what it is asked."""
    if talk.state.playing and talk.state.phase is not TalkPhase.LISTENING:
        return st.just(PromptEnded())
    match talk.state.phase:
        case TalkPhase.NEW:
            return st.sampled_from([Begin(), MessageMayStart()])
        case TalkPhase.FETCHING:
            return st.sampled_from(
                [ACCOUNT, FetchFailed(), Fetched({"account": {"balance": "0", "due": "2026-01-01"}})]
            )
        case TalkPhase.HANDING_OVER:
            return st.sampled_from([HandoverDone(), HandoverFailed("no_agent")])
        case TalkPhase.WITH_AGENT:
            return st.sampled_from([HungUp(), HandoverFailed("agent_lost")])
    answers = st.builds(Understood, meanings(script), WORDS)
    keys = st.builds(Pressed, st.sampled_from("012345678"))
    others = [Silence(), NotUnderstood(), *map(intent, INTENTS), perhaps("stop"), YES]
    return st.one_of(answers, keys, st.sampled_from(others))


def a_script(states: list[tuple[str, int, int]]) -> str:
    """A script of random states: (verb, where to, where else to). Only listening leads back."""
    lines = HEAD.copy()
    for at, (verb, first, second) in enumerate(states):
        on, back = (f"s{at + 1}" if at + 1 < len(states) else "goodbye"), f"s{first % len(states)}"
        lines += [f"  s{at}:", *BODIES[verb](on, back, "true" if second % 2 else "false")]
    return "\n".join(lines)


HEAD = """flow: random
version: 1
initial: s0
slots: {answer: text, n: {kind: number, contact: true}}
global:
  identify: This is a machine of Acme. Press nine to stop.
  stop: {redirect: opted_out}
  human: {redirect: desk}
  machine: {redirect: hang_up}
  exhausted: {redirect: desk}
  turns: 5
states:
  goodbye: {say: Goodbye., hangup: completed}
  opted_out: {say: Never again., hangup: opted_out}
  hang_up: {hangup: machine}
  desk:
    enqueue: {reason: any}
    on: {event: {failed: {redirect: goodbye}}}""".splitlines()
LADDERS = "nomatch: {1: {reprompt: true}, 2: {redirect: %s}}, noinput: {1: {say: Hm.}, 3: {redirect: %s}}"
BODIES = {
    "ask": lambda on, back, flag: [
        "    say: What now?",
        f"    listen: {{rule: yes_no, slot: answer, bargein: {'dtmf' if flag == 'true' else 'speech'}}}",
        f"    on: {{match: {{yes: {{redirect: {back}}},",
        f"         no: [{{when: {{answer: {flag}}}, redirect: {on}}}, {{say: Oh.}}]}},",
        f"         dtmf: {{1: yes, 0: human}}, {LADDERS % (on, on)}}}",
    ],
    "go": lambda on, back, flag: [*(["    say: Go."] if flag == "true" else []), f"    redirect: {on}"],
    "fetch": lambda on, back, flag: [
        *(["    say: Wait."] if flag == "true" else []),
        "    fetch: {url: 'http://api/{n}', slots: {answer: account.due}}",
        f"    on: {{event: {{fetched: {{redirect: {on}}}, failed: {{redirect: {on}}}}}}}",
    ],
    "enqueue": lambda on, back, flag: [
        "    enqueue: {reason: any}",
        f"    on: {{event: {{failed: {{redirect: {on}}}}}}}",
    ],
}
STATES = st.lists(
    st.tuples(st.sampled_from(sorted(BODIES)), st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6
)
ANY_SCRIPT = st.sampled_from(SCRIPTS) | STATES.map(lambda states: load(a_script([*states, ("ask", 0, 0)])))


def begun(script: Script) -> Conversation:
    return Conversation(script, ConversationState.new(script, CONTACT | {"n": "7"}))


@always
@given(st.data())
def test_no_input_raises_and_something_is_always_awaited_or_the_call_has_ended(data: st.DataObject) -> None:
    script = data.draw(ANY_SCRIPT)
    talk = begun(script)
    for given_ in data.draw(st.lists(inputs(script), max_size=40)):
        before = talk.state
        effects = talk.step(given_)
        assert effects or talk.state.n_turns == before.n_turns, "a turn has an effect"
        assert talk.pending() or talk.state.phase in (TalkPhase.NEW, TalkPhase.WITH_AGENT)
        assert not (before.phase is TalkPhase.ENDED and effects), "what has ended stays ended"


@always
@given(st.data())
def test_whatever_is_answered_the_call_ends_within_its_turns(data: st.DataObject) -> None:
    script = data.draw(ANY_SCRIPT)
    talk, steps = begun(script), 0
    while talk.state.phase is not TalkPhase.ENDED:
        assert (steps := steps + 1) <= (script.turns + 2) * (2 * len(script.states) + 4)
        talk.step(data.draw(fitting(talk, script)))
    assert talk.state.n_turns <= script.turns + 1
    assert talk.state.disposition


@always
@given(st.data())
def test_a_conversation_resumed_from_its_record_goes_on_exactly_as_it_would_have(data: st.DataObject) -> None:
    script = data.draw(ANY_SCRIPT)
    talk = begun(script)
    for given_ in data.draw(st.lists(inputs(script) | fitting(talk, script), max_size=25)):
        record = json.loads(json.dumps(msgspec.to_builtins(talk.state)))
        resumed = Conversation(script, msgspec.convert(record, ConversationState))
        assert resumed.pending() == talk.pending()
        assert resumed.step(given_) == talk.step(given_)
        assert resumed.state == talk.state


@always
@given(st.data())
def test_the_opt_out_is_always_one_word_or_one_key_away(data: st.DataObject) -> None:
    script = data.draw(ANY_SCRIPT)
    talk = begun(script)
    talk.step(Begin())
    for _ in range(data.draw(st.integers(0, 15))):
        if talk.state.phase is not TalkPhase.ENDED:
            talk.step(data.draw(fitting(talk, script)))
    if talk.state.phase in (TalkPhase.LISTENING, TalkPhase.SPEAKING, TalkPhase.FETCHING) and not talk.state.disposition:
        word = [intent("stop")] if talk.state.phase is TalkPhase.LISTENING else []
        assert talk.step(data.draw(st.sampled_from([Pressed("9"), *word])))[0] == OptOut()
        while talk.state.phase is not TalkPhase.ENDED:
            assert talk.step(PromptEnded())
        assert talk.state.disposition == "opted_out"


@always
@given(st.data())
def test_nobody_is_put_on_the_list_for_what_was_perhaps_said_once(data: st.DataObject) -> None:
    script = data.draw(ANY_SCRIPT)
    talk = begun(script)
    for given_ in data.draw(st.lists(inputs(script) | fitting(talk, script), max_size=25)):
        before = talk.state
        is_listed = OptOut() in talk.step(given_)
        if is_listed and before.doubt is None and before.n_turns + 1 < script.turns and "stop" in script.confirm:
            assert given_ == Pressed("9") or (isinstance(given_, Understood) and given_.confidence >= 0.8)
