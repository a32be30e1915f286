"""Moving through a script: from an action to the next state that waits, collecting words and effects on the way.

States that do not wait are walked through at once and their words are said in one breath; the script's checker has
seen to it that the walk ends (no way comes back to a state without listening) and that every slot it says has a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never
from urllib.parse import quote

from grammars import doubt
from grammars import script_model as model
from grammars.conversation_state import (
    ConversationState,
    Effect,
    Enqueue,
    Entered,
    Fetch,
    Filled,
    HangUp,
    Json,
    Say,
    Tag,
    TalkPhase,
    Turn,
)
from grammars.script_model import Action, Choice, Gather, Script, State, taken
from grammars.template import Prompt, in_language
from protocols.floor import Bargein, Listen
from protocols.replacing import replace

WAIT_S = 30.0
"""How long who has asked us to wait is waited for: as long as it takes to find a letter, or a calendar."""


class Walk:
    """One step of a conversation in the making: the state so far, and what is to be done."""

    def __init__(self, script: Script, state: ConversationState) -> None:
        self.script = script
        self.state = state
        self.effects: list[Effect] = []

    @property
    def verb(self) -> model.Verb | None:
        """What the script's state does; None before the first state."""
        here = self.script.states.get(self.state.state)
        return here.verb if here and self.state.phase not in (TalkPhase.NEW, TalkPhase.IDENTIFYING) else None

    def turn(self, turn: Turn, *, silences: int = 0, misses: int = 0) -> None:
        """Write down a turn of the callee, and how often in this state there was none or a useless one."""
        self.state = replace(
            self.state,
            n_turns=self.state.n_turns + 1,
            turns=(*self.state.turns, turn),
            silences=self.state.silences + silences,
            misses=self.state.misses + misses,
        )

    def fill(self, values: Mapping[str, str]) -> None:
        """Give slots their values."""
        self.state = replace(self.state, slots={**self.state.slots, **values})
        self.effects += [Filled(slot, value) for slot, value in values.items()]

    def act(self, choice: Choice) -> None:
        """Take the action that holds: say its words, then go where it leads or stay with the open question."""
        action = taken(choice, self.state.slots)
        self._tag(action.tag)
        said = action.say.prompts(self.state.slots)
        if action.redirect:
            self.enter(action.redirect, said)
        elif self.state.n_turns >= self.script.turns:
            self.act(self.script.exhausted)
        else:
            question = self._here().say.prompts(self.state.slots) if action.reprompt else ()
            self._ask((*said, *question))

    def wonder(self, turn: Turn, meant: doubt.Meant) -> bool:
        """Ask whether that was meant; False, and nothing is done, when there are no words or no turns left for it."""
        said = doubt.question(self.script, self.gather, meant)
        if not said or self.state.n_turns + 1 >= self.script.turns:
            return False
        self.turn(turn)
        self.state = replace(self.state, doubt=meant)
        self._ask(said)
        return True

    def identify(self, then: Action) -> None:
        """Say who calls, whole; what follows the identification waits for its end."""
        self._tag(then.tag)
        said = (*self.script.identify.prompts(self.state.slots), *then.say.prompts(self.state.slots))
        self.state = replace(self.state, phase=TalkPhase.IDENTIFYING, state=then.redirect, doubt=None)
        self._say(said, Bargein.OFF)
        if not said:
            self.enter(then.redirect)

    def enter(self, name: str, said: tuple[Prompt, ...] = ()) -> None:
        """Enter a state and do what it does; `said` is spoken before its own words, in the same breath."""
        state = self.script.states[name]
        if isinstance(state.verb, Gather) and self.state.n_turns >= self.script.turns:
            return self.act(self.script.exhausted)
        self.state = replace(self.state, state=name, silences=0, misses=0, event="", doubt=None, is_patient=False)
        self.effects.append(Entered(name))
        self._tag(state.tag)
        self._do(state.verb, (*said, *state.say.prompts(self.state.slots)))

    def _do(self, verb: model.Verb, said: tuple[Prompt, ...]) -> None:
        match verb:
            case model.Redirect(to=to):
                self.enter(to, said)
            case Gather():
                self._ask(said)
            case model.Fetch():
                self._wait(TalkPhase.FETCHING, said)
                self.effects.append(self.fetch(verb))
            case model.Enqueue():
                self._wait(TalkPhase.HANDING_OVER, said)
                self.effects.append(self.enqueue(verb))
            case model.Hangup(disposition=disposition):
                self._wait(TalkPhase.SPEAKING, said)
                self.state = replace(self.state, disposition=self.state.disposition or disposition)
                if not said:
                    self.end()
            case _:
                assert_never(verb)

    def end(self) -> None:
        """End the call."""
        self.state = replace(self.state, phase=TalkPhase.ENDED, playing=False)
        self.effects.append(HangUp(self.state.disposition))

    def _here(self) -> State:
        return self.script.states[self.state.state]

    def _ask(self, said: tuple[Prompt, ...]) -> None:
        """Open the question: at once where the callee may barge in, else after the prompt."""
        bargein = self.gather.bargein
        self._wait(TalkPhase.LISTENING, said)
        if said and not bargein.listens_while_playing:
            self.state = replace(self.state, phase=TalkPhase.SPEAKING)
        else:
            self.effects.append(self.listen())

    def _wait(self, phase: TalkPhase, said: tuple[Prompt, ...]) -> None:
        self.state = replace(self.state, phase=phase)
        self._say(said, self.bargein())

    def _say(self, said: tuple[Prompt, ...], bargein: Bargein) -> None:
        if not said:
            return
        said = in_language(said, self.script.language)
        text = " ".join("".join(part.text for part in prompt) for prompt in said)
        self.state = replace(self.state, playing=True, prompt=said, turns=(*self.state.turns, Turn("bot", text)))
        self.effects.append(Say(said, bargein))

    def _tag(self, tag: str) -> None:
        if tag and tag not in self.state.tags:
            self.state = replace(self.state, tags=(*self.state.tags, tag))
            self.effects.append(Tag(tag))

    # ---- effects that follow from the state alone -----------------------------------------------------------------

    @property
    def gather(self) -> Gather:
        """The open question; only where one is open."""
        verb = self._here().verb
        assert isinstance(verb, Gather), self.state.state
        return verb

    def bargein(self) -> Bargein:
        """What may interrupt the prompt of this state."""
        return self.verb.bargein if isinstance(self.verb, Gather) else Bargein.OFF

    def listen(self) -> Listen:
        """Return the effect that opens the question."""
        gather = self.gather
        rules = self.script.heard_in(gather)
        if self.state.doubt:
            rules = tuple(dict.fromkeys((doubt.YES_NO, *rules)))
        return Listen(
            self.state.n_turns,
            rules,
            gather.bargein,
            max(gather.noinput_s, WAIT_S if self.state.is_patient else 0.0),
            gather.speech_s,
            gather.complete_s,
            gather.incomplete_s,
        )

    def fetch(self, verb: model.Fetch) -> Fetch:
        """Return the effect that asks the business API; values are quoted into the address."""
        slots = self.state.slots
        url = verb.url.text(slots, lambda value: quote(value, safe=""))
        body = None if verb.body is None else {name: each.text(slots) for name, each in verb.body.items()}
        here = self.state
        return Fetch(verb.method, url, body, verb.timeout_s, here.state, here.n_turns, verb.repeats, _reply(verb))

    def enqueue(self, verb: model.Enqueue) -> Enqueue:
        """Return the effect that asks for an agent."""
        return Enqueue(verb.skill, verb.reason, verb.urgency)


def _reply(verb: model.Fetch) -> Json:
    """Return the reply that the script gives for an example, or None."""
    reply: dict[str, Json] = {}
    for slot, value in verb.example.items():
        *tables, last = verb.slots[slot].split(".")
        at = reply
        for name in tables:
            inner = at.setdefault(name, {})
            at = inner if isinstance(inner, dict) else {}
        at[last] = value
    return reply or None
