"""Who speaks for this node: says its word to the other nodes, hears theirs, and tells its processes who there is.

It is in each process that may speak (`SPEAKERS`), and quiet unless it is that one's turn. It

    says its word over the mesh to every other node's spokesman, every `BEAT_S`, and at once when it has changed
    says it on NATS every `WORD_S`, and oftener while somebody is silent: its echo shows that NATS hears us
    tells every process of its node (`ClusterTold`) what has changed: that somebody is there, or is not, at once,
        figures every `WORD_S`, and all of it every `ALL_S`, for whoever has missed something

A newcomer says its word before it is in, and hears the others' at once: what bars it (`protocols.joining`) keeps it
alone. It says so once in the log, and asks again. Who takes over as spokesman goes on from what its process was told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.metadata import version
from typing import Final

import msgspec

from nodes.bus.bucket import Body
from nodes.bus.bus import Bus
from nodes.config import Config, ConfigError
from nodes.links import cluster_state
from nodes.links.errors import Refused
from nodes.links.letting_in import let_in_who_lives
from nodes.links.log_lines import KeptLines
from nodes.links.members import ASKING, NOT_TOLD, Members
from nodes.links.others import Others
from nodes.links.roster import NOBODY, Roster, State
from nodes.links.tasks import Tasks
from nodes.mesh.mesh import Mesh
from nodes.telemetry import logs
from protocols.joining import Candidate, Resident, barred
from protocols.wire.cluster import (
    ClusterSeen,
    ClusterTold,
    EdgeWord,
    GetCluster,
    Member,
    NodeProcess,
    NodeWord,
    spokesman,
    together,
)
from protocols.wire.envelope import VERSION
from protocols.wire.ids import Identity, NodeId, node_of
from protocols.wire.subjects import ALL_NODE_WORDS, node_word

BEAT_S: Final = 0.5
WORD_S: Final = 2.0
ALL_S: Final = 10.0
RELEASE: Final = version("ringmaster")
"""Read once: where it stands is a file."""
HEAR_S: Final = 1.0
"""So long a newcomer waits for the words of the others, from when NATS has taken its own."""
WAITING_S: Final = 10.0
"""So long it is shown that somebody is not let in."""
UNHEARD_S: Final = 10.0
"""NATS takes no longer to give us back what we have said, if it takes it at all."""
NO_NATS: Final = "NATS is away, so no other node can be asked"
UNHEARD: Final = (
    "NATS does not carry our word: may this node's users publish rm.node.<id>.word, and hear rm.node.*.word?"
)

log = logs.get(__name__)


class Spokesman:
    """One process's. `figures`: what it knows of its node's calls."""

    def __init__(
        self,
        mesh: Mesh,
        bus: Bus,
        config: Config,
        members: Members,
        tasks: Tasks,
        figures: Callable[[], EdgeWord] = EdgeWord,
    ) -> None:
        """`tasks`: the process's, for what watches the others' doors.

        Raises: `ConfigError`, `BadClusterState`, `OSError` on a clustered node that does not know its cluster.
        """
        self._mesh, self._bus, self._config, self._members, self._figures = mesh, bus, config, members, figures
        self._us = Candidate(_cluster_of(config), config.node.id, VERSION)
        self._clock, self._wake, self._tasks = asyncio.get_running_loop().time, asyncio.Event(), tasks
        self._wall = time.time
        self._roster: Roster = NOBODY
        self._others: Others | None = None
        """While it is our turn."""
        self._told: set[Identity] = set()
        """Our processes that have been told of the others."""
        self._adds: Identity | None = None
        """Who speaks for our node, where that is another one of its edges."""
        self._has_subscribed = self._is_news = False
        self._bar = ""
        let_in_who_lives(config, members, tasks)
        self._others_words: dict[Identity, EdgeWord] = {}
        """Of the other active edges of our node."""
        mesh.serve(EdgeWord, self._from_edge)
        mesh.serve(NodeWord, self._from_mesh)
        mesh.serve(GetCluster, self._show)
        KeptLines(config.paths.log).serve(mesh)

    # ---- whose turn it is --------------------------------------------------------------------------------------------

    def follow(self, roster: Roster) -> None:
        """Take the launcher's word: it may be our turn now, and what we say of our node may be new."""
        before, self._roster = self._roster, roster
        speaker = spokesman(_processes(roster)) if self._us.cluster and roster.launcher else None
        is_ours = speaker == self._mesh.identity
        edges = {peer.identity for peer in roster.active("edge")}
        self._adds = speaker if self._mesh.identity in edges and not is_ours else None
        self._others_words = {one: word for one, word in self._others_words.items() if one in edges}
        if is_ours and not self._others:
            self._begin()
        elif self._others and not is_ours:
            self._tell()  # whoever's turn it is now goes on from that
            self._others.close()
            self._others = None
        self._is_news |= before.processes != roster.processes
        self._told &= {peer.identity for peer in roster.processes}
        if self._others and len(self._told) < len(roster.processes):
            self._tell()
        self._wake.set()

    def _begin(self) -> None:
        """Go on from what this process was told; who was told nothing yet has to ask whether it may join."""
        now, told = self._clock(), self._members.told
        self._others = Others(told, not self._config.has_server, self._tasks, self._changed)
        self._is_in, self._bar = told is not NOT_TOLD and not told.bar, ASKING if told is NOT_TOLD else told.bar
        self._asked_s: float | None = None
        self._since_s = now
        """Since when NATS could have heard us."""
        self._answers: dict[NodeId, tuple[NodeWord, Resident]] = {}
        self._waiting: dict[NodeId, tuple[float, str]] = {}
        self._is_news, self._beat_s, self._said_s, self._word_s, self._tell_s = True, now, now, now, now + WORD_S
        self._all_s = now
        log.info("cluster.speaks", is_in=self._is_in)

    async def run(self) -> None:
        """Speak whenever it is our turn, until cancelled. On a node that is alone there is nothing to say."""
        if not self._us.cluster:
            return
        while True:
            self._wake.clear()
            if self._others:
                await self._subscribe()
            if self._bar == ASKING and self._members.told is not NOT_TOLD:
                self._begin()  # the spokesman before us has told us
            if self._others:
                self._beat(self._others, self._clock())
            elif self._adds:
                self._mesh.tell(self._adds, self._figures())
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _subscribe(self) -> None:
        if not self._has_subscribed:
            self._has_subscribed = True
            await self._bus.subscribe(ALL_NODE_WORDS, self._from_nats)

    def _pause_s(self) -> float | None:
        if self._others is None:
            return BEAT_S if self._adds else None
        due_s = min(self._others.deadline, self._beat_s, self._word_s, self._tell_s)
        return max(0.0, due_s - self._clock())

    def _beat(self, others: Others, now: float) -> None:
        """Do what is due."""
        others.look()
        if not self._is_in:
            self._join(others, now)
        if self._bar in (ASKING, NO_NATS) or others.wants_witness():
            self._word_s = min(self._word_s, self._said_s + BEAT_S)
        if self._is_news or now >= min(self._beat_s, self._word_s):
            self._say(others, now)
        if now >= self._tell_s:
            self._tell_figures(others, now)

    def _say(self, others: Others, now: float) -> None:
        """Say our word to whom it is due, and to all when there is news."""
        is_news, self._is_news = self._is_news, False
        word = self._word(others)
        if is_news or now >= self._beat_s:
            self._beat_s = now + BEAT_S
            for speaker in filter(None, (spokesman(one.processes) for one in others.words())):
                self._mesh.tell(speaker, word)
        if is_news or now >= self._word_s:
            self._said_s, self._word_s = now, now + WORD_S
            self._bus.publish(node_word(word.node), msgspec.to_builtins(word))

    def _changed(self) -> None:
        """Something is new about another node: ours hear it at once, and the others that we know it."""
        self._is_news = True
        self._tell()
        self._wake.set()

    # ---- joining -----------------------------------------------------------------------------------------------------

    def _join(self, others: Others, now: float) -> None:
        """Be in when nothing bars us, once all who live have had the time to answer."""
        if not self._bus.connected:
            self._since_s = now
            return self._alone(NO_NATS)
        if self._asked_s is None and now - self._since_s > UNHEARD_S:
            return self._alone(UNHEARD)
        if self._asked_s is None or now - self._asked_s < HEAR_S:
            return
        answers, self._answers, self._asked_s, self._since_s = self._answers, {}, None, now
        if told := barred(self._us, [resident for _, resident in answers.values()]):
            return self._alone(told.reason)
        self._is_in, self._bar = True, ""
        log.info("cluster.in", nodes=sorted(answers))
        self._changed()
        for word, _ in answers.values():
            if word.is_in:
                others.hear(word)

    def _alone(self, reason: str) -> None:
        """Stay out of the cluster, or leave it."""
        is_new, self._is_in, self._bar = reason != self._bar, False, reason
        if is_new:
            log.warning("cluster.alone", reason=reason)
            self._tell()

    # ---- what others say ---------------------------------------------------------------------------------------------

    def _from_mesh(self, word: NodeWord, sender: Identity) -> None:
        if node_of(sender) == word.node:
            self._hear(word, is_echo=False)

    def _from_edge(self, word: EdgeWord, sender: Identity) -> None:
        if sender in {peer.identity for peer in self._roster.active("edge")}:
            self._others_words[sender] = word

    def _from_nats(self, body: Body, subject: str) -> None:
        try:
            word = msgspec.convert(body, NodeWord)
        except msgspec.ValidationError:
            return
        if subject == node_word(word.node):
            self._hear(word, is_echo=True)

    def _hear(self, word: NodeWord, is_echo: bool) -> None:
        """Take a node's word. `is_echo`: it came over NATS, so that our own says that NATS hears us."""
        launcher = self._roster.launcher
        if self._others is None or launcher is None:
            return
        if word.node != self._us.node:
            self._hear_other(self._others, word, launcher.epoch)
        elif word.epoch == launcher.epoch:
            if is_echo:
                self._asked_s = self._clock() if self._asked_s is None else self._asked_s
                if not self._config.nats.routes and self._bus.is_one_server:  # of several, each side of a cut has one
                    self._others.answered()
        elif word.wall * 1e9 > launcher.epoch:  # not the last that our own predecessor said
            self._hear_namesake(word, is_older=word.epoch < launcher.epoch)
        if self._is_news or not self._is_in:
            self._wake.set()

    def _hear_namesake(self, word: NodeWord, is_older: bool) -> None:
        """Another machine has our id: who was there first stays, and lets the other hear it."""
        if not self._is_in:
            if word.is_in or is_older:
                self._answers[word.node] = (word, self._resident(word))
        elif word.is_in and is_older and (told := barred(self._us, [self._resident(word)])):
            self._alone(told.reason)
        else:
            self._is_news = True

    def _hear_other(self, others: Others, word: NodeWord, epoch: int) -> None:
        is_known = others.epoch(word.node) == word.epoch
        is_one_of_us = (word.cluster, word.protocol) == (self._us.cluster, self._us.protocol)
        if not self._is_in:
            if word.is_in or word.epoch < epoch:  # of two newcomers the later one gives way
                self._answers[word.node] = (word, self._resident(word))
        elif not is_one_of_us or not (word.is_in or is_known):
            self._is_news |= not word.is_in
            self._waiting[word.node] = (self._clock(), self._objection(others, word))
        elif others.hear(word):
            self._waiting.pop(word.node, None)
        else:
            self._waiting[word.node] = (self._clock(), f"there is a living node {word.node} already")

    def _objection(self, others: Others, word: NodeWord) -> str:
        """Return what we have against a newcomer, as it will find out from our word."""
        ahead_s = self._wall() - word.wall
        us = [Resident(self._us.cluster, node, VERSION, ahead_s) for node in (self._us.node, *others.hears)]
        told = barred(Candidate(word.cluster, word.node, word.protocol), us)
        return told.reason if told else "it is asking"

    def _resident(self, word: NodeWord) -> Resident:
        return Resident(word.cluster, word.node, word.protocol, word.wall - self._wall())

    # ---- what we say -------------------------------------------------------------------------------------------------

    def _word(self, others: Others) -> NodeWord:
        launcher, node = self._roster.launcher, self._config.node
        figures = together([self._figures(), *self._others_words.values()])
        assert launcher is not None
        return NodeWord(
            node.id, launcher.epoch, self._roster.revision, self._us.cluster, VERSION, RELEASE, node.zone,
            node.roles, launcher.door, self._wall(), tuple(_processes(self._roster)), self._is_in, figures.is_draining,
            figures.calls, figures.load, figures.without_heir, others.hears, others.dead, figures.settings,
            figures.refused, tuple(trunk.name for trunk in self._config.sip.trunks), self._roster.n_wanted("edge"),
        )  # fmt: skip

    def _tell_figures(self, others: Others, now: float) -> None:
        """Tell what others have said of how they are, if any of it is new."""
        self._tell_s = now + WORD_S
        if now >= self._all_s or _timeless(others.members()) != _timeless(self._members.told.nodes):
            self._tell()

    def _tell(self) -> None:
        """Tell all processes of our node who there is, this one first; nothing before we know whether we are in."""
        if self._others is None or self._bar == ASKING:
            return
        self._tell_s, self._all_s = self._clock() + WORD_S, self._clock() + ALL_S
        nodes = self._others.members() if self._is_in else ()
        told = ClusterTold(self._members.told.revision + 1, nodes, self._bar, self._others.dead)
        self._members.take(told)
        self._told = {self._mesh.identity}
        for peer in self._roster.processes:
            if peer.identity != self._mesh.identity and self._mesh.tell(peer.identity, told):
                self._told.add(peer.identity)

    def _show(self, _: GetCluster, sender: Identity) -> ClusterSeen:
        """Say who is in the cluster. Refuses: `not_spokesman`."""
        if self._others is None:
            raise Refused("not_spokesman")
        since_s = self._clock() - WAITING_S
        waiting = {str(node): why for node, (at, why) in self._waiting.items() if at > since_s}
        return ClusterSeen(self._word(self._others), self._others.seen(), self._bar, waiting)


def _cluster_of(config: Config) -> str:
    """Return the cluster's id; empty on a node that is alone."""
    if not config.cluster.is_joined:
        return ""
    if (state := cluster_state.read(config.paths.state)) is None:
        reason = "is set, and this machine is of no cluster: ringmaster cluster init or join"
        raise ConfigError("configuration", "cluster.bind", reason)
    return state.id


def _timeless(members: Iterable[Member]) -> list[Member]:
    """Return them without what is new in each word."""
    return [replace(one, word=replace(one.word, wall=0.0)) for one in members]


def _processes(roster: Roster) -> list[NodeProcess]:
    """Return the processes that other nodes may want: the active ones, and the edges that may become so."""
    return [
        NodeProcess(peer.role, peer.name, peer.identity, peer.address, peer.pid, peer.state is State.ACTIVE)
        for peer in roster.processes
        if peer.state is State.ACTIVE or peer.role == "edge"
    ]


__all__ = ["NO_NATS", "UNHEARD", "Spokesman"]
