"""Media, engines and the callee's voice, in virtual time, as small as can be.

They do what their processes do as far as a call can see it: they keep what they were told, tell it again to a new life,
and forget everything when they die. They tell the call through `tell(owner, input)`, which is lost on one who is dead.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from nodes.call.inputs import Input
from protocols.floor import Listen
from protocols.wire.ids import ChannelId, Identity
from protocols.wire.messages import (
    AudioArrived,
    AudioLost,
    BeepHeard,
    Channel,
    Heard,
    Meaning,
    Partial,
    PlayEnded,
    Playing,
    SpeechEnded,
    SpeechStarted,
)  # fmt: skip

SILENT_S: Final = 5.0
"""So long without a packet, and media says so."""
TAIL_S: Final = 0.6
"""Of the voice detector."""
Tell = Callable[[Identity, Input], None]


class Clock:
    """What time it is, and what is to happen when."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._n = 0

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        """Have this done later; what is due at once comes in the order of asking."""
        self.at(self.now + max(0.0, seconds), do)

    def at(self, at_s: float, do: Callable[[], None]) -> None:
        """Have this done then."""
        self._n += 1
        heapq.heappush(self._due, (at_s, self._n, do))

    @property
    def next_s(self) -> float | None:
        """When something happens next."""
        return self._due[0][0] if self._due else None

    def tick(self) -> None:
        """Go to the next thing, and do it."""
        at, _, do = heapq.heappop(self._due)
        self.now = max(self.now, at)
        do()


@dataclass(frozen=True, slots=True)
class Said:
    """What a callee says: an intent of everybody's (`stop`), or an answer to the question; neither: not understood."""

    intent: str = ""
    value: str = ""
    seconds: float = 1.0

    def meaning(self, listen: Listen) -> Meaning | None:
        """Return what an engine makes of it, with these rules."""
        if self.intent:
            return Meaning(self.intent, self.intent) if self.intent in listen.rules else None
        return Meaning(listen.rules[0], "answer", {"value": self.value}) if self.value else None


@dataclass(slots=True)
class Speech:
    """One utterance, as the callee makes it."""

    said: Said
    number: int
    began_s: float
    ended_s: float | None = None
    is_answered: bool = False


@dataclass(slots=True)
class Engine:
    """One speech process: whom it hears, and what it told last."""

    name: Identity
    owner: Identity = Identity("")
    wish: Listen | None = None
    told: Heard | None = None
    hearing: tuple[int, Listen] | None = None
    """The utterance it is at, and for which question."""


