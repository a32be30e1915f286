"""The conversation machine: what it does with each thing that can happen, and what is always true of it."""

from dataclasses import replace
from pathlib import Path

import pytest

import grammars
from grammars import Conversation, ConversationState, TalkPhase, WrongScript, load
from grammars.conversation_state import (
    Begin,
    Effect,
    Enqueue,
    Entered,
    Fetch,
    Fetched,
    FetchFailed,
    Filled,
    HangUp,
    HungUp,
    Input,
    OptOut,
    Say,
    Tag,
)
from grammars.doubt import LEAST, SURE, USUAL
from grammars.rules.spec import INTENTS
from protocols.amd import MessageMayStart
from protocols.floor import Bargein, Listen, NotUnderstood, Pressed, PromptEnded, Silence, Understood
from protocols.handover import HandoverDone, HandoverFailed
from protocols.wire.messages import Meaning, Part

SHIPPED = Path(grammars.__file__).parent / "scripts"
SCRIPTS = {path.stem: load(path.read_text()) for path in sorted(SHIPPED.glob("*.yaml")) if "cases" not in path.name}
CONTACT = {
    "name": "Ann", "clinic": "Elm", "company": "Acme", "account": "1234", "date": "2026-03-03", "time": "15:30",
}  # fmt: skip
YES = Understood(Meaning("yes_no", "yes", {"value": "yes"}), "yes")
NO = Understood(Meaning("yes_no", "no", {"value": "no"}), "no")
ACCOUNT = Fetched({"account": {"balance": 42.5, "due": "2026-02-15"}})


def intent(name: str) -> Understood:
    return Understood(Meaning(name, name), name)


def a_call(flow: str) -> Conversation:
    script = SCRIPTS[flow]
    return Conversation(script, ConversationState.new(script, CONTACT))


def asked(flow: str, *inputs: Input) -> Conversation:
    """A call whose first question is open, and then these inputs, each prompt played to its end."""
    talk = a_call(flow)
    for given_ in (Begin(), *inputs):
        talk.step(given_)
        while talk.state.playing:
            talk.step(PromptEnded())
    return talk


def spoken(effects: list[Effect]) -> str:
    return " ".join("".join(part.text for part in p) for e in effects if isinstance(e, Say) for p in e.prompts)


# ---- the beginning ------------------------------------------------------------------------------------------------


def test_the_first_words_say_who_calls_and_nothing_can_interrupt_them() -> None:
    talk = a_call("hello")
    assert talk.step(Begin()) == [
        Say(
            (
                (Part("Hello "), Part("Ann", "text"), Part(".")),
                (Part("This is Ringmaster, an automated caller."),),
                (Part("Press nine to get no more calls."),),
            )
        )
    ]
    assert talk.step(YES) == [], "nobody listens yet"


def test_the_question_follows_the_identification_and_is_open_while_it_is_asked() -> None:
    talk = a_call("hello")
    talk.step(Begin())
    entered, say, listen = talk.step(PromptEnded())
    assert entered == Entered("hello")
    assert say == Say(((Part("Can you hear me well?"),),), Bargein.GRAMMAR)
    assert listen == Listen(0, ("yes_no", "repeat", "stop", "who", "wait", "unsure"), Bargein.GRAMMAR, 5.0, 15.0)


def test_a_question_says_how_long_who_answers_it_may_pause() -> None:
    waits = "listen: {rule: yes_no, timeouts: {complete_s: 0.9, incomplete_s: 2}}"
    script = load((SHIPPED / "hello.yaml").read_text().replace("listen: {rule: yes_no}", waits))
    talk = Conversation(script, ConversationState.new(script, CONTACT))
    talk.step(Begin())
    *_, listen = talk.step(PromptEnded())
    assert isinstance(listen, Listen)
    assert (listen.complete_s, listen.incomplete_s) == (0.9, 2.0)


def test_where_nobody_may_interrupt_the_question_opens_after_it() -> None:
    talk = a_call("payment_reminder")
    talk.step(Begin())
    assert [type(effect) for effect in talk.step(PromptEnded())] == [Entered, Say]
    assert talk.state.phase is TalkPhase.SPEAKING
    assert [type(effect) for effect in talk.step(PromptEnded())] == [Listen]


def test_a_second_begin_changes_nothing() -> None:
    talk = asked("hello")
    before = talk.state
    assert talk.step(Begin()) == []
    assert talk.state == before


# ---- answers ------------------------------------------------------------------------------------------------------


