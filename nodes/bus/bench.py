"""What the layout of NATS costs: every row of it written at the rate at which so many sessions write it, and read.

What it does: has a nats-server of its own, alone or as three; for each row publishes what that many sessions would,
from a process of its own, with the real names and bodies, while the layout's readers read; and takes the server's
processor time and disk, the writer's processor time, and how long acknowledgements take. What it does not: print.

A session is a call of a minute, with a turn every six seconds; `ROWS` has what it writes. What nodes and agents write
besides does not grow with it: a beat each two seconds, or thirty.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext

from nodes import ports
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.bus.server import embedded
from nodes.config import Config, Nats, Node, Paths
from nodes.links import cluster_keys, cluster_state
from nodes.links.errors import BusAway
from nodes.links.tasks import Tasks, closing
from protocols.wire.events import Kind
from protocols.wire.ids import CallId, CampaignId, NodeId
from protocols.wire.roles import CALLS, CENTRAL_READS, RECORDER_READS, Role
from protocols.wire.subjects import (
    ALL_EVENTS,
    CALL_HEADER,
    Bucket,
    Stream,
    call_event,
    campaign_events,
    events_of,
    state,
)
from supervisors import eventloop

EVENTS: Final[dict[Kind, float]] = {
    Kind.PLACING: 1, Kind.RINGING: 1, Kind.ANSWERED: 1, Kind.HUMAN_DETECTED: 1, Kind.ENDED: 1, Kind.TAGGED: 1,
    Kind.PROMPT_STARTED: 10, Kind.PROMPT_ENDED: 10, Kind.HEARD: 9, Kind.STATE_ENTERED: 10, Kind.SLOT_FILLED: 5,
    Kind.HANDOVER_STARTED: 0.1, Kind.HANDOVER_DONE: 0.1,
}  # fmt: skip
"""Events of a session, by kind: a call of a minute. Real conversations of the demo make 40 to 50."""
BODY: Final = {
    "v": 1, "event_id": "n1.edge-0:1795979019:123456:17", "attempt_id": "spring-1f0c7d9a52b84c6e9d3b7a6055e1c2f4-1",
    "campaign_id": "spring", "node_id": "n1", "wall": "2026-03-02T09:30:00.123456+00:00", "seq": 17,
    "kind": "turn.heard",
    "fields": {"turn": 4, "words": "yes that would be fine on thursday", "confidence": 0.93, "rule": "yes_no",
               "intent": "yes", "slots": {"when": "thursday"}, "state": "ask_day"},
}  # fmt: skip
SHOWN: Final = {
    "node": "n1",
    "campaign": "spring",
    "state": "conversing",
    "since": "2026-03-02T09:30:00+00:00",
    "rev": 3,
}
WRITTEN: Final = {
    "kind": "attempted", "campaign_id": "spring", "contact_id": "1f0c7d9a52b84c6e9d3b7a6055e1c2f4", "n": 1, "row": 4711,
    "at": "2026-03-02T09:30:00+00:00", "trunk": "carrier", "consent": "form-1", "journal_s": 1234.5, "price": 0.02,
    "passed": ["consent", "hours", "do_not_call", "spacing", "attempts", "dial_plan"],
}  # fmt: skip
SIZES: Final = (1_000, 10_000)
TICKS_A_S: Final = os.sysconf("SC_CLK_TCK")
COMPUTED: Final = 50_000
SECONDS: Final = 4.0
WINDOW: Final = 256
"""Messages that are not acknowledged, at most: more of them wait with the writer."""
BEAT_S: Final = 0.01
IDLE_S: Final = 3.0
UP_S: Final = 20.0
ELECTED_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the layout. `per_minute`: messages of a session; `is_kept`: a stream acknowledges them."""

    name: str
    where: str
    writer: Role
    per_minute: float
    is_kept: bool
    subject: Callable[[int], str]
    body: dict[str, Any]


_KINDS: Final = [kind for kind, n in EVENTS.items() for _ in range(max(1, round(n)))]


def _name(n: int) -> str:
    return f"{n:032x}"