class Line:
    """Media and engines, and the callee's voice. `lasts`: seconds of a prompt by its name."""

    def __init__(self, clock: Clock, tell: Tell, lasts: Callable[[str], float], channel_id: ChannelId) -> None:
        self._clock, self._tell, self._lasts, self._channel_id = clock, tell, lasts, channel_id
        self.life = 1
        self.channels: dict[ChannelId, Channel] = {}
        self.spare: dict[ChannelId, Channel] | None = {}
        self.engines: dict[Identity, Engine] = {}
        self.speech: Speech | None = None
        self.last: Speech | None = None
        """The last utterance that is over, of this life of media."""
        self.is_heard = False
        self.silent_since_s = 0.0
        self.flows: Callable[[], None] = lambda: None
        """Called when the agent's side may have begun to carry the callee."""
        self._ended: set[int] = set()
        self._is_lost = False
        self.loses_next = self.is_behind = False
        """The next thing that it is told does not arrive; the last did not."""

    # ---- what the call tells -----------------------------------------------------------------------------------------

    def want(self, channel: Channel, to_spares: bool) -> None:
        """Let a channel be like this."""
        if to_spares and self.spare is not None:
            self.spare[channel.channel_id] = channel
        if channel.channel_id == self._channel_id:
            self.loses_next, self.is_behind = False, self.loses_next
            if self.is_behind:
                return
        before = self.channels.get(channel.channel_id)
        self.channels[channel.channel_id] = channel
        if before is None or channel.playing != before.playing:
            self._play(channel)
        if channel.engine and (before is None or channel.engine != before.engine):
            self._replay(channel, had_engine=bool(before and before.engine))
        if before is None or (channel.owner, channel.epoch) != (before.owner, before.epoch):
            self._tell_again(channel)
        self.flows()

    def close(self, channel_id: ChannelId) -> None:
        """Give a channel up."""
        self.channels.pop(channel_id, None)
        if self.spare is not None:
            self.spare.pop(channel_id, None)

    def hear(self, engine: Identity, owner: Identity, listen: Listen) -> None:
        """Let an engine hear the callee from the next utterance on; what it told of the same turn it tells again."""
        one = self.engines[engine]
        one.owner = owner
        if one.told and one.told.turn == listen.turn:
            self._tell(owner, one.told)
            if one.told.meaning:
                return
        one.wish = listen
        if one.hearing and one.hearing[1].turn == listen.turn:
            one.hearing = (one.hearing[0], listen)

    def deafen(self, engine: Identity) -> None:
        """Let an engine forget the callee."""
        if engine in self.engines:
            self.engines[engine] = Engine(engine)

    # ---- what the callee does ----------------------------------------------------------------------------------------

    @property
    def caller(self) -> Channel | None:
        """The callee's side."""
        return self.channels.get(self._channel_id)

    def without_its_last_play(self, channel_id: ChannelId) -> Channel | None:
        """Return a channel without a play that is over, as the call knows it by now."""
        channel = self.channels.get(channel_id)
        is_over = channel and channel.playing and channel.playing.play_id in self._ended
        return replace(channel, playing=None) if channel and is_over else channel

    def is_up(self, is_up: bool) -> None:
        """The callee's voice can be heard from now on, or not any more."""
        self.is_heard = is_up
        if is_up:
            self._is_lost = False
            if caller := self.caller:
                self._news(AudioArrived(caller.channel_id, self._clock.now, ("192.0.2.9", 7), _remote(caller)))
        else:
            self.stop_speaking()
            self.silent_since_s = self._clock.now
            self._expect()

    def speak(self, said: Said) -> None:
        """Let the callee say this, if they are not saying something already."""
        if not self.is_heard or self.speech or self.caller is None:
            return
        self._begin(said)
        speech, life = self.speech, self.life
        self._clock.after(0.4, lambda: self._partial(speech))
        self._clock.after(
            said.seconds, lambda: self.stop_speaking() if self.speech is speech or life != self.life else None
        )

    def _begin(self, said: Said) -> None:
        caller = self.caller
        assert caller, "somebody is heard"
        number = int((self._clock.now - caller.born_s) / 0.02) + 1
        self.speech = Speech(said, number, self._clock.now)
        engine = self.engines.get(caller.engine)
        if engine and engine.wish:
            engine.hearing = (number, engine.wish)
        self._news(SpeechStarted(caller.channel_id, number, self._clock.now))

    def stop_speaking(self) -> None:
        """Let the callee be silent."""
        if (speech := self.speech) and speech.ended_s is None:
            speech.ended_s = self._clock.now
            life = self.life
            self._clock.after(0.3, lambda: self._answer(speech))
            self._clock.after(TAIL_S, lambda: self._over(speech, life))

    def beep(self) -> None:
        """A machine's."""
        if self.is_heard and (caller := self.caller):
            self._news(BeepHeard(caller.channel_id, self._clock.now))

    # ---- what becomes of the processes -------------------------------------------------------------------------------

    def dies(self) -> None:
        """Media dies, and its spare goes on with what it was told; without one, a new process with nothing."""
        self.life += 1
        self.channels, self.spare = (self.spare or {}), None
        self.last = None
        self._ended.clear()
        self._is_lost = False
        for channel in self.channels.values():
            self._play(channel)
        if self.speech and self.speech.ended_s is None and self.caller:
            self._begin(self.speech.said)
        else:
            self.speech = None
        self.silent_since_s = self._clock.now
        self._expect()
        self.flows()

    def moves(self, channels: dict[ChannelId, Channel]) -> None:
        """Another machine's media has the call from now on, with these channels; the callee is the same."""
        self.spare = dict(channels)
        self.dies()
        self.spare = {}

    def lives(self) -> frozenset[Identity]:
        """Which engines there are."""
        return frozenset(self.engines)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _news(self, news: Input) -> None:
        if caller := self.caller:
            self._tell(caller.owner, news)

    def _play(self, channel: Channel) -> None:
        if playing := channel.playing:
            ends_s = playing.at_s + sum(self._lasts(prompt) for prompt in playing.prompts)
            life = self.life
            self._clock.after(ends_s - self._clock.now, lambda: self._played(channel.channel_id, playing, life))

    def _played(self, channel_id: ChannelId, playing: Playing, life: int) -> None:
        channel = self.channels.get(channel_id)
        if life == self.life and channel and channel.playing == playing and playing.play_id not in self._ended:
            self._ended.add(playing.play_id)
            self._tell(channel.owner, PlayEnded(channel_id, playing.play_id, self._clock.now))

    def _tell_again(self, channel: Channel) -> None:
        if channel.channel_id != self._channel_id:
            return
        channel_id, now = channel.channel_id, self._clock.now
        if self._is_lost:
            self._tell(channel.owner, AudioLost(channel_id, now - self.silent_since_s))
        elif self.is_heard:
            self._tell(channel.owner, AudioArrived(channel_id, now, ("192.0.2.9", 7), _remote(channel)))
        self._ended.clear()
        self._play(channel)
        if speech := self.speech or self.last:
            self._tell(channel.owner, SpeechStarted(channel_id, speech.number, speech.began_s))
            if not self.speech:
                self._tell(channel.owner, SpeechEnded(channel_id, speech.number, speech.ended_s or 0.0))

    def _replay(self, channel: Channel, *, had_engine: bool) -> None:
        """Give a new engine the utterance in progress, or the last if it has not been answered."""
        engine, speech = self.engines.get(channel.engine), self.speech
        if engine and engine.wish and speech and (had_engine or speech.ended_s is None) and not speech.is_answered:
            engine.hearing = (speech.number, engine.wish)

    def _partial(self, speech: Speech | None) -> None:
        caller = self.caller
        if caller and speech and speech is self.speech and (engine := self.engines.get(caller.engine)):
            if engine.hearing and engine.hearing[0] == speech.number:
                turn, fits = engine.hearing[1].turn, speech.said.meaning(engine.hearing[1]) is not None
                self._tell(engine.owner, Partial(caller.channel_id, turn, speech.number, "word", in_grammar=fits))

    def _answer(self, speech: Speech) -> None:
        caller = self.caller
        if caller is None or not (engine := self.engines.get(caller.engine)):
            return
        if engine.hearing and engine.hearing[0] == speech.number:
            listen, engine.hearing = engine.hearing[1], None
            meaning, now = speech.said.meaning(listen), self._clock.now
            words, ended_s = "word" if meaning else "", speech.ended_s or now
            speech.is_answered = True
            engine.told = Heard(caller.channel_id, listen.turn, speech.number, words, 0.9, ended_s, now, meaning)
            if meaning and engine.wish == listen:
                engine.wish = None
            self._tell(engine.owner, engine.told)

    def _over(self, speech: Speech, life: int) -> None:
        if speech is self.speech and life == self.life:
            self.speech, self.last = None, speech
            if caller := self.caller:
                self._news(SpeechEnded(caller.channel_id, speech.number, speech.ended_s or 0.0))

    def _expect(self) -> None:
        since_s, life = self.silent_since_s, self.life

        def look() -> None:
            if not self.is_heard and life == self.life and since_s == self.silent_since_s and (caller := self.caller):
                self._is_lost = True
                self._news(AudioLost(caller.channel_id, SILENT_S))

        self._clock.after(SILENT_S, look)


def _remote(channel: Channel) -> tuple[str, int]:
    return channel.remote_host, channel.remote_port


__all__ = ["SILENT_S", "TAIL_S", "Clock", "Engine", "Line", "Said", "Speech", "Tell"]
