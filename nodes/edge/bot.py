"""The bot of one call: steps machine detection, floor and conversation, and carries out what they want.

A plain object of the call's actor, which gives it one thing at a time. The three machines are pure; everything that a
successor needs of them is in the record: the conversation's state, and the question that is open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from grammars import conversation_state as says
from grammars.conversation import Conversation
from grammars.script_pack import unpack
from nodes.call.record import CallPhase
from nodes.edge.diary import Diary
from nodes.edge.ears import Ears
from nodes.edge.keeper import Keeper
from nodes.edge.line import Line
from protocols import amd, floor
from protocols.machine import Expired
from protocols.wire.events import Kind
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import (
    BeepHeard,
    DigitPressed,
    Heard,
    Partial,
    PlayEnded,
    Playing,
    SpeechEnded,
    SpeechStarted,
)  # fmt: skip


class Wishes(Protocol):
    """What the bot cannot do by itself and asks of its call."""

    def fetch(self, wanted: says.Fetch, is_again: bool) -> None: ...
    def enqueue(self, wanted: says.Enqueue) -> None: ...
    def opt_out(self) -> None: ...
    def hang_up(self, disposition: str, cause: str) -> None: ...


class Bot:
    """The bot's side of one conversation."""

    def __init__(
        self, keeper: Keeper, line: Line, ears: Ears, diary: Diary, wishes: Wishes, clock: Callable[[], float]
    ) -> None:
        self._keeper, self._line, self._ears, self._diary = keeper, line, ears, diary
        self._wishes, self._clock = wishes, clock
        self.script = unpack(keeper.record.order.script)
        state = keeper.record.conversation or says.ConversationState.new(self.script, keeper.record.order.slots)
        self._conversation = Conversation(self.script, state)
        self._floor = floor.Floor()
        self._amd: amd.Amd | None = None
        self._answer_ended_s = 0.0
        self._deaf_until_s = 0.0
        self._speaking: SpeechStarted | None = None

    @property
    def deadline(self) -> float | None:
        """When `expired` is wanted next."""
        due = [at for at in (self._floor.deadline, self._amd.deadline if self._amd else None) if at is not None]
        return min(due, default=None)

    @property
    def conversation(self) -> says.ConversationState:
        """Where the conversation is."""
        return self._conversation.state

    # ---- what happens ----------------------------------------------------------------------------------------------

    def answered(self) -> None:
        """Somebody, or something, has picked up: find out what, before a word is said."""
        self._amd = amd.Amd(self._clock(), wants_message=self.script.leaves_message)

    async def resume(self) -> None:
        """Go on where the record is. Media has played on, or has been told to; the engine is asked the same again.

        Both tell again what the last life may not have heard. An utterance from before the open question is no answer
        to it: `_deaf_until_s`.
        """
        self._amd = self._resumed_amd()
        self._deaf_until_s = self._keeper.record.listen_s
        await self._carry_out(self._conversation.pending(), is_known=True)
        await self.follow_engines()

    def _resumed_amd(self) -> amd.Amd | None:
        """Return the machine detector as it was: it goes through its stages again, by the times in the record."""
        record, talk = self._keeper.record, self.conversation
        again = amd.Amd(record.answered_s, wants_message=self.script.leaves_message)
        if record.phase is CallPhase.ANSWERED:
            return again
        if talk.phase is says.Phase.NEW:  # a machine, and the message may not start yet
            again.step(SpeechStarted(ChannelId(""), 0, record.answered_s), record.answered_s)
            again.step(Expired(), record.answered_s + amd.GREETING_S)
        elif talk.disposition == "machine":
            return None
        else:
            again.step(Expired(), record.answered_s + amd.NOBODY_S)
        return again

    async def heard(self, given: SpeechStarted | SpeechEnded | Partial | Heard | DigitPressed | BeepHeard) -> None:
        """Media or speech has told something of our channel."""
        now = self._clock()
        if isinstance(given, SpeechStarted | SpeechEnded):
            self._speaking = given if isinstance(given, SpeechStarted) else None
        if isinstance(given, SpeechEnded) and self._keeper.record.phase is CallPhase.ANSWERED:
            self._keeper.write(greeted_s=given.at_s)
        if self._amd and isinstance(given, SpeechStarted | SpeechEnded | BeepHeard):
            await self._detected([effect.event for effect in self._amd.step(given, now)])
        if isinstance(given, Heard) and self._keeper.record.listen:
            self._answer_ended_s = given.speech_ended_s
        is_old = isinstance(given, SpeechStarted) and given.at_s < self._deaf_until_s
        if not (is_old or isinstance(given, BeepHeard)):
            await self._floored([effect.event for effect in self._floor.step(given, now)])

    async def played(self, given: PlayEnded) -> None:
        """The play has come to its end; an earlier play's end means nothing any more."""
        playing = self._playing()
        if playing is None or playing.play_id != given.play_id:
            return
        self._line.hush()
        self._floor.step(floor.PromptEnded(), self._clock())
        self._diary.note(Kind.PROMPT_ENDED, play_id=given.play_id)
        await self._converse(floor.PromptEnded())

    async def expired(self) -> None:
        """A deadline has passed."""
        now = self._clock()
        if self._amd:
            await self._detected([effect.event for effect in self._amd.step(Expired(), now)])
        await self._floored([effect.event for effect in self._floor.step(Expired(), now)])

    async def tell(self, given: says.Input) -> None:
        """The outside has an answer for the conversation: fetched, handed over, failed, hung up."""
        await self._converse(given)

    async def follow_media(self) -> None:
        """Our media process is a new one, which does not know that the callee was speaking: if they are, it says so."""
        if (last := self._speaking) is not None:
            await self.heard(SpeechEnded(last.channel_id, last.utterance, self._clock()))

    async def follow_engines(self) -> None:
        """The engines have changed: if ours has died, the next one hears the utterance again."""
        if (channel := self._line.channel) and channel.engine and not self._ears.lives(channel.engine):
            self._diary.note(Kind.RECOVERED, what="engine")
            if listen := self._keeper.record.listen:
                await self._be_heard(listen, is_known=True)
            else:
                self._line.heard_by(Identity(""))  # what was said last has been answered

    # ---- what it comes to ------------------------------------------------------------------------------------------

    async def _detected(self, events: Sequence[amd.AmdEvent]) -> None:
        for event in events:
            match event:
                case amd.HumanAnswered(sure=sure):
                    self._keeper.write(phase=CallPhase.CONVERSING)
                    self._diary.note(Kind.HUMAN_DETECTED, after_ms=self._diary.since_placed_ms(), is_sure=sure)
                    await self._converse(says.Begin())
                case amd.MachineAnswered(how=how):
                    self._keeper.write(phase=CallPhase.CONVERSING, greeted_s=0.0)
                    self._hush()
                    self._stop_listening()
                    self._diary.note(Kind.MACHINE_DETECTED, after_ms=self._diary.since_placed_ms(), evidence=how)
                case amd.MessageMayStart():
                    self._amd = None
                    await self._converse(amd.MessageMayStart())

    async def _floored(self, events: Sequence[floor.FloorEvent]) -> None:
        for event in events:
            listen, state = self._keeper.record.listen, self.conversation.state
            turn = listen.turn if listen else 0
            if not isinstance(event, floor.StopPrompt | floor.Pressed):
                self._keeper.write(listen=None)  # the floor has answered the question: it is closed
            match event:
                case floor.StopPrompt():
                    self._hush()
                    await self._converse(floor.PromptEnded())
                    continue
                case floor.Understood(meaning=meaning):
                    self._diary.note(
                        Kind.HEARD, turn=turn, words=event.words, confidence=round(event.confidence, 3),
                        rule=meaning.rule, intent=meaning.intent, slots=dict(meaning.slots), state=state,
                    )  # fmt: skip
                case floor.NotUnderstood(words=words):
                    self._diary.note(Kind.NOMATCH, turn=turn, words=words, state=state)
                case floor.Silence():
                    self._diary.note(Kind.NOINPUT, turn=turn, state=state)
                case floor.Pressed(digit=digit):
                    self._diary.note(Kind.DTMF, digit=digit)
            await self._converse(event)

    async def _converse(self, given: says.Input) -> None:
        before = self._keeper.record.conversation
        effects = self._conversation.step(given)
        if self.conversation != before:
            self._keeper.write(conversation=self.conversation)
        await self._carry_out(effects)

    async def _carry_out(self, effects: Sequence[says.Effect], *, is_known: bool = False) -> None:
        """Do what the conversation wants; `is_known`: media and the engine have been told of it before."""
        if any(isinstance(effect, says.Say) for effect in effects):
            self._stop_listening()
        for effect in effects:
            match effect:
                case says.Say():
                    await self._say(effect, is_known=is_known)
                case floor.Listen():
                    await self._listen(effect, is_known=is_known)
                case says.Fetch():
                    self._wishes.fetch(effect, is_known)
                case says.Enqueue():
                    self._wishes.enqueue(effect)
                case says.OptOut():
                    self._diary.note(Kind.OPT_OUT, by="callee")
                    self._wishes.opt_out()
                case says.HangUp(disposition=disposition):
                    self._wishes.hang_up(disposition, "script")
                case says.Entered(state=state):
                    self._diary.note(Kind.STATE_ENTERED, state=state)
                case says.Filled(slot=slot, value=value):
                    self._diary.note(Kind.SLOT_FILLED, slot=slot, value=value)
                case says.Tag(tag=tag):
                    self._diary.note(Kind.TAGGED, tag=tag)
        if self._keeper.record.listen is None:
            self._ears.deafen()  # what is said now answers nothing

    async def _say(self, wanted: says.Say, *, is_known: bool) -> None:
        prompts = await self._ears.speak(wanted.prompts)
        now, names = self._clock(), tuple(prompt.prompt for prompt in prompts)
        self._floor.step(floor.PromptStarted(), now)
        if is_known and (playing := self._playing()) and playing.prompts == names:
            return  # media plays on
        play_id = self._line.play(names, now)
        greeted_s = self._keeper.record.greeted_s
        self._diary.note(
            Kind.PROMPT_STARTED,
            play_id=play_id,
            spoken=" ".join(prompt.spoken for prompt in prompts),
            answer_ms=round((now - self._answer_ended_s) * 1000) if self._answer_ended_s else None,
            first_word_ms=round((now - greeted_s) * 1000) if greeted_s else None,
        )
        self._answer_ended_s = 0.0
        self._keeper.write(greeted_s=0.0)

    async def _listen(self, wanted: floor.Listen, *, is_known: bool) -> None:
        now, record = self._clock(), self._keeper.record
        self._keeper.write(listen=wanted, listen_s=record.listen_s if is_known else now)
        self._floor.step(wanted, now)
        await self._be_heard(wanted, is_known=is_known)

    async def _be_heard(self, wanted: floor.Listen, *, is_known: bool) -> None:
        """Have an engine hear the callee; a new one hears the last utterance too, if the question was known before."""
        before = self._line.channel.engine if self._line.channel else Identity("")
        engine = await self._ears.listen(self.script.hash, self._keeper.record.order.script, wanted, before)
        if engine != before:
            if not is_known:
                self._line.heard_by(Identity(""))  # what was said last has been answered: it is not for the new one
            self._line.heard_by(engine)

    def _stop_listening(self) -> None:
        if self._keeper.record.listen is not None:
            self._keeper.write(listen=None)
            self._floor.step(floor.StopListening(), self._clock())

    def _hush(self) -> None:
        if playing := self._playing():
            self._line.hush()
            self._diary.note(Kind.PROMPT_ENDED, play_id=playing.play_id, is_cut=True)
        self._floor.step(floor.PromptEnded(), self._clock())

    def _playing(self) -> Playing | None:
        return self._line.channel.playing if self._line.channel else None


__all__ = ["Bot", "Wishes"]
