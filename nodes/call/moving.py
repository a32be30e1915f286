"""A call that goes on at another machine: what is moved with it, and who has it meanwhile.

When its machine is dead, whoever holds its record has it from that moment (`settle`): the robot is heard before the far
end has even answered the re-INVITE. When it is moved on purpose, its owner goes on with it until the far end has
agreed, and a far end that refuses has noticed nothing:

    who has the call                                  where it goes
    gives its record away; `Leaving`            ->    `Resumed(moved)`: a silent line, and the far end is asked (`wait`)
    goes on with the call                             the far end agrees: `Arrived`
    `LetGo`: is still, and says `HandOn`        ->    `Left`: goes on from there (`join`), and is heard
    `CameBack`: goes on, and may look for it    <-    the far end refuses, or says nothing: `GiveBack`

Both ends send requests in one dialog, so they count apart: whoever comes adds the gap of `protocols.sip`, whoever has
given the record away twice that, and who joins at last counts on from what the other has used.
"""

from __future__ import annotations

from typing import Final

from nodes.call import ending, line, talk
from nodes.call.effects import (
    Arrived,
    GiveBack,
    HandOn,
    LetGoLeg,
    Prepare,
    RenumberLeg,
    StartRecording,
    Stop,
    StopHearing,
    TakeOverLeg,
    Unlink,
    Want,
)
from nodes.call.inputs import (
    CameBack,
    FromElsewhere,
    Input,
    Leaving,
    Left,
    LegResumed,
    LetGo,
    MediaLacks,
    Moved,
    RosterChanged,
)
from nodes.call.record import GONE, UP, Arrival, CallPhase, CallRecord
from nodes.call.step import CallStep
from protocols.machine import Expired
from protocols.moments import shifted
from protocols.replacing import replace
from protocols.sip import Ended, LegPhase, Listening, Local, MediaChanged, OfferRefused, TakeoverStage
from protocols.sip.confirmed import TAKEOVER_GAP
from protocols.wire.events import Kind
from protocols.wire.ids import ChannelId, Identity, NodeId, node_of
from protocols.wire.messages import AudioArrived, Channel, SpeechEnded

AGREES_S: Final = 40.0
"""A re-INVITE is answered, or has timed out (RFC 3261: 64*T1 is 32 s), or has met theirs three times, within this."""
LEAVES_S: Final = 1.0
"""Who is told that the call has arrived has left it by then, or is not there any more."""
_NO_WORD: Final = (0, 408, 481)
"""What the far end may have said to the other machine that leaves open what it knows of us."""
_AT_A_BROWSER: Final = (Local("127.0.0.1", 0), Listening("", 0))
"""A browser is told where we are by our identity."""


def is_saved(record: CallRecord) -> bool:
    """Say whether this call can go on at another machine: its callee has answered, or it ends anyway."""
    is_early = record.phase in (CallPhase.PLACING, CallPhase.RINGING)
    return not is_early or record.leg_phase in ("confirmed", "ended", "finished")


def is_reachable(record: CallRecord) -> bool:
    """Say whether a callee who had not answered can be asked whether they have meanwhile."""
    is_early = record.phase in (CallPhase.PLACING, CallPhase.RINGING)
    return is_early and not record.is_given_up and record.leg is not None and record.leg.is_reachable


def is_anothers(record: CallRecord) -> bool:
    """Say whether whoever holds this record of a machine that has died has no right to it: a third one has the call."""
    return record.is_waiting and record.arrival is not None and not record.arrival.is_agreed


def is_movable(record: CallRecord) -> bool:
    """Say whether this is a moment to move it on purpose: nobody's word is cut, and no offer is under way."""
    leg = record.leg
    is_settled = leg is None or (leg.invite is None and leg.wanted is None)
    is_up = record.phase in UP and record.arrival is None and record.leg_phase == "confirmed"
    return is_up and is_settled and not record.floor.is_speaking


