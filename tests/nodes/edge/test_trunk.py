"""Where a request goes first, and what a name that leads nowhere is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.config import parse
from nodes.edge.trunk import Trunk, Unreachable


@pytest.fixture
def trunk(tmp_path: Path) -> Iterator[Trunk]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield Trunk(parse("", "test", tmp_path), sock)


@pytest.mark.parametrize("host", ["a..b", f"{'x' * 64}.example"])
async def test_a_host_that_no_name_can_be_is_nowhere_and_crashes_nobody(trunk: Trunk, host: str) -> None:
    """Whether it comes from an order, a trunk's settings or a far end's Contact."""
    with pytest.raises(Unreachable, match=host):
        await trunk.next_hop(f"sip:ann@{host}")