def test_an_answer_fills_its_slot_and_takes_its_branch() -> None:
    talk = asked("survey", YES, Understood(Meaning("digits:which_order", "digits", {"value": "1942"}), "one nine"))
    assert talk.state.slots["order"] == "1942"
    assert talk.step(NO)[:2] == [Filled("on_time", "no"), Entered("score")]


def test_an_answer_that_does_not_fit_its_slot_was_not_understood() -> None:
    talk = asked("survey", YES)
    effects = talk.step(Understood(Meaning("digits:which_order", "digits", {"value": "nonsense"}), "nonsense"))
    assert spoken(effects) == "Please say four digits, one after the other."
    assert talk.state.turns[-2].intent == "nomatch"


def test_a_meaning_of_a_rule_that_was_not_asked_for_was_not_understood() -> None:
    talk = asked("survey")
    assert spoken(talk.step(Understood(Meaning("date", "date", {"value": "2026-03-03"}), "today"))).startswith("Sorry")


def test_a_key_stands_for_an_answer() -> None:
    talk = asked("survey", Pressed("1"))
    assert talk.state.state == "which_order"


def test_words_before_the_next_question_are_said_in_one_breath() -> None:
    talk = asked("hello")
    assert spoken(talk.step(YES)) == "Wonderful. So can I. Thank you, and goodbye."
    assert talk.step(PromptEnded()) == [HangUp("completed")]


def test_a_condition_on_a_slot_chooses_the_action() -> None:
    order = Understood(Meaning("digits:which_order", "digits", {"value": "1942"}), "")
    at_score = asked("survey", YES, order, YES)
    score = Understood(Meaning("number:score", "number", {"value": "2"}), "two")
    assert Tag("unhappy") in at_score.step(score)
    assert at_score.state.state == "talk"


# ---- silence, misunderstanding, repetition ------------------------------------------------------------------------


def test_silence_climbs_its_ladder_and_then_leaves() -> None:
    talk = asked("hello")
    assert spoken(talk.step(Silence())) == "I did not hear you. Can you hear me well?"
    assert spoken(talk.step(Silence())) == "Thank you, and goodbye."


def test_silence_and_misunderstanding_climb_apart_and_begin_anew_in_the_next_state() -> None:
    talk = asked("survey", Silence(), NotUnderstood("um"))
    assert (talk.state.silences, talk.state.misses) == (1, 1)
    talk.step(YES)
    assert (talk.state.silences, talk.state.misses) == (0, 0)


def test_repeat_says_the_question_again_with_the_same_words() -> None:
    talk = asked("payment_reminder", YES, ACCOUNT)
    question = talk.state.prompt
    effects = talk.step(intent("repeat"))
    assert effects[0] == Say(question, Bargein.GRAMMAR)
    assert isinstance(effects[1], Listen)


def test_who_is_calling_is_answered_with_the_identification_and_the_question() -> None:
    talk = asked("hello")
    assert (
        spoken(talk.step(intent("who")))
        == "Hello Ann. This is Ringmaster, an automated caller. Press nine to get no more calls. Can you hear me well?"
    )


def test_who_asks_us_to_wait_has_half_a_minute_and_may_speak_to_others_meanwhile() -> None:
    talk = asked("hello")
    effects = talk.step(intent("wait"))
    assert spoken(effects) == "Of course."
    assert [listen.noinput_s for listen in effects if isinstance(listen, Listen)] == [30.0]
    for _ in range(3):
        assert [type(effect) for effect in talk.step(NotUnderstood("honey"))] == [Listen], "it is not for us"
    assert talk.state.misses == 0
    assert spoken(talk.step(YES)) == "Wonderful. So can I. Thank you, and goodbye."


@pytest.mark.parametrize(
    ("given_", "said"),
    [(Silence(), "I did not hear you. Can you hear me well?"), (Pressed("5"), "Sorry Can you hear me well?")],
)
def test_after_that_silence_and_keys_are_what_they_were(given_: Input, said: str) -> None:
    talk = asked("hello", intent("wait"))
    effects = talk.step(given_)
    assert spoken(effects) == said
    assert [listen.noinput_s for listen in effects if isinstance(listen, Listen)] == [5.0]


def test_who_is_unsure_has_not_answered_unless_the_script_says_what_then() -> None:
    talk = asked("hello")
    assert spoken(talk.step(intent("unsure"))) == "Sorry Can you hear me well?"
    text = (SHIPPED / "hello.yaml").read_text().replace("global:\n", "global:\n  unsure: {redirect: badly}\n")
    script = load(text)
    talk = Conversation(script, ConversationState.new(script, CONTACT))
    for given_ in (Begin(), PromptEnded()):
        talk.step(given_)
    assert Entered("badly") in talk.step(intent("unsure"))


