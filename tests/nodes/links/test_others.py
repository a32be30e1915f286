"""What a spokesman knows of the other nodes, and what of it is news."""

from __future__ import annotations

from dataclasses import replace

from nodes.links.members import NOT_TOLD
from nodes.links.others import Others
from nodes.links.tasks import Tasks
from protocols.wire.cluster import NodeWord
from protocols.wire.ids import NodeId


async def test_a_nodes_figures_are_no_news_and_all_else_is_told_at_once() -> None:
    """They change with each call, and to tell every process of every node of each would cost more than the calls."""
    news: list[None] = []
    async with Tasks() as tasks:
        others = Others(NOT_TOLD, False, tasks, lambda: news.append(None))
        word = NodeWord(NodeId("n2"), 1, 1, "prod", 1, "1.0", "", (), "", 0.0, ())
        assert others.hear(word)
        n = len(news)
        figures = (
            replace(word, calls=3), replace(word, load=0.5), replace(word, without_heir=2),
            replace(word, hears=(NodeId("n1"),)), replace(word, wall=9.0),
        )  # fmt: skip
        assert all(others.hear(one) for one in figures)
        assert len(news) == n
        for told in (replace(word, wall=10.0, is_draining=True), replace(word, wall=11.0, settings=1)):
            assert others.hear(told)
            assert len(news) > n
            n = len(news)
        others.close()
