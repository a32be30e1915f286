"""A rehearsal in a process of its own: the exchange, and the events that tell the callees what they are asked."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from grammars.rules.compile import compile_rule
from grammars.rules.rule import Rule
from grammars.script import load
from grammars.script_model import Gather, Script
from nodes import priority
from nodes.bus.bus import Bus
from nodes.bus.login import login
from nodes.config import Config
from nodes.rehearsal import agent
from nodes.rehearsal.exchange import Exchange
from nodes.rehearsal.repertoire import Repertoire
from protocols.wire.events import from_body
from protocols.wire.ids import Identity
from protocols.wire.roles import Role
from protocols.wire.subjects import ALL_EVENTS
from supervisors.parent import Parent

SCRIPTS = "RINGMASTER_REHEARSAL_SCRIPTS"
"""Environment variable: paths of the scripts that will be heard, joined with `:`."""
SEED = "RINGMASTER_REHEARSAL_SEED"
PHRASES = "RINGMASTER_REHEARSAL_PHRASES"
"""Environment variable: so many phrases of each meaning, all spoken before the first call; without it, any phrase."""
REPORTS = "rehearsal.jsonl"
"""In the state directory: one line for each call, as the callee has lived it."""


async def run(parent: Parent, config: Config, identity: Identity) -> None:
    """Take calls on the inherited socket `sip` until the parent says stop."""
    scripts = _scripts(os.environ[SCRIPTS].split(":"))
    seed, n_phrases = int(os.environ.get(SEED, "1")), int(os.environ.get(PHRASES, "0"))
    repertoires = {
        script.hash: Repertoire(_rules(script), _questions(script), n_phrases, seed) for script in scripts
    }  # fmt: skip
    for repertoire in repertoires.values():
        await repertoire.rehearse()
    if n_phrases:
        priority.claim("callees")
    by_hash = {script.hash: script for script in scripts}
    exchange = Exchange(parent.sockets["sip"], by_hash, repertoires, seed, config.paths.state / REPORTS)
    bus = await Bus.connect(login(config, Role.COMMAND), name=identity, node_id=config.node.id)
    await bus.subscribe(ALL_EVENTS, lambda body, _: exchange.event(from_body(body)))
    desks = os.environ.get(agent.DESKS, str(config.paths.run)).split(":")
    agents = agent.agents_of(
        os.environ.get(agent.AGENTS, ""), [*map(Path, desks)], config.paths.state / agent.REPORTS
    )  # fmt: skip
    async with asyncio.TaskGroup() as tasks:
        people = [tasks.create_task(run()) for run in (exchange.run, *(one.run for one in agents))]
        await parent.ready({"identity": identity})
        async for _ in parent.orders:
            pass
        for person in people:
            person.cancel()
    await bus.close()


def _scripts(paths: Sequence[str]) -> list[Script]:
    return [load(Path(path).read_text(encoding="utf-8")) for path in paths]


def _rules(script: Script) -> dict[str, Rule]:
    today = date.today()  # noqa: DTZ011  the callee's own day
    return {name: compile_rule(spec, today) for name, spec in script.rules.items()}


def _questions(script: Script) -> set[str]:
    return {state.verb.rule for state in script.states.values() if isinstance(state.verb, Gather)}


__all__ = ["PHRASES", "REPORTS", "SCRIPTS", "SEED", "run"]