def needs_line(record: CallRecord) -> bool:
    """Say whether whoever goes on with it needs a port for it: not for a browser's, nor to end it."""
    is_ours = is_saved(record) or is_reachable(record)
    return is_ours and record.phase not in (CallPhase.ENDING, *GONE) and record.leg is not None


def brought(record: CallRecord, ahead_s: float) -> CallRecord:
    """Return another machine's record as it is here: our clock is ahead of that one's by so many seconds.

    What its leg would do by itself, it does not: the first thing that it sends from here is the take-over.
    """
    record = shifted(record, ahead_s)
    if (leg := record.leg) is None:
        return record
    may_ring = leg.phase in (LegPhase.INVITING, LegPhase.CANCELLING) and leg.is_proceeding
    leg = replace(leg, session_at_s=None, ring_until_s=None, wanted=None, takeover=TakeoverStage.NONE)
    return replace(record, leg=leg if may_ring else replace(leg, invite=None))


# ---- its machine has died -------------------------------------------------------------------------------------------


def inherited(record: CallRecord, ahead_s: float, *, is_to_end: bool = False) -> CallRecord:
    """Return a dead machine's record as it is ours from now on: later than whatever that machine may still write.

    From this moment, and not only once it goes on here: who was not dead, but stood still, tells what it wrote last. A
    call that was only on its way there may be its owner's still. `is_to_end`: nobody is asked whether they have picked
    up meanwhile, for somebody may talk with them.
    """
    n_moves = record.n_moves + (not record.is_waiting)
    return replace(brought(record, ahead_s), heir=NodeId(""), n_moves=n_moves, is_given_up=is_to_end)


def heard_first(record: CallRecord, moved: Moved, owner: Identity, epoch: int) -> Channel | None:
    """Return the line as the call will tell it first, when it begins here: media may have it sooner, and is told twice.

    None: nobody is to be heard. `owner`, `epoch`: as in `Resumed`.
    """
    if not (record.phase in UP or is_reachable(record)) or is_anothers(record):
        return None
    step = CallStep(record, None, 0.0)
    step.live(owner, epoch)
    settle(step, moved)
    return next((one.channel for one in step.effects if isinstance(one, Want)), None)


def settle(step: CallStep, moved: Moved) -> None:
    """Have the call here from now on: it is heard from the new port at once, and the far end is told where we are."""
    record = step.record
    _note_what_stays(step, step.before)
    if record.phase is CallPhase.ENDING:
        step.write(channel=None, media="")
        return step.do(TakeOverLeg(moved.local, None))
    channel = record.channel and replace(record.channel, port=moved.port)
    step.write(media=moved.media, channel=channel, arrival=_arrival(step, moved))
    _go_on_later(step, moved.outage_s)
    line.want(step)
    step.do(TakeOverLeg(moved.local, moved.listening))


def lose(step: CallStep, moved: Moved) -> None:
    """End a call that nobody can have answered, or is to be asked if they have: the retry rule decides what follows."""
    step.do(TakeOverLeg(moved.local, None, asks_nobody=step.record.is_given_up))
    step.write(channel=None, media="")
    ending.over(step, "failed", "node_lost")


def begin_again(step: CallStep) -> None:
    """Let those who begin with it here do so: the recording's next part, the engines, and who was speaking."""
    record = step.record
    if record.phase not in UP:
        return
    if record.order.is_recorded and step.before.phase in UP:
        step.do(StartRecording(record.n_moves))
    if step.script is not None:
        said = record.conversation.prompt if record.conversation else ()
        step.do(Prepare((*said, *step.script.speakable(record.order.slots))))
    if record.floor.is_speaking:  # if they still are, media says so
        talk.heard(step, SpeechEnded(ChannelId(record.order.call_id), record.utterance, step.now))


