"""What a script may be.

Each file in `wrong_scripts/` is refused for the reasons that stand behind its lines, as `# <- why`, and for no others.
"""

import re
import time
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import grammars
from grammars import Reason, ScriptError, load
from grammars.rules.compile import compile_rule
from grammars.rules.spec import RuleSpec
from grammars.script_model import OPT_OUT_KEY, Gather, Hangup
from grammars.tables import table
from protocols.wire.messages import Part

WRONG = sorted((Path(__file__).parent / "wrong_scripts").glob("*.yaml"))
SHIPPED = sorted(p for p in (Path(grammars.__file__).parent / "scripts").glob("*.yaml") if "cases" not in p.name)
HELLO = next(path for path in SHIPPED if path.stem == "hello").read_text()


def marked(text: str) -> tuple[Reason, ...]:
    """The reasons a wrong script carries behind its lines."""
    lines = enumerate(text.splitlines(), start=1)
    return tuple(sorted(Reason(n, why.strip()) for n, line in lines for why in line.split("# <-")[1:]))


BOMBS = {
    "open lists": "[" * 50_000,
    "open tables": "{a: " * 20_000,
    "lists in lists, in blocks": "- " * 30_000 + "a",
    "tables in tables, by indent": "\n".join(" " * n + "a:" for n in range(400)),
    "keys of keys": "? " * 40_000,
    "ten times ten times ten": "a: &a [x]\n"
    + "".join(f"{b}: &{b} [{('*' + a + ', ') * 10}]\n" for a, b in pairwise("abcdefghij")),
    "one long word": "a" * 100_001,
    "a word of many parts": "a: 'b\n" + "  c\n" * 24_000 + "'",
    "many wrong fields": "\n".join(f"x{n}: 1" for n in range(8_000)),
    "a phrase that stands for many": HELLO.replace(
        "rule: yes_no",
        "rule: {choices: {options: {yes: [" + ", ".join(["'" + "[a] " * 9 + "b'"] * 900) + "], no: ['c']}}}",
    ),
    "a choice of many": HELLO.replace(
        "stop: {redirect: opted_out}",
        "stop: [" + "{when: {name: 'a'}, redirect: opted_out}, " * 1500 + "{redirect: opted_out}]",
    ),
}


def reasons_of(text: str) -> tuple[Reason, ...]:
    """Why a text is refused; nothing when it is a script."""
    try:
        load(text)
    except ScriptError as refused:
        return refused.reasons
    return ()


@pytest.mark.parametrize("path", WRONG, ids=[path.stem for path in WRONG])
def test_a_wrong_script_is_refused_with_every_reason_and_its_line(path: Path) -> None:
    text = path.read_text()
    with pytest.raises(ScriptError) as refused:
        load(text, lambda word: word != "xqzt")
    assert marked(text), "a wrong script says what is wrong with it"
    assert refused.value.reasons == marked(text)


@pytest.mark.parametrize("kind", BOMBS)
def test_a_text_that_is_made_to_hold_its_reader_is_refused_in_seconds_and_few_words(kind: str) -> None:
    before = time.thread_time()
    with pytest.raises(ScriptError) as refused:
        load(BOMBS[kind])
    assert time.thread_time() - before < 5.0  # half of what a checking process is given
    assert len(str(refused.value)) < 40_000


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_a_shipped_script_is_accepted_and_named_like_its_file(path: Path) -> None:
    script = load(path.read_text())
    assert script.flow == path.stem
    assert path.with_suffix(".cases.yaml").exists()


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_in_every_state_that_listens_the_callee_can_opt_out_and_ask_who_is_calling(path: Path) -> None:
    script = load(path.read_text())
    for state in script.states.values():
        if isinstance(state.verb, Gather):
            assert {"stop", "who", "repeat"} <= set(script.heard_in(state.verb)) <= set(script.rules)


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_the_first_sentence_of_a_shipped_script_is_short_and_the_first_words_are_few(path: Path) -> None:
    slots = {"name": "Alex", "clinic": "Elm Street Clinic", "company": "Acme"}
    first, *more = load(path.read_text()).identify.prompts(slots)
    words = [len("".join(part.text for part in prompt).split()) for prompt in (first, *more)]
    assert words[0] <= 2
    assert sum(words) <= 22  # nine seconds


@pytest.mark.parametrize(
    ("language", "identify"),
    [("en", "This is an AI, calling on behalf of the county court. Say stop, and we will not call again.")],
)
def test_a_script_may_say_it_in_its_own_language(language: str, identify: str) -> None:
    text = HELLO.replace("version: 1", f"version: 1\nlanguage: {language}").replace(
        "slots:", "slots:\n  company: {kind: text, contact: true}"
    )
    lines = [f"  identify: {identify}" if line.startswith("  identify") else line for line in text.splitlines()]
    assert load("\n".join(lines)).language == language


def test_the_opt_out_may_be_in_the_first_question_but_not_in_the_second() -> None:
    text = HELLO.replace(" Press nine to get no more calls.", "")
    assert not reasons_of(text.replace("hear me well?", "hear me well? Press nine to get no more calls."))
    assert reasons_of(text.replace("So can I.", "So can I. Press nine to get no more calls."))