def test_each_question_has_a_turn_number_of_its_own() -> None:
    talk = asked("survey")
    numbers = [e.turn for i in (Silence(), YES, intent("repeat")) for e in talk.step(i) if isinstance(e, Listen)]
    assert numbers == [1, 2, 3]


# ---- leaving ------------------------------------------------------------------------------------------------------


def test_opting_out_is_written_down_before_the_goodbye() -> None:
    talk = asked("payment_reminder", YES, ACCOUNT)
    assert [type(effect) for effect in talk.step(intent("stop"))] == [OptOut, Entered, Say]
    assert talk.step(PromptEnded()) == [HangUp("opted_out")]


@pytest.mark.parametrize("phase", [TalkPhase.IDENTIFYING, TalkPhase.SPEAKING, TalkPhase.LISTENING, TalkPhase.FETCHING])
def test_nine_opts_out_whatever_the_bot_is_doing(phase: TalkPhase) -> None:
    talk = a_call("payment_reminder")
    way: list[Input] = [Begin(), PromptEnded(), PromptEnded(), YES]
    while talk.state.phase is not phase:
        talk.step(way.pop(0))
    assert talk.step(Pressed("9"))[0] == OptOut()


def test_a_callee_who_hangs_up_during_the_goodbye_has_opted_out_all_the_same() -> None:
    talk = asked("hello")
    talk.step(intent("stop"))
    assert talk.step(HungUp()) == []
    assert talk.state.disposition == "opted_out"


def test_an_answer_after_the_goodbye_has_begun_is_too_late_but_nine_is_not() -> None:
    talk = asked("hello")
    talk.step(NO)
    assert talk.step(YES) == []
    assert talk.step(Pressed("9"))[0] == OptOut()
    talk.step(PromptEnded())
    assert talk.state.disposition == "opted_out"


def test_a_promise_to_call_again_is_a_tag() -> None:
    talk = asked("appointment_reminder")
    assert Tag("callback") in talk.step(intent("busy"))


def test_a_call_without_end_is_ended_by_its_number_of_turns() -> None:
    talk = asked("hello", *[intent("repeat")] * 29)
    assert talk.state.phase is TalkPhase.LISTENING
    assert spoken(talk.step(intent("repeat"))) == "Thank you, and goodbye."
    assert talk.step(PromptEnded()) == [HangUp("completed")]


# ---- what was perhaps said ----------------------------------------------------------------------------------------

PERHAPS_STOP = Understood(Meaning("stop", "stop"), "stop", confidence=0.79)
ASKS_STOP = "Do you want us to stop calling you?"
ORDER_SURE = (SHIPPED / "survey.yaml").read_text().replace("slot: order\n", "slot: order\n      confirm: 0.5\n")


def order(value: str, confidence: float) -> Understood:
    return Understood(Meaning("digits:which_order", "digits", {"value": value}), "", confidence)


def a_survey() -> Conversation:
    """The order is asked for, and asked about when it was heard badly."""
    script = load(ORDER_SURE)
    talk = Conversation(script, ConversationState.new(script, CONTACT))
    for given_ in (Begin(), PromptEnded(), PromptEnded(), YES, PromptEnded()):
        talk.step(given_)
    return talk


def test_who_has_perhaps_said_stop_is_asked_and_their_yes_opts_them_out() -> None:
    talk = asked("payment_reminder", YES, ACCOUNT)
    effects = talk.step(PERHAPS_STOP)
    assert spoken(effects) == ASKS_STOP
    assert [listen.rules[0] for listen in effects if isinstance(listen, Listen)] == ["yes_no"]
    assert talk.pending()[-1] == effects[-1], "whoever goes on with the call waits for the same answer"
    assert talk.step(YES)[0] == OptOut()
    assert talk.state.disposition == "opted_out"


def test_their_no_brings_the_question_again_and_nobody_is_on_a_list() -> None:
    talk = asked("hello", PERHAPS_STOP)
    assert spoken(talk.step(NO)) == "Can you hear me well?"
    assert talk.step(HungUp()) == []
    assert talk.state.disposition == "human"


