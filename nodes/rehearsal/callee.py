"""One callee in one call: rings, answers, listens, and answers the script's questions in its own manner.

What is asked it knows from the call's events, as a person knows it from hearing; when to speak it decides by its own
ear. What it says is drawn from the grammar of the question by the seed, so that what the bot has made of it can
be judged: `report` says what was said and meant, in order.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from grammars.lang import ENGLISH
from grammars.rules.backchannel import is_backchannel
from grammars.rules.spec import INTENTS
from grammars.script_model import OPT_OUT_KEY, Gather, Script
from nodes.audio import g711
from nodes.audio.tones import tone
from nodes.rehearsal.earpiece import Earpiece
from nodes.rehearsal.personas import Persona, persona_of
from nodes.rehearsal.repertoire import Repertoire
from nodes.rehearsal.voices import OTHER_VOICES, VOICES, speak
from protocols.machine import Address, Expired, Notify, Transmit
from protocols.sip import (
    Accept,
    Answered,
    Ended,
    Finished,
    HangUp,
    Invited,
    Listening,
    Local,
    MediaChanged,
    Received,
    Reject,
    Request,
    Response,
    Ring,
    Uas,
)  # fmt: skip
from protocols.wire.events import CallEvent, Kind

RING_S = 0.4
GREET_S = 0.5
THINK_S = 0.3
"""A person's own pause before an answer."""
REFUSES = 0.15
"""How often a cooperative callee says no."""
LOST_S = 4.0
"""After so long a silence of the bot a question is taken as asked, whatever the events say."""
SPOKE_S = 3.0
"""What stops a prompt was said at most so long ago: a word takes its time to be understood."""
TICK_S = 0.05
HEARD = (ENGLISH,)
"""Languages in which callees speak; in others they greet, and answer with keys."""
GREETINGS = {"zh": "喂，你好。"}
TO_AGENT = "hello i would like to talk to somebody about my order"


@dataclass(slots=True)
class Said:
    """One answer: the question's state, the words, what they mean, and when they began (wall clock)."""

    state: str
    words: str
    intent: str
    slots: dict[str, str]


@dataclass(slots=True)
class Report:
    """What this callee has lived through."""

    call_id: str
    persona: str
    user: str = ""
    """The name that was dialled."""
    answered: bool = False
    ended_by: str = ""
    cause: str = ""
    said: list[Said] = field(default_factory=list)
    pressed: list[tuple[str, str]] = field(default_factory=list)
    """State and key of each answer of a callee whose language nobody hears."""
    answers_ms: list[float] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)
    """When each of those answers began: monotonic seconds."""
    gaps: list[tuple[float, float]] = field(default_factory=list)
    """When a gap in the bot's stream was over (monotonic seconds), and its length in ms; the long ones only."""
    longest: list[tuple[float, float]] = field(default_factory=list)
    """The same of the longest gap in each second."""
    worst_gap_ms: float = 0.0
    at_once_ms: float = 0.0
    """The longest time in which two sources were heard at once."""
    cut_for_nothing: int = 0
    """Prompts that were stopped though we said nothing: the bot was interrupted by itself."""
    bot_voice_s: float = 0.0
    packets: int = 0
    first_packet_s: float = 0.0
    last_packet_s: float = 0.0
    ended_s: float = 0.0
    """Moments as above."""