@pytest.mark.parametrize("phrase", [row[1] for row in table("grammars.lang.en", "law") if row[0] == "opt_out"])
def test_what_the_callee_is_told_to_do_really_opts_out(phrase: str) -> None:
    """A table that lets a script promise a word that nobody hears would be worse than none."""
    how, _, what = phrase.replace("pressing", "press").replace("saying", "say").partition(" ")
    if how == "press":
        assert {"nine": "9"}.get(what, what) == OPT_OUT_KEY
    else:
        assert compile_rule(RuleSpec("stop"), date(2026, 3, 2)).read(what)


def test_together_the_shipped_scripts_ask_every_kind_of_answer() -> None:
    asked = {spec.name for path in SHIPPED for spec in load(path.read_text()).rules.values()}
    assert asked >= {"yes_no", "digits", "number", "ordinal", "date", "time", "money", "phone", "choices"}


# ---- the text -----------------------------------------------------------------------------------------------------


def test_any_change_of_what_is_done_or_said_is_another_script() -> None:
    assert load(HELLO).hash == load(HELLO).hash != load(HELLO.replace("Wonderful", "Good")).hash
    assert re.fullmatch("[0-9a-f]{32}", load(HELLO).hash)


def test_yes_no_and_on_are_words_and_not_yaml_booleans() -> None:
    gather = load(HELLO).states["hello"].verb
    assert isinstance(gather, Gather)
    assert set(gather.match) == {"yes", "no"}
    assert gather.dtmf == {"1": "yes", "2": "no"}


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_a_script_or_is_refused(text: str) -> None:
    with pytest.raises(ScriptError) as refused:
        load(text)
    assert refused.value.reasons


@settings(deadline=None)
@given(st.data())
def test_a_script_with_lines_lost_doubled_or_moved_loads_or_is_refused_within_its_lines(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(SHIPPED)).read_text().splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        at, to = data.draw(st.integers(0, len(lines) - 1)), data.draw(st.integers(0, len(lines) - 1))
        lines[at : at + 1] = data.draw(st.sampled_from([[], [lines[at]] * 2, [lines[to]], ["  " + lines[at]]]))
    assert all(1 <= reason.line <= len(lines) + 1 for reason in reasons_of("\n".join(lines)))


@pytest.mark.parametrize(
    "text", ["[" * 5000, "{a: " * 5000, "&a [*a]", "a: 1\n---\nb: 2", "? [a]\n: b", "\x00", "%YAML 3.0"]
)
def test_hostile_yaml_is_refused(text: str) -> None:
    with pytest.raises(ScriptError):
        load(text)


def test_a_script_has_a_bounded_number_of_states() -> None:
    chain = "".join(f"  s{n}: {{redirect: s{n + 1}}}\n" for n in range(250)) + "  s250: {redirect: goodbye}\n"
    with pytest.raises(ScriptError, match="200 states at most"):
        load(HELLO.replace("redirect: well", "redirect: s0") + chain)


def test_a_slot_may_be_said_where_a_condition_has_made_sure_of_it() -> None:
    slots = HELLO.replace("slots:\n", "slots:\n  nick: text\n")
    said = slots.replace(
        "        no: {redirect: badly}", "        no: [{when: {nick: %s}, say: '{nick}.'}, {redirect: badly}]"
    )
    assert load(said % "true")
    assert load(said % "[Bob, Bo]")
    assert reasons_of(said % "false") == (Reason(30, "slot 'nick' may have no value yet when this is said"),)


# ---- prompts ------------------------------------------------------------------------------------------------------


def test_a_prompt_is_cut_into_sentences_and_its_slots_become_parts_of_their_kind() -> None:
    script = load(HELLO.replace("Can you hear me well?", "Mr. {name}, it is {name:digits}. Can you hear me?"))
    assert script.states["hello"].say.prompts({"name": "42"}) == (
        (Part("Mr. "), Part("42", "text"), Part(", it is "), Part("42", "digits"), Part(".")),
        (Part("Can you hear me?"),),
    )


def test_sentences_without_slots_are_known_before_the_first_call_and_the_others_when_their_slots_are() -> None:
    script = load(HELLO)
    greeting = (Part("Hello "), Part("Ann", "text"), Part("."))
    assert (Part("Thank you, and goodbye."),) in script.prompts
    assert greeting not in script.prompts
    assert greeting in script.speakable({"name": "Ann"})


def test_a_contact_without_a_column_or_with_a_wrong_one_is_told_before_the_call() -> None:
    script = load(next(p for p in SHIPPED if p.stem == "appointment_reminder").read_text())
    good = {"name": "Ann", "clinic": "Elm Street", "date": "2026-03-03", "time": "15:30", "unknown": "x"}
    assert script.problems(good) == ()
    assert script.problems({**good, "date": "tomorrow"}) == ("date is no date",)
    assert script.problems({**good, "date": "2026-02-30"}) == ("date is no date",)
    assert script.problems({**good, "name": "王 José"}) == ("name: no voice here can say '王'",)
    assert script.problems({"name": "Ann", "clinic": "Elm"}) == ("date is missing", "time is missing")
    assert script.initial_slots(good) == {k: v for k, v in good.items() if k != "unknown"}


def test_a_script_that_only_hangs_up_on_machines_waits_for_no_beep() -> None:
    by_name = {path.stem: load(path.read_text()) for path in SHIPPED}
    assert by_name["appointment_reminder"].leaves_message
    assert not by_name["hello"].leaves_message
    assert isinstance(by_name["hello"].states["hang_up"].verb, Hangup)
