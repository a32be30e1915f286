"""One heir of an edge: what it has been told of the calls, and what of that it has acknowledged.

What it does: tells one process, in order and never more at once than it can take; asks it now and then how much has
come, and knows from the answer up to which record it keeps each call. What it does not: choose heirs, or decide what
must be kept before something is done (`heirs`, `hold_back`). Spares of this machine are told so, and whoever keeps
records elsewhere may be.

An answer acknowledges all that was told before its question, however much that is: messages arrive in the order in
which they were told. One that was lost, with a connection, is missed in the count; then everything is told again.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from grammars.script_pack import script_hash
from nodes.call.record import GONE, CallPhase, CallRecord, pack
from nodes.edge.recent import MOST, Noted, tellings
from nodes.edge.record_store import RecordStore, Version, version
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.errors import LocalProtocolError
from protocols.replacing import replace
from protocols.wire.heirs import AskKept, ForgetRecord, ForgetScript, KeepEvents, KeepOnly, KeepRecord, KeepScript, Kept
from protocols.wire.ids import CallId, Identity, ScriptHash
from protocols.wire.reconcile import MAX_ASKED

log = logs.get(__name__)
WINDOW: Final = 800
"""Messages that may wait for their acknowledgement; so few are refused by no buffer (`nodes.mesh.outbox`). Beyond them
an heir is told the newest record of each call, once it reads again."""
AGAIN_S: Final = 1.0
"""A question that is not answered for so long is asked again."""
MAX_TELLERS: Final = 1000
"""Edges whose messages are counted: each life of an edge is another one, and few of them live."""
EVENTS: Final = 100
"""Told in a row, before it is looked whether more may be told."""


def to_keep(record: CallRecord) -> KeepRecord | ForgetRecord:
    """Return what every heir is told of a record, packed; of a call that is over, or another machine's, only that."""
    order = record.order
    if record.phase is CallPhase.MOVED:
        return ForgetRecord(order.call_id)
    if record.phase is CallPhase.DONE:
        return KeepRecord(order.call_id, record.revision, ScriptHash(""), b"", record.epoch)
    body = pack(replace(record, order=replace(order, script=b"")))
    script, is_up = script_hash(order.script), bool(record.answered_s)
    return KeepRecord(order.call_id, record.revision, script, body, record.epoch, is_up, record.n_moves)


def told_of(store: RecordStore) -> KeepRecord | ForgetRecord:
    """Return what every heir is told of a call's newest record: packed once, for all of them and for the disk."""
    if store.told is None or store.told[0] is not store.record:
        store.told = store.record, to_keep(store.record)
    return store.told[1]


def bequest(
    record: CallRecord, knows: Callable[[ScriptHash], bool], told: KeepRecord | ForgetRecord | None = None
) -> Iterable[KeepScript | KeepRecord | ForgetRecord]:
    """Yield what an heir must be told of a call: the record, and before it the script if it does not know that yet.

    `told`: the record as all heirs are told it (`to_keep`), where it is packed already.
    """
    told = told or to_keep(record)
    if isinstance(told, KeepRecord) and told.script and not knows(told.script):
        yield KeepScript(told.script, record.order.script)
    yield told


def only(calls: Sequence[CallId]) -> Iterator[KeepOnly]:
    """Yield what says that these are all calls, in as many messages as that takes."""
    for begin in range(0, max(1, len(calls)), MAX_ASKED):
        yield KeepOnly(tuple(calls[begin : begin + MAX_ASKED]), is_last=begin + MAX_ASKED >= len(calls))


@dataclass(frozen=True, slots=True)
class _Told:
    """A record that is not acknowledged yet, or a call's end."""

    version: Version
    is_over: bool


@dataclass(frozen=True, slots=True)
class _Question:
    """`n_told`: messages before it. `told`: of each call the last record since the question before."""

    number: int
    n_told: int
    asked_s: float
    told: dict[CallId, _Told]