@pytest.mark.parametrize("given_", [PERHAPS_STOP, Pressed("9"), HungUp()], ids=["says it again", "nine", "hangs up"])
def test_so_does_whoever_then_does_this(given_: Input) -> None:
    talk = asked("hello", PERHAPS_STOP)
    assert talk.step(given_)[0] == OptOut()
    assert talk.state.disposition == "opted_out"


@pytest.mark.parametrize("given_", [Silence(), NotUnderstood("um"), intent("repeat"), MessageMayStart()], ids=str)
def test_whoever_answers_something_else_has_not_opted_out(given_: Input) -> None:
    talk = asked("hello", PERHAPS_STOP)
    assert OptOut() not in talk.step(given_)
    assert OptOut() not in talk.step(HungUp())


def test_who_asks_us_to_wait_before_they_say_whether_they_meant_it_may_say_it_then() -> None:
    talk = asked("hello", PERHAPS_STOP, intent("wait"), NotUnderstood("honey"))
    assert [type(one) for one in talk.pending()] == [Listen]
    assert talk.step(YES)[0] == OptOut()


def test_a_wrong_number_is_asked_about_too_and_a_wish_that_costs_nothing_is_not() -> None:
    talk = asked("appointment_reminder")
    assert spoken(talk.step(Understood(Meaning("wrong_number", "wrong_number"), "", 0.5))) == (
        "Have I reached the wrong person?"
    )
    assert Entered("call_again") in talk.step(Understood(Meaning("busy", "busy"), "", 0.3))


@pytest.mark.parametrize("wish", [wish for wish in INTENTS if wish not in SURE])
def test_a_wish_that_was_hardly_said_is_none(wish: str) -> None:
    talk = asked("appointment_reminder")
    talk.step(Understood(Meaning(wish, wish), "", LEAST - 0.01))
    assert talk.state.turns[-2].intent == "nomatch"
    assert not talk.state.is_patient


def test_an_answer_is_read_back_where_its_question_wants_to_be_sure() -> None:
    talk = a_survey()
    assert spoken(talk.step(order("4271", 0.4))) == "Did you say 4271?"
    assert talk.step(YES)[0] == Filled("order", "4271")


def test_whoever_is_asked_about_an_answer_may_say_the_right_one_at_once() -> None:
    talk = a_survey()
    talk.step(order("4271", 0.4))
    assert talk.step(order("4279", 0.6))[0] == Filled("order", "4279")
    assert a_survey().step(order("4271", 0.5))[0] == Filled("order", "4271"), "sure enough"


def test_a_question_that_says_nothing_of_it_asks_about_what_is_unusually_unsure_for_its_rule() -> None:
    script = load((SHIPPED / "survey.yaml").read_text())
    talk = Conversation(script, ConversationState.new(script, CONTACT))
    for given_ in (Begin(), PromptEnded(), PromptEnded(), YES, PromptEnded()):
        talk.step(given_)
    assert spoken(talk.step(order("4271", USUAL["digits"] - 0.01))) == "Did you say 4271?"
    assert talk.step(order("4279", USUAL["digits"]))[0] == Filled("order", "4279")


def test_said_twice_it_is_meant_however_badly_it_is_heard() -> None:
    talk = a_survey()
    talk.step(order("4271", 0.4))
    assert talk.step(order("4271", 0.2))[0] == Filled("order", "4271")


def test_with_no_turn_left_to_ask_a_doubtful_stop_is_a_stop() -> None:
    talk = asked("hello", *[intent("repeat")] * 29)
    assert talk.step(PERHAPS_STOP)[0] == OptOut()


def test_a_script_asks_in_its_own_words_and_without_any_takes_it_as_it_was_heard() -> None:
    text = (SHIPPED / "hello.yaml").read_text()
    own = load(text.replace("global:\n", "global:\n  confirm: {stop: 'Never again?'}\n"))
    for script, then in ((own, "Never again?"), (replace(own, confirm={}), "All right.")):
        talk = Conversation(script, ConversationState.new(script, CONTACT))
        for given_ in (Begin(), PromptEnded()):
            talk.step(given_)
        assert spoken(talk.step(PERHAPS_STOP)).startswith(then)


# ---- machines -----------------------------------------------------------------------------------------------------


def test_a_machine_hears_who_called_and_the_message() -> None:
    talk = a_call("appointment_reminder")
    assert spoken(talk.step(MessageMayStart())).startswith("Hello. This is the automated assistant of Elm")
    assert spoken(talk.step(PromptEnded())).startswith("This is a reminder")
    assert talk.step(PromptEnded()) == [HangUp("machine")]


