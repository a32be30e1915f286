"""One node for all journeys of a test run: setting it up costs more than most calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
import pytest_asyncio

from nodes import ports
from nodes.commands.stage import stage
from tests.journeys.crowd import Played, crowd
from tests.journeys.following import HAS_SECOND, SECOND, WHOLE, Node
from tests.journeys.peers.kamailio import Account

Calls = dict[str, Played]
HERE = Path(__file__).parent
TALK = (HERE / "talk.yaml").read_text()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All journeys are marked as such, and share the loop on which their node is followed."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.journey)
            if iscoroutinefunction(getattr(item, "function", None)):
                item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """`measured(gap_ms=40.1)`: keep numbers with the test's result, and show them to whoever runs it with `-s`."""

    def keep(**numbers: object) -> None:
        for name, number in numbers.items():
            record_property(name, number)
        print("\n  measured:", ", ".join(f"{name} {number}" for name, number in numbers.items()))  # noqa: T201

    return keep


@pytest.fixture(scope="session")
def account() -> Account:
    """What the node knows of its carrier, which runs only while a journey needs it."""
    return Account(ports.take())


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def node(tmp_path_factory: pytest.TempPathFactory, account: Account) -> AsyncIterator[Node]:
    """A whole node with rehearsal callees, followed."""
    state = tmp_path_factory.mktemp("journeys") / "state"
    settings = account.settings + (f'\n[[speech.engines]]\nname = "{SECOND}"\n' if HAS_SECOND else "")
    async with stage(state, {"talk": TALK}, 1, WHOLE, settings, restarts=1) as play:
        made = Node(play, TALK)
        await made.listen()
        await made.whole()
        yield made
        await made.bus.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def begun(node: Node, account: Account, tmp_path_factory: pytest.TempPathFactory) -> asyncio.Task[Calls]:
    """Calls to far ends of every kind, begun all at once: they play while journeys go on in which no process dies."""
    node.playing = asyncio.create_task(crowd(node, account, tmp_path_factory.mktemp("crowd")))
    return node.playing


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def calls(begun: asyncio.Task[Calls]) -> Calls:
    """The same, when all are over."""
    return await begun