class Heir:
    """What one process keeps of our calls. `now`: seconds, monotonic."""

    def __init__(self, mesh: Mesh, identity: Identity, window: int = WINDOW) -> None:
        self.identity, self._window = identity, window
        self.kept: dict[CallId, Version] = {}
        """Of each call that is not over: up to which record it has acknowledged it."""
        self._mesh = mesh
        self._scripts: set[ScriptHash] = set()
        self._told: dict[CallId, _Told] = {}
        """Since the last question."""
        self._questions: deque[_Question] = deque()
        """That are not answered."""
        self._n_told = self._n_acknowledged = self._n_lost = self._n_asked = 0
        self._late: dict[CallId, CallRecord] = {}
        self._late_events: deque[Noted] = deque(maxlen=MOST)
        """What it cannot take now."""
        self._since: dict[CallId, float] = {}
        """Since when it lacks a record of a call, as far as we know."""

    # ---- what it is told ---------------------------------------------------------------------------------------------

    def all(self, events: Iterable[Noted], stores: Collection[RecordStore], now: float) -> bool:
        """Tell it everything, and which calls that is: it is new, or has missed something. False: it cannot be told."""
        calls = tuple(store.record.order.call_id for store in stores)
        self.kept = {call_id: self.kept[call_id] for call_id in self.kept.keys() & set(calls)}
        self._since.clear()
        self._scripts.clear()
        self.events(list(events))
        for store in stores:
            self.record(store.record, now, told_of(store))
        return self.only(calls)

    def only(self, calls: Sequence[CallId]) -> bool:
        """Tell it that these are all calls: what it has beside them it gives back. False: it cannot be told."""
        return all([self._tell(part) for part in only(calls)])

    def events(self, events: Collection[Noted], told: Iterable[KeepEvents] | None = None) -> None:
        """Tell it events, before a record that counts them; `told`: the same, packed already."""
        if self._is_full or self._late_events:
            self._late_events.extend(events)
            self._drain()
        else:
            self._tell_events(told or tellings(events))

    def record(self, record: CallRecord, now: float, told: KeepRecord | ForgetRecord | None = None) -> None:
        """Tell it a record; `told` is as in `bequest`."""
        call_id = record.order.call_id
        self._since.setdefault(call_id, now)
        if self._is_full or self._late or self._late_events:
            self._late[call_id] = record
            self._drain()
        else:
            self._send(record, told)

    def leave(self, call_id: CallId) -> None:
        """Count on it no more: a call has another heir, or it has given up what it had of it."""
        self.kept.pop(call_id, None)
        self._late.pop(call_id, None)
        self._since.pop(call_id, None)

    def drop(self, call_id: CallId) -> None:
        """Have it keep a call no longer, which another edge of its node keeps."""
        self._tell(ForgetRecord(call_id))

    def forget(self, script: ScriptHash) -> None:
        """Have it forget a script that no call has any more."""
        if script in self._scripts:
            self._scripts.discard(script)
            self._tell(ForgetScript(script))

    # ---- what it has acknowledged ------------------------------------------------------------------------------------

    @property
    def is_behind(self) -> bool:
        """Whether it has been told, or is to be told, something that it has not acknowledged."""
        return self._n_told > self._n_acknowledged or bool(self._late or self._late_events)

    @property
    def is_pressed(self) -> bool:
        """Whether half of what may wait for its acknowledgement does."""
        return 2 * (self._n_told - self._n_acknowledged) >= self._window

    def lacks_since(self, call_id: CallId) -> float | None:
        """Return since when it lacks a record of this call, at the earliest; None: it has the newest."""
        return self._since.get(call_id)

    def ask(self, now: float) -> None:
        """Ask how much has come, if that is not known, and unless a question is on its way."""
        is_asked = bool(self._questions) and now - self._questions[-1].asked_s < AGAIN_S
        if self._n_told > self._n_acknowledged and not is_asked:
            self._n_asked += 1
            self._questions.append(_Question(self._n_asked, self._n_told, now, self._told))
            self._told = {}
            self._mesh.tell(self.identity, AskKept(self._n_asked))

    def acknowledged(self, given: Kept) -> bool:
        """Take an answer. False: a message was lost, and it must be told everything again."""
        question = next((one for one in self._questions if one.number == given.number), None)
        if question is None:
            return True
        told: dict[CallId, _Told] = {}
        while self._questions and self._questions[0].number <= given.number:
            told |= self._questions.popleft().told
        self._n_acknowledged = question.n_told
        if given.n_told != question.n_told - self._n_lost:
            self._n_lost = question.n_told - given.n_told
            return False
        for call_id, one in told.items():
            self._keeps(call_id, one, question.asked_s)
        self._drain()
        return True

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _keeps(self, call_id: CallId, told: _Told, asked_s: float) -> None:
        if told.is_over:
            self.kept.pop(call_id, None)
        else:
            self.kept[call_id] = told.version
        if call_id in self._told or call_id in self._late or any(call_id in one.told for one in self._questions):
            self._since[call_id] = asked_s  # a later record has been written since then
        else:
            self._since.pop(call_id, None)

    @property
    def _is_full(self) -> bool:
        return self._n_told - self._n_acknowledged >= self._window

    def _drain(self) -> None:
        while self._late_events and not self._is_full:
            n = min(EVENTS, len(self._late_events))
            self._tell_events(tellings([self._late_events.popleft() for _ in range(n)]))
        while self._late and not self._late_events and not self._is_full:
            self._send(self._late.pop(next(iter(self._late))))

    def _send(self, record: CallRecord, told: KeepRecord | ForgetRecord | None = None) -> None:
        call_id = record.order.call_id
        try:
            for message in bequest(record, self._scripts.__contains__, told):
                self._tell(message)
                if isinstance(message, KeepScript):
                    self._scripts.add(message.script)
        except LocalProtocolError as error:  # too long for a message: this call alone has no heir
            log.error("record.not_told", call_id=call_id, reason=str(error))
            self._since.pop(call_id, None)
        else:
            self._told[call_id] = _Told(version(record), record.phase in GONE)

    def _tell(self, message: object) -> bool:
        """Tell it, and count: what the mesh does not take is missed by the heir, and told again."""
        is_taken = self._mesh.tell(self.identity, message)
        self._n_told += 1
        return is_taken

    def _tell_events(self, told: Iterable[KeepEvents]) -> None:
        for message in told:
            try:
                self._tell(message)
            except LocalProtocolError as error:  # one that is too long for a message
                log.error("event.not_told", reason=str(error))


class Received:
    """How many messages each edge has told its heir here; of those that have been silent longest it is forgotten."""

    def __init__(self) -> None:
        self._n: OrderedDict[Identity, int] = OrderedDict()

    def count(self, owner: Identity) -> None:
        """One more has come."""
        self._n[owner] = self._n.pop(owner, 0) + 1
        if len(self._n) > MAX_TELLERS:
            self._n.popitem(last=False)

    def of(self, owner: Identity) -> int:
        """Return how many have come."""
        return self._n.get(owner, 0)


__all__ = ["Heir", "Received", "bequest", "only", "to_keep", "told_of"]