def test_a_machine_that_is_recognised_late_is_a_machine_all_the_same() -> None:
    talk = asked("hello", Silence())
    assert talk.step(MessageMayStart()) == [Entered("hang_up"), HangUp("machine")]


def test_there_is_one_message() -> None:
    talk = a_call("appointment_reminder")
    talk.step(MessageMayStart())
    assert talk.step(MessageMayStart()) == []


# ---- business APIs ------------------------------------------------------------------------------------------------


def test_values_are_quoted_into_the_address_and_written_into_the_body() -> None:
    text = (Path(grammars.__file__).parent / "scripts" / "payment_reminder.yaml").read_text()
    text = text.replace("      timeout_s: 2\n", "      method: POST\n      body: {who: '{name} ({account})'}\n")
    script = load(text.replace("account: {kind: digits", "account: {kind: text"))
    talk = Conversation(script, ConversationState.new(script, CONTACT | {"account": "a/../b c"}))
    for given_ in (Begin(), PromptEnded(), PromptEnded()):
        talk.step(given_)
    address = "http://127.0.0.1:8090/accounts/a%2F..%2Fb%20c"
    assert talk.step(YES)[-1] == Fetch(
        "POST", address, {"who": "Ann (a/../b c)"}, 3.0, state="look_up", turn=1,
        example={"account": {"balance": "42.50", "due": "2026-02-27"}},
    )  # fmt: skip


def test_who_goes_on_with_a_conversation_asks_the_same_of_the_same_turn() -> None:
    talk = asked("payment_reminder")
    wanted = next(effect for effect in talk.step(YES) if isinstance(effect, Fetch))
    assert wanted in Conversation(talk._script, talk.state).pending()


def test_an_answer_that_comes_while_the_bot_still_speaks_waits_for_the_end_of_the_prompt() -> None:
    talk = asked("payment_reminder")
    talk.step(YES)
    assert talk.step(ACCOUNT) == [Filled("balance", "42.5"), Filled("due", "2026-02-15")]
    assert Entered("ask") in talk.step(PromptEnded())


def test_a_second_answer_changes_nothing() -> None:
    talk = asked("payment_reminder")
    talk.step(YES)
    talk.step(ACCOUNT)
    assert talk.step(FetchFailed("late")) == []
    assert Entered("ask") in talk.step(PromptEnded())


def test_an_answer_that_comes_after_the_prompt_goes_on_at_once() -> None:
    talk = asked("payment_reminder", YES)
    assert Entered("ask") in talk.step(ACCOUNT)


@pytest.mark.parametrize(
    "reply",
    [
        FetchFailed("timeout"),
        Fetched(None),
        Fetched([]),
        Fetched({"account": {"balance": 42.5}}),
        Fetched({"account": {"balance": "lots", "due": "2026-02-15"}}),
        Fetched({"account": [{"balance": 1}]}),
    ],
)
def test_a_reply_without_the_wanted_values_takes_the_fallback(reply: Input) -> None:
    talk = asked("payment_reminder", YES)
    assert Entered("system_down") in talk.step(reply)
    assert "balance" not in talk.state.slots


# ---- agents -------------------------------------------------------------------------------------------------------


def test_asking_for_a_person_says_so_and_asks_for_one_at_the_same_time() -> None:
    talk = asked("payment_reminder", YES, ACCOUNT)
    entered, say, enqueue = talk.step(intent("human"))
    assert entered == Entered("desk")
    assert isinstance(say, Say)
    assert enqueue == Enqueue("billing", "wants to talk about a payment", "high")


def test_with_an_agent_the_conversation_is_quiet_and_the_call_is_transferred() -> None:
    talk = asked("survey", intent("human"), HandoverDone())
    assert talk.step(YES) == talk.step(Pressed("9")) == talk.step(Silence()) == []
    talk.step(HungUp())
    assert talk.state.disposition == "transferred"


@pytest.mark.parametrize("before", [[], [HandoverDone()]])
def test_a_failed_handover_comes_back_to_the_bot_with_an_apology(before: list[Input]) -> None:
    talk = asked("survey", intent("human"), *before)
    effects = talk.step(HandoverFailed("no_agent"))
    assert spoken(effects).startswith("I am sorry, nobody is free now.")
    assert isinstance(effects[-1], Listen)


def test_a_conversation_is_pinned_to_its_script() -> None:
    with pytest.raises(WrongScript):
        Conversation(SCRIPTS["hello"], ConversationState.new(SCRIPTS["survey"], CONTACT))