class Callee:
    """One call at the callee's end."""

    def __init__(
        self,
        local: Local,
        script: Script,
        repertoire: Repertoire,
        seed: int,
        send: Callable[[bytes, Address], None],
        tasks: asyncio.TaskGroup,
        publish: Callable[[Report], None],
    ) -> None:
        self._publish = publish
        self._uas = Uas(local, os.urandom)
        self._script, self._repertoire, self._send, self._tasks = script, repertoire, send, tasks
        self._random = random.Random(seed)
        voices = OTHER_VOICES.get(script.language, VOICES)
        self._voice = voices[seed % len(voices)]
        self._earpiece = Earpiece(local.host)
        self._listening = Listening(local.host, self._earpiece.port)
        self._persona = Persona()
        self._state = ""
        self._asked_s = self._prompt_s = 0.0
        self._n_prompts = 0
        self._is_up = self._is_handed_over = False
        self.report = Report("", "")
        self.is_over = asyncio.Event()

    def received(self, message: Request | Response, source: Address) -> None:
        """A SIP message of this call."""
        if isinstance(message, Request) and message.is_new_invite and not self.report.persona:
            self.report.call_id = message.first("x-ringmaster-call")
        self._step(Received(message, source))

    def expired(self, now: float) -> None:
        """Look at the clock: retransmissions, and whether to say something."""
        if self._uas.deadline is not None and now >= self._uas.deadline:
            self._step(Expired())

    def event(self, event: CallEvent) -> None:
        """What the bot has told the world about this call: what it is asking."""
        match event.kind:
            case Kind.STATE_ENTERED:
                self._state = str(event.fields["state"])
            case Kind.PROMPT_STARTED:
                self._prompt_s, self._asked_s = time.monotonic(), 0.0
            case Kind.PROMPT_ENDED:
                self._n_prompts += 1
                self.report.cut_for_nothing += self._is_for_nothing(event)
                self._asked_s = time.monotonic() if self._prompt_s else 0.0  # unless answered while it was played
            case Kind.HANDOVER_STARTED:
                self._is_handed_over = True
            case Kind.HANDOVER_DONE:
                self._tasks.create_task(self._greet_agent())
            case _:
                pass

    def _is_for_nothing(self, ended: CallEvent) -> bool:
        """Say whether a prompt was stopped though neither we nor an agent has spoken."""
        is_quiet = self._is_up and self._earpiece.quiet_s > SPOKE_S
        return bool(ended.fields.get("is_cut")) and is_quiet and not self._is_handed_over

    async def _greet_agent(self) -> None:
        """Speak first, so that the agent hears us as soon as they can."""
        audio = await speak(TO_AGENT, self._voice)
        if self._is_up:
            self._earpiece.say(audio)

    # ---- the telephone ---------------------------------------------------------------------------------------------

    def _step(self, given: object) -> None:
        for effect in self._uas.step(given, time.monotonic()):  # type: ignore[arg-type]
            match effect:
                case Transmit(data=data, to=to) if to is not None:
                    self._send(data, to)
                case Notify(event=event):
                    self._happened(event)
                case _:
                    pass

    def _happened(self, event: object) -> None:
        match event:
            case Invited(target=target):
                user = target.partition(":")[2].partition("@")[0]
                self._persona, self.report.persona = persona_of(user), user.partition("-")[0]
                if self._persona.echo_db:
                    self._earpiece.returns(self._persona.echo_db, self._persona.echo_ms)
                self.report.user = user
                self._tasks.create_task(self._live())
            case Answered(media=media) | MediaChanged(media=media):
                self._earpiece.start((media.host, media.port), media.dtmf_type)
            case Ended(by=by, cause=cause):
                self.report.ended_by, self.report.cause = by.value, cause
                self._hang_up()
            case Finished():
                self.is_over.set()
            case _:
                pass

    def forsaken(self) -> None:
        """The rehearsal is over, and nobody has ever hung up: tell that."""
        if self.report.user and not self.report.ended_by:
            self.report.cause = "never_ended"
            self._hang_up()

    def _hang_up(self) -> None:
        """Put the earpiece down and tell what it was like; the leg may still have to repeat itself for a while."""
        self._is_up = False
        heard = self._earpiece.heard
        self.report.answers_ms = [round(ms, 1) for ms in heard.answers_ms]
        self.report.answered_s = [round(at, 3) for at in heard.answered_s]
        self.report.gaps = [(round(at, 3), round(ms, 1)) for at, ms in heard.gaps]
        self.report.longest = [(round(at, 3), round(ms, 1)) for at, ms in heard.longest]
        self.report.at_once_ms = round(heard.at_once_s * 1000, 1)
        self.report.worst_gap_ms, self.report.packets = round(heard.worst_gap_ms, 1), heard.packets
        self.report.bot_voice_s = round(heard.voice_s, 2)
        self.report.first_packet_s, self.report.last_packet_s = heard.first_packet_s, heard.last_packet_s
        self.report.ended_s = time.monotonic()
        self._earpiece.close()
        self._publish(self.report)

    # ---- the person ------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        persona = self._persona
        if persona.reject:
            return self._step(Reject(persona.reject))
        self._step(Ring())
        if not persona.picks_up:
            return
        await asyncio.sleep(RING_S + self._repertoire.hesitates_s(self._random))
        words = GREETINGS.get(self._script.language, persona.greeting) if persona.speaks else persona.greeting
        greeting = await speak(words, self._voice) if words else b""
        self._step(Accept(self._listening))
        self._is_up = self.report.answered = True
        await asyncio.sleep(GREET_S)
        self._earpiece.say(greeting)
        if persona.beep:
            self._earpiece.say(g711.encode(tone(1000.0, 400)))
        while self._is_up:
            await asyncio.sleep(TICK_S)
            await self._consider()

    async def _consider(self) -> None:
        """Say something if it is our turn, or hang up if we have had enough."""
        persona = self._persona
        if persona.hangs_up_after and self._n_prompts >= persona.hangs_up_after:
            return self._step(HangUp())
        if not persona.speaks or self._earpiece.is_speaking or not self._is_our_turn(time.monotonic()):
            return
        verb = self._script.states[self._state].verb if self._state in self._script.states else None
        if not isinstance(verb, Gather):
            return
        self._prompt_s = self._asked_s = 0.0
        if self._script.language not in HEARD:
            return self._press(verb)
        said = self._answer(verb)
        audio = await speak(said.words, self._voice)
        if self._is_up:
            self.report.said.append(said)
            self._earpiece.say(audio)

    def _is_our_turn(self, now: float) -> bool:
        if self._persona.barges_in_s and self._prompt_s:
            return now >= self._prompt_s + self._persona.barges_in_s
        if self._asked_s:
            return now >= self._asked_s + THINK_S
        quiet_since = self._earpiece.heard.last_voice_s
        return bool(self._prompt_s) and quiet_since > self._prompt_s and now >= quiet_since + LOST_S

    def _press(self, verb: Gather) -> None:
        """Answer with a key, as people do whose language the robot does not hear."""
        persona, has_pressed = self._persona, any(state == self._state for state, _ in self.report.pressed)
        meant = persona.intent if persona.intent and not has_pressed else ""
        if not meant and set(verb.dtmf.values()) >= {"yes", "no"}:
            is_no = not has_pressed and (persona.yes_no or ("no" if self._random.random() < REFUSES else "yes")) == "no"
            meant = "no" if is_no else "yes"
        answers = [key for key, each in verb.dtmf.items() if each not in INTENTS] or [*verb.dtmf]
        fitting = [OPT_OUT_KEY] if meant == "stop" else [key for key, each in verb.dtmf.items() if each == meant]
        key = self._random.choice(fitting or answers)
        self.report.pressed.append((self._state, key))
        self._earpiece.press(key)

    def _answer(self, verb: Gather) -> Said:
        persona, asked = self._persona, verb.rule
        if persona.intent and all(said.state == self._state for said in self.report.said):
            asked = persona.intent  # also when they are asked whether they mean it
        words, meaning = self._repertoire.answer(asked, self._random)
        if asked == "yes_no":
            wanted = persona.yes_no or ("no" if self._random.random() < REFUSES else "yes")
            if any(said.state == self._state and said.intent == "no" for said in self.report.said):
                wanted = "yes"  # nobody says no to the same question for ever
            while meaning.intent != wanted:
                words, meaning = self._repertoire.answer(asked, self._random)
        if persona.barges_in_s and is_backchannel(words):  # nobody interrupts with an "okay"
            words = self._repertoire.plainly(asked, meaning)
        return Said(self._state, words, meaning.intent, dict(meaning.slots))


def as_json(report: Report) -> dict[str, object]:
    """Return the report as plain data."""
    return asdict(report)


__all__ = ["Callee", "Report", "Said", "as_json"]