def look(step: CallStep) -> TakeoverStage:
    """Return what the leg knows of the far end's answer; one that has not been told to ask is told again."""
    record = step.record
    stage = record.leg.takeover if record.leg else TakeoverStage.NONE
    may_ask = record.leg_phase == "confirmed" or is_reachable(record)
    if (arrival := record.arrival) and stage is TakeoverStage.NONE and may_ask:
        step.do(TakeOverLeg(arrival.local, arrival.listening, arrival.is_planned))
    return stage


# ---- it comes here on purpose ---------------------------------------------------------------------------------------


def wait(step: CallStep, moved: Moved | None) -> None:
    """Ask the far end, and be still until its owner has left it; None: in another life."""
    record = step.record
    if moved is None:
        line.want(step)
        return _look_again(step)
    if record.phase not in UP or record.leg_phase != "confirmed" or record.channel is None:
        return give_back(step, 0)
    channel = replace(record.channel, port=moved.port)
    step.write(media=moved.media, channel=channel, arrival=_arrival(step, moved))
    line.want(step)
    step.do(TakeOverLeg(moved.local, moved.listening, is_planned=True))


def is_ours_now(step: CallStep, given: Input) -> bool:
    """Take what happens while another machine has the call; say whether it is ours from now on."""
    arrival = step.record.arrival
    assert arrival is not None, "it waits"
    match given:
        case MediaChanged(media=media):
            line.agree(step, media)
            _agreed(step)
        case OfferRefused(code=code):
            give_back(step, code)
        case Ended():
            step.write(arrival=replace(arrival, ended=given))
            _agreed(step)
        case LegResumed():
            _look_again(step)
        case LetGo():
            _be_gone(step)
        case Left():
            _join(step, given)
            return True
        case Expired() if arrival.until_s <= step.now and arrival.is_agreed:
            _join(step, Left(None))
            return True
        case Expired() if arrival.until_s <= step.now:
            give_back(step, 0)
        case AudioArrived():
            line.arrived(step, given)
        case MediaLacks():
            line.tell(step)
        case RosterChanged(is_media_other=True):
            line.tell(step)
        case _:
            pass  # its owner hears it
    return False


def _look_again(step: CallStep) -> None:
    if step.record.leg_phase in ("ended", "finished"):
        return _agreed(step)
    match look(step):
        case TakeoverStage.AGREED:
            _agreed(step)
        case TakeoverStage.REFUSED:
            give_back(step, 0)


def _agreed(step: CallStep) -> None:
    """The far end is ours, or gone: in any case only we hear of it from now on."""
    arrival = step.record.arrival
    assert arrival is not None, "it waits"
    step.write(arrival=replace(arrival, is_agreed=True, until_s=step.now + LEAVES_S))
    step.do(Arrived())


def give_back(step: CallStep, code: int) -> None:
    """Tell who has the call that it does not come here, and have nothing of it."""
    step.do(GiveBack(code))
    _be_gone(step)


def _join(step: CallStep, left: Left) -> None:
    """Go on with the call as its owner has left it, or with what we know: with our leg, and our line."""
    ours, theirs = step.record, left.record or step.record
    assert ours.arrival is not None, "it waits"
    assert ours.channel is not None, "it waits with a line"
    is_agreed = ours.arrival.is_agreed
    arrival = replace(ours.arrival, is_planned=False) if not is_agreed or ours.arrival.ended else None
    step.record = replace(
        theirs, leg=ours.leg, browser=ours.browser, media=ours.media, version=ours.version,
        revision=ours.revision, epoch=max(ours.epoch, theirs.epoch), channel=_joined(ours.channel, theirs.channel),
        arrival=arrival, n_moves=theirs.n_moves + 1,
    )  # fmt: skip
    if theirs.leg is not None and left.record is not None:
        step.do(RenumberLeg(theirs.leg.dialog.local_cseq, theirs.leg.ours.version))
    _go_on_later(step, left.outage_s)
    step.live(ours.owner)
    _note_what_stays(step, theirs)
    line.want(step)