ROWS: Final = (
    Row("events of calls", Stream.EVENTS, Role.EDGE, round(sum(EVENTS.values()), 1), True,
        lambda n: call_event(CallId(_name(n // 50)), _KINDS[n % len(_KINDS)]), BODY),
    Row("calls, shown", f"KV_{Bucket.CALLS}", Role.EDGE, 5.0, True,
        lambda n: f"$KV.{Bucket.CALLS}.{_name(n // 5)}", SHOWN),
    Row("calls, changes", "rm.state.calls.*", Role.EDGE, 5.0, False, lambda n: state("calls", _name(n // 5)), SHOWN),
    Row("journal", Stream.CAMPAIGN, Role.CENTRAL, 3.0, True,
        lambda n: campaign_events(CampaignId("spring")), WRITTEN),
    Row("opt-outs", f"KV_{Bucket.DNC}", Role.EDGE, 0.02, True, lambda n: f"$KV.{Bucket.DNC}.{_name(n)}",
        {"by": "callee", "why": "stop", "wall": "2026-03-02T09:30:00+00:00"}),
)  # fmt: skip
_STREAMS: Final = tuple(Stream)
TOGETHER: Final = "all of them"


@dataclass(frozen=True, slots=True)
class Cost:
    """What a row, or all of them, cost. `wanted` and `came`: messages a second, as so many sessions write, and as the
    machine did. `server`: cores of all servers; `client_us`: the writer's, a message; `disk_mb_min`: of one server, a
    minute; `ack_ms`: p50 and p99, None where nothing is acknowledged. `computed`: from the two before, not measured.
    """

    row: str
    sessions: int
    replicas: int
    wanted: float
    came: float
    server: float
    client_us: float
    disk_mb_min: float
    ack_ms: tuple[float, float] | None
    computed: bool = False


def beyond(small: Cost, large: Cost, sessions: int) -> Cost:
    """Return what so many sessions would cost, on the line through two that were measured.

    Where the machine did less than was wanted, what it did is taken for a share of that.

    >>> costs = [Cost("events", n, 1, n, n, n / 1000, 90.0, n / 100, (1.0, 4.0)) for n in (1_000, 10_000)]
    >>> beyond(*costs, 50_000).server, beyond(*costs, 50_000).ack_ms
    (50.0, None)
    """

    def line(of: Callable[[Cost], float]) -> float:
        slope = (of(large) / large.came * large.wanted - of(small) / small.came * small.wanted) / (
            large.sessions - small.sessions
        )
        return max(0.0, round(of(small) / small.came * small.wanted + slope * (sessions - small.sessions), 4))

    wanted = round(small.wanted / small.sessions * sessions, 1)
    server, disk = line(lambda one: one.server), line(lambda one: one.disk_mb_min)
    return Cost(small.row, sessions, small.replicas, wanted, wanted, server, large.client_us, disk, None, True)


async def measure(
    seconds: float = SECONDS,
    sizes: Sequence[int] = SIZES,
    replicas: Sequence[int] = (1, 3),
    rows: Sequence[Row] = ROWS,
) -> list[Cost]:
    """Return what each row costs, and all together; with several servers only all together. Then what is computed."""
    every = tuple(row.name for row in rows)
    found: list[Cost] = []
    for n_servers in replicas:
        names = list(dict.fromkeys((*((name,) for name in every if n_servers == 1), every)))
        async with _servers(n_servers) as (configs, pids), _readers(configs[-1]):
            idle = await _idle(pids)
            found += [
                await _cost(configs[0], pids, each, sessions, n_servers, seconds, idle)
                for each in names
                for sessions in sizes
            ]
    pairs = zip(found[:: len(sizes)], found[len(sizes) - 1 :: len(sizes)], strict=True) if len(sizes) > 1 else ()
    return [*found, *(beyond(small, large, COMPUTED) for small, large in pairs)]


async def _cost(
    config: Config,
    pids: Sequence[int],
    rows: tuple[str, ...],
    sessions: int,
    replicas: int,
    seconds: float,
    idle: float,
) -> Cost:
    store = config.paths.nats
    before, disk = sum(map(cpu_s, pids)), _bytes(store)
    began_s = time.monotonic()
    me = (config.node.id, str(config.paths.state))
    argv = (sys.executable, "-m", __name__, *me, str(sessions), str(seconds), *rows)
    writer = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    said, _ = await writer.communicate()
    took_s = time.monotonic() - began_s
    told = json.loads(said)
    await asyncio.sleep(0.2)  # the readers', and what is written behind
    server_s = sum(map(cpu_s, pids)) - before - idle * (took_s + 0.2)
    acks = sorted(told["acks"])
    ms = (_at(acks, 0.5), _at(acks, 0.99)) if acks else None
    n, active_s = max(1, told["n"]), told["seconds"]
    wanted = sum(row.per_minute for row in ROWS if row.name in rows) * sessions / 60
    return Cost(
        rows[0] if len(rows) == 1 else TOGETHER, sessions, replicas, round(wanted, 1), round(n / active_s, 1),
        round(max(0.0, server_s) / active_s, 4), round(told["cpu_s"] / n * 1e6, 1),
        round(max(0, _bytes(store) - disk) / active_s * 60 / 1e6, 2), ms,
    )  # fmt: skip


def _at(ordered: Sequence[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)


async def _idle(pids: Sequence[int]) -> float:
    """Return how many cores the servers take while nobody says anything."""
    await asyncio.sleep(IDLE_S)  # they have just begun, and elected
    before, began_s = sum(map(cpu_s, pids)), time.monotonic()
    await asyncio.sleep(IDLE_S)
    return (sum(map(cpu_s, pids)) - before) / (time.monotonic() - began_s)


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far, all its threads'. Source: proc_pid_stat(5)."""
    after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS_A_S


def _bytes(store: Path) -> int:
    return sum(one.stat().st_blocks * 512 for one in store.rglob("*.blk"))


# ---- servers and readers ------------------------------------------------------------------------------------------


@asynccontextmanager
async def _servers(n: int) -> AsyncIterator[tuple[list[Config], list[int]]]:
    """Have so many servers, with the layout, for the length of the block; each of them is a node's."""
    with TemporaryDirectory(prefix="rm-bus-") as root:
        configs = _together(Path(root), n) if n > 1 else [replace(Config(), paths=Paths(Path(root)), nats=Nats(port=0))]
        async with AsyncExitStack() as stack:
            pids = [await stack.enter_async_context(_running(embedded(config).argv)) for config in configs]
            bus = await stack.enter_async_context(_bus(configs[0], Role.CENTRAL))
            async with asyncio.timeout(ELECTED_S):
                while True:
                    try:
                        await bus.ensure_layout(n)
                        break
                    except BusAway:  # they have not found each other, or have not elected who leads
                        await asyncio.sleep(0.2)
            yield configs, pids


def _together(root: Path, n: int) -> list[Config]:
    """Return the configurations of a cluster's nodes, each with a server."""
    nodes = [NodeId(f"n{one + 1}") for one in range(n)]
    cluster_keys.make(root / nodes[0], "bench", nodes[0])
    cluster_state.add(root / nodes[0], nodes)
    for node in nodes[1:]:
        cluster_keys.unpack(cluster_keys.keys_for(root / nodes[0], node, ()), root / node)
    first = ports.take(n)
    between = [*range(first, first + n)]
    routes = tuple(f"127.0.0.1:{port}" for port in between)
    return [
        replace(_of(node, root / node), nats=Nats(port=0, routes=routes, route_port=port, replicas=n))
        for node, port in zip(nodes, between, strict=True)
    ]


def _of(node: NodeId, state_dir: Path) -> Config:
    return replace(Config(), node=Node(id=node), paths=Paths(state_dir), nats=Nats(port=0))


@asynccontextmanager
async def _running(argv: Sequence[str]) -> AsyncIterator[int]:
    process = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield process.pid
    finally:
        process.kill()
        await process.wait()


@asynccontextmanager
async def _bus(config: Config, role: Role) -> AsyncIterator[Bus]:
    """Log in, once NATS is there."""
    async with closing(await Bus.connect(login(config, role), name=role, node_id=config.node.id)) as bus:
        async with asyncio.timeout(UP_S):
            await bus.up()
        yield bus


@asynccontextmanager
async def _readers(config: Config) -> AsyncIterator[None]:
    """Read as a node does: the recorder all events, central how calls go, a desk what changes."""
    async with (
        _bus(config, Role.RECORDER) as recorder,
        _bus(config, Role.CENTRAL) as central,
        _bus(config, Role.DESK) as desk,
        Tasks() as tasks,
    ):
        tasks.spawn(_drain(recorder, RECORDER_READS, ALL_EVENTS))
        tasks.spawn(_drain(central, CALLS, events_of(CENTRAL_READS[CALLS])))
        tasks.spawn(_watch(desk))
        await desk.subscribe("rm.state.>", lambda body, subject: None)
        yield


async def _drain(bus: Bus, durable: str, subject: str) -> None:
    consumer = bus.consume(Stream.EVENTS, durable, subject)
    while True:
        try:
            await consumer.ack(await consumer.fetch(1.0))
        except BusAway:
            await asyncio.sleep(0.1)


async def _watch(bus: Bus) -> None:
    async for _ in bus.kv(Bucket.CALLS).watch():
        pass


# ---- the writer ---------------------------------------------------------------------------------------------------


async def _write(config: Config, sessions: int, seconds: float, names: Sequence[str]) -> dict[str, object]:
    """Publish what so many sessions would, evenly; return how many that were, in how long, and what they took."""
    rows = [row for row in ROWS if row.name in names]
    clients = {role: await _client(config, role) for role in {row.writer for row in rows}}
    streams = {role: client.jetstream() for role, client in clients.items()}
    acks: list[float] = []
    room = asyncio.Semaphore(WINDOW)
    done = [0] * len(rows)
    first = time.time_ns() % 10**15  # names that no writer before has used
    began_s, cpu = time.monotonic(), time.process_time()
    while (past_s := time.monotonic() - began_s) < seconds:
        for at, row in enumerate(rows):
            due = int(row.per_minute * sessions / 60 * past_s) + (past_s > 0)
            while done[at] < due and time.monotonic() - began_s < seconds:
                await _publish(streams[row.writer], clients[row.writer], row, first + done[at], room, acks)
                done[at] += 1
        await asyncio.sleep(BEAT_S)
    for _ in range(WINDOW):
        await room.acquire()
    took = {"n": sum(done), "seconds": time.monotonic() - began_s, "cpu_s": time.process_time() - cpu, "acks": acks}
    for client in clients.values():
        await client.close()
    return took


async def _client(config: Config, role: Role) -> Client:
    me = login(config, role)
    return await nats.connect(me.urls, inbox_prefix=me.inbox, **me.options)


async def _publish(
    stream: JetStreamContext, client: Client, row: Row, n: int, room: asyncio.Semaphore, acks: list[float]
) -> None:
    body = json.dumps(row.body, separators=(",", ":")).encode()
    if not row.is_kept:
        await client.publish(row.subject(n), body)
        return
    await room.acquire()
    at = time.monotonic()

    def acknowledged(future: asyncio.Future[Any]) -> None:
        room.release()
        if not future.cancelled() and future.exception() is None:
            acks.append((time.monotonic() - at) * 1000)

    header = {"Nats-Msg-Id": f"{row.name}:{n}", CALL_HEADER: f"{n:032x}"} if row.where in _STREAMS else None
    sent = await stream.publish_async(row.subject(n), body, headers=header)
    sent.add_done_callback(acknowledged)


if __name__ == "__main__":
    _node, _state, _sessions, _seconds, *_rows = sys.argv[1:]
    _told = eventloop.run(_write(_of(NodeId(_node), Path(_state)), int(_sessions), float(_seconds), _rows))
    sys.stdout.write(json.dumps(_told))

__all__ = ["COMPUTED", "EVENTS", "ROWS", "SIZES", "TOGETHER", "Cost", "Row", "beyond", "measure"]
