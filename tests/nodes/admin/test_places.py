"""Who has a place at the HTTP server, and who gives way: against a list as the model."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.admin.places import Full, Places, origin_of

Steps = st.lists(
    st.tuples(st.sampled_from(["enter", "works", "waits", "leave"]), st.integers(0, 30), st.integers(0, 2))
)


@given(Steps, st.integers(1, 6), st.integers(1, 6))
def test_there_are_never_more_than_the_limits_and_who_works_never_gives_way(
    steps: list[tuple[str, int, int]], in_all: int, per_origin: int
) -> None:
    places: Places[int] = Places(in_all, per_origin)
    here: dict[int, int] = {}
    at_work: set[int] = set()
    for step, who, origin in steps:
        if step == "enter" and who not in here:
            try:
                goes = places.enter(who, str(origin))
            except Full:
                same = {one for one, at in here.items() if at == origin}
                assert at_work >= (same if len(same) >= per_origin else here.keys())
                continue
            if goes is not None:
                assert goes not in at_work
                del here[goes]
            here[who] = origin
        elif step == "leave":
            places.leave(who)
            here.pop(who, None)
            at_work.discard(who)
        elif who in here and step in ("works", "waits"):
            (places.works if step == "works" else places.waits)(who)
            (at_work.add if step == "works" else at_work.discard)(who)
        assert len(places) == len(here) <= in_all
        assert all(list(here.values()).count(one) <= per_origin for one in here.values())


def test_who_has_kept_us_waiting_longest_gives_way_first_of_those_of_the_same_address() -> None:
    places: Places[str] = Places(in_all=10, per_origin=2)
    for who, origin in (("other", "b"), ("first", "a"), ("second", "a")):
        assert places.enter(who, origin) is None
    places.works("first")
    assert places.enter("third", "a") == "second"
    places.works("third")
    with pytest.raises(Full):
        places.enter("fourth", "a")
    places.waits("first")
    assert places.enter("fifth", "a") == "first"


def test_a_customer_of_ipv6_is_a_network_not_an_address() -> None:
    assert origin_of("2001:db8:1:2:aaaa::1") == origin_of("2001:db8:1:2:bbbb::2")
    assert origin_of("2001:db8:1:2::1") != origin_of("2001:db8:1:3::1")