def _joined(ours: Channel, theirs: Channel | None) -> Channel:
    """Return the line as its owner wants it, at our port, and with what we have found out of the far end."""
    if theirs is None:
        return ours
    return replace(
        theirs, port=ours.port, remote_host=ours.remote_host, remote_port=ours.remote_port, source=ours.source,
        payload_type=ours.payload_type, dtmf_type=ours.dtmf_type, agreed_s=ours.agreed_s, revision=ours.revision,
    )  # fmt: skip


# ---- it leaves ------------------------------------------------------------------------------------------------------


def leave(step: CallStep, given: FromElsewhere) -> None:
    """Do what another machine that is to have the call asks of its owner."""
    record = step.record
    leg = record.leg if record.leg_phase == "confirmed" else None
    match given:
        case LetGo() if record.phase in UP:
            step.do(HandOn(record))
            _be_gone(step)
        case LetGo():
            step.do(HandOn(None))
        case _ if record.phase not in UP:
            pass
        case Leaving() if leg:
            step.do(RenumberLeg(leg.dialog.local_cseq + 2 * TAKEOVER_GAP, leg.ours.version + 2 * TAKEOVER_GAP))
        case CameBack(code=code) if leg and code in _NO_WORD:
            verify(step)
        case CameBack() if record.browser:
            step.do(TakeOverLeg(*_AT_A_BROWSER))
        case _:
            pass


def verify(step: CallStep) -> None:
    """Ask the far end whether it is still there: who knows of no call any more says so (481)."""
    if (leg := step.record.leg) is not None and leg.phase is LegPhase.CONFIRMED:
        step.do(TakeOverLeg(leg.local, Listening(leg.ours.host, leg.ours.port)))


def _be_gone(step: CallStep) -> None:
    """Have nothing of the call any more, without a word to the far end, an agent, or the reports."""
    record = step.record
    if record.channel is not None:
        if record.channel.engine and not record.is_waiting:
            step.do(StopHearing(record.channel.engine))
        for channel_id in reversed(line.channels_of(record)):
            step.do(Unlink(channel_id))
    step.write(phase=CallPhase.MOVED, asked=())
    step.do(LetGoLeg())
    step.do(Stop())


# ---- what all of them do --------------------------------------------------------------------------------------------


def _arrival(step: CallStep, moved: Moved) -> Arrival:
    return Arrival(step.now + AGREES_S, moved.local, moved.listening, moved.is_planned)


def _note_what_stays(step: CallStep, theirs: CallRecord) -> None:
    """Say which part of the recording another machine has: the one that has had the call until now, as in `theirs`."""
    part, is_there = step.record.n_moves - 1, theirs.channel is not None and theirs.channel.recording
    if theirs.owner and part >= 0 and is_there:
        step.note(Kind.RECORDING_LEFT, part=part, node=node_of(theirs.owner))


def _go_on_later(step: CallStep, outage_s: float) -> None:
    """Count the time in which nobody was there for nothing; engines, and the recording, are others from now on."""
    record = step.record
    channel = record.channel
    if channel is not None:
        playing = channel.playing and replace(channel.playing, at_s=channel.playing.at_s + outage_s)
        channel = replace(channel, playing=playing, engine=Identity(""), recording="")
    silent_since_s = record.silent_since_s and record.silent_since_s + outage_s
    step.write(
        channel=channel, moved_s=step.now, floor=record.floor.later(outage_s),
        amd=shifted(record.amd, outage_s), silent_since_s=silent_since_s, is_doubtful=False,
    )  # fmt: skip


__all__ = [
    "AGREES_S",
    "LEAVES_S",
    "begin_again",
    "brought",
    "give_back",
    "heard_first",
    "inherited",
    "is_anothers",
    "is_movable",
    "is_reachable",
    "is_ours_now",
    "is_saved",
    "leave",
    "look",
    "lose",
    "needs_line",
    "settle",
    "verify",
    "wait",
]
