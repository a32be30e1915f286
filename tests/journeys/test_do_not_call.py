"""Whoever comes on the do-not-call list is rung no longer, and never again."""

from __future__ import annotations

from datetime import UTC, datetime

from nodes.links.contact_key import contact_key
from protocols.wire.campaigns import contact_id
from protocols.wire.do_not_call import ChangeDoNotCall, CheckDoNotCall, Listing
from tests.journeys.following import Node
from tests.journeys.peers.phone import phones


async def test_a_telephone_that_rings_stops_when_its_owner_comes_on_the_list_and_rings_no_more(node: Node) -> None:
    await node.whole()
    ask, central = node.stage.client.mesh.ask, node.active("central").identity
    async with phones(1) as (phone,):
        call = await node.call(phone.uri)
        await phone.rings()
        name = contact_id(phone.uri, contact_key(node.stage.config.paths.state))
        said = Listing(name, True, "operator", "asked by letter", datetime.now(UTC).isoformat())
        done = await ask(central, ChangeDoNotCall((said,)))
        assert (done.n_new, done.is_everywhere) == (1, True)
        ended = await call.ended()
        assert (ended.fields["disposition"], ended.fields["cause"]) == ("rejected", "do_not_call")
        again = await node.call(phone.uri)
        assert (await again.ended()).fields["cause"] == "do_not_call"
        page = await ask(central, CheckDoNotCall((name,)))
        assert (page.listings, page.is_known) == ((said,), True)
