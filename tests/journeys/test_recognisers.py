"""The recogniser of calls that are up is changed, and the one that they were changed to is killed: no turn is lost.

Three calls here; RINGMASTER_CALLS=10 has ten.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

from nodes.config import ENVIRONMENT
from protocols.wire.events import Kind
from protocols.wire.messages import GetStatus
from tests.journeys.following import HAS_SECOND, PATIENCE_S, SECOND, Followed, Node
from tests.journeys.peers.phone import Phone, phones

SCRIPT = (Path(__file__).parent / "recognisers.yaml").read_text()
N_CALLS = int(os.environ.get("RINGMASTER_CALLS", "3"))
N_TURNS = 4
WORDS = "that is right"
"""What the second recogniser, which hears worse, is sure of."""
Measured = Callable[..., None]


async def use(node: Node, recogniser: str) -> None:
    """Have all calls be heard by it, as an operator does; return when the edge goes by that."""
    state = node.stage.config.paths.state
    command = [sys.executable, "-m", "nodes.cli", "speech", "use", recogniser]
    environment = {**os.environ, ENVIRONMENT: str(state / "ringmaster.toml")}
    done = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.DEVNULL)
    async with asyncio.timeout(PATIENCE_S):
        assert await done.wait() == 0


@pytest_asyncio.fixture(loop_scope="session")
async def changing(node: Node) -> AsyncIterator[Node]:
    """The node, which hears with its default before and after."""
    await node.whole()
    yield node
    await use(node, "kaldi")
    await node.whole()


async def understood(node: Node) -> Counter[str]:
    """Return how many answers each speech process has understood."""
    told: Counter[str] = Counter()
    for peer in node.stage.client.roster().active("speech"):
        status = await node.stage.client.mesh.ask(peer.identity, GetStatus())
        told[peer.name] += int(status.figures.get("understood", 0.0))
    return told


async def begun(node: Node, phone: Phone) -> Followed:
    """Call a phone; somebody answers, says hello and hears the first question."""
    call = await node.call(phone.uri, script=SCRIPT)
    await phone.rings()
    await phone.answer()
    await phone.say("hello")
    await call.event(Kind.PROMPT_ENDED, 2)
    return call


@pytest.mark.skipif(not HAS_SECOND, reason=f"{SECOND} is not installed")
async def test_the_recogniser_is_changed_in_the_middle_of_answers_and_then_killed_and_every_answer_is_heard_once(
    changing: Node, measured: Measured
) -> None:
    node = changing
    async with phones(N_CALLS) as all_phones:
        calls = await asyncio.gather(*(begun(node, phone) for phone in all_phones))
        before = await understood(node)
        said = [asyncio.create_task(phone.say(WORDS)) for phone in all_phones]
        await use(node, SECOND)
        await asyncio.gather(*said, *(call.event(Kind.PROMPT_ENDED, 3) for call in calls))
        for n in (4, 5):  # the second question may have begun before it was changed, the third has not
            await asyncio.gather(*(phone.say(WORDS) for phone in all_phones))
            await asyncio.gather(*(call.event(Kind.PROMPT_ENDED, n) for call in calls))
        after = await understood(node)
        (second,) = node.engines("", SECOND)
        await asyncio.gather(*(phone.say(WORDS, until_s=0.4) for phone in all_phones))
        node.kill(second)
        ended = await asyncio.gather(*(call.ended() for call in calls))
    heard = after - before
    answers = [call.all(Kind.HEARD, intent="yes") for call in calls]
    lost = sum(N_TURNS - len(one) for one in answers)
    asked_again = sum(len(call.all(kind)) for call in calls for kind in (Kind.NOMATCH, Kind.NOINPUT))
    recovered = sum(len(call.all(Kind.RECOVERED, what="engine")) for call in calls)
    ms = sorted(int(str(one[-1].fields["ms"])) for one in answers if one)
    measured(
        calls=len(calls), turns=N_TURNS * len(calls), lost=lost, asked_again=asked_again,
        by_second=heard[second.name], recovered=recovered, after_kill_ms=ms,
    )  # fmt: skip
    assert (lost, asked_again) == (0, 0)
    assert all(len(one) == N_TURNS for one in answers), "and none was heard twice"
    assert heard[second.name] >= len(calls), "the third question of each"
    assert recovered == len(calls), "their last was heard again elsewhere"
    assert {one.fields["disposition"] for one in ended} == {"completed"}
