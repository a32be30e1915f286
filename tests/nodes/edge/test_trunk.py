"""Where a request goes first, and what a name that leads nowhere is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodes.config import parse
from nodes.edge.trunk import NotAllowed, Trunk, Unreachable


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


@pytest.mark.parametrize(("proxy", "port"), [("127.0.0.9", 5060), ("127.0.0.9:5070", 5070)])
async def test_what_is_for_a_carrier_behind_a_proxy_goes_to_the_proxy_and_all_else_where_it_says(
    tmp_path: Path, proxy: str, port: int
) -> None:
    text = f"[[sip.trunks]]\nname = 'carrier'\nhost = 'sip.carrier.invalid'\nproxy = '{proxy}'\n"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        trunk = Trunk(parse(text, "test", tmp_path), sock)
        assert await trunk.next_hop("sip:+12025550100@sip.carrier.invalid:5060;user=phone") == ("127.0.0.9", port)
        assert await trunk.next_hop("sip:ann@127.0.0.1:5080") == ("127.0.0.1", 5080)


async def test_a_proxy_in_a_private_network_is_named_by_its_trunk_and_needs_no_leave(tmp_path: Path) -> None:
    text = (
        "[sip]\nbind = '0.0.0.0'\n[[sip.trunks]]\nname = 'carrier'\nhost = 'sip.carrier.invalid'\nproxy = '10.1.2.3'\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        trunk = Trunk(parse(text, "test", tmp_path), sock)
        assert await trunk.next_hop("sip:+12025550100@sip.carrier.invalid") == ("10.1.2.3", 5060)
        with pytest.raises(NotAllowed):
            await trunk.next_hop("sip:ann@10.1.2.4")
