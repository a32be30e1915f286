"""Calls that have come to a stage, for tests that begin there."""

from __future__ import annotations

from nodes.call.effects import Question, Reserve
from nodes.call.record import CallPhase
from tests.nodes.call.audio import Said
from tests.nodes.call.world import World


def placed(*kinds: type[Question], **how: bool) -> World:
    """A call that is being placed; questions of these kinds wait until they are answered by hand."""
    world = World("desk", **how)  # type: ignore[arg-type]
    slow(world, *kinds)
    world.begin(2, "ann")
    return world


def slow(world: World, *kinds: type[Question]) -> None:
    """Let questions of these kinds wait until they are answered by hand."""
    world.waits = lambda question: None if isinstance(question, kinds) else 0.005


def talks(*, is_recorded: bool = False) -> World:
    """A call in which the first question is open."""
    world = placed(is_recorded=is_recorded)
    world.pass_(0.1)
    world.phone.answer()
    world.line.speak(Said())
    world.until(
        lambda: world.record.listen and not world.asks and world.record.channel and not world.record.channel.playing
    )
    return world


def handed() -> World:
    """A call whose callee is on the way to an agent."""
    world = talks()
    slow(world, Reserve)
    world.line.speak(Said("", "yes"))
    world.until(lambda: Reserve in world.asks)
    return world


def bridged() -> World:
    """A call whose callee talks with an agent."""
    world = handed()
    world.answer(world.asks[Reserve])
    world.pass_(0.1)
    world.desk.accept("ann")
    world.until(lambda: world.record.phase is CallPhase.BRIDGED)
    return world


__all__ = ["bridged", "handed", "placed", "slow", "talks"]
