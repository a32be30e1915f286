"""A copy of somebody else's things: deltas come at once or never, the bucket late and always."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nodes.bus.replica import CONFIRM_S, DOUBT_S, Replica

KEYS = st.sampled_from("abc")


def test_what_was_just_told_is_there_at_once() -> None:
    replica = Replica()
    replica.delta("a", {"state": "ringing", "rev": 2}, 0.0)
    assert replica.things == {"a": {"state": "ringing", "rev": 2}}


def test_a_late_copy_takes_nothing_back() -> None:
    replica = Replica()
    replica.delta("a", {"state": "answered", "rev": 2}, 0.0)
    replica.copy("a", {"state": "ringing", "rev": 1}, 0.1)
    assert replica.things["a"]["state"] == "answered"
    replica.delta("a", {"gone": True, "rev": 3}, 0.2)
    replica.copy("a", {"state": "answered", "rev": 2}, 0.3)
    assert not replica.things


def test_a_delta_of_before_the_copy_is_not_heard() -> None:
    replica = Replica()
    replica.copy("a", {"state": "answered", "rev": 2}, 0.0)
    replica.delta("a", {"state": "ringing", "rev": 1}, 0.1)
    assert replica.things["a"]["state"] == "answered"


def test_a_key_that_is_used_again_survives_the_deletion_of_its_last_use() -> None:
    replica = Replica()
    replica.copy("a", {"state": "ready", "rev": 1}, 0.0)
    replica.delta("a", {"state": "ready", "rev": 3}, 0.1)
    replica.copy("a", None, 0.2)
    assert replica.things
    replica.copy("a", {"state": "ready", "rev": 3}, 0.3)
    replica.sweep(100.0)
    assert replica.things


def test_what_the_bucket_never_confirms_goes() -> None:
    replica = Replica()
    replica.delta("a", {"state": "ready", "rev": 1}, 0.0)
    replica.delta("b", {"state": "ready", "rev": 1}, 0.0)
    replica.copy("b", None, 1.0)
    replica.sweep(1.0 + DOUBT_S)
    assert replica.things.keys() == {"a"}
    replica.sweep(CONFIRM_S)
    assert not replica.things


def test_a_body_without_a_number_is_no_more_than_a_copy() -> None:
    replica = Replica()
    replica.copy("a", {"state": "ready"}, 0.0)
    replica.delta("a", {"state": "talking", "rev": "high"}, 0.1)
    assert replica.things == {"a": {"state": "ready"}}


@given(
    st.lists(st.tuples(KEYS, st.booleans(), st.booleans(), st.booleans()), max_size=30),
    st.data(),
)
def test_it_always_comes_to_what_the_writer_has(
    changes: list[tuple[str, bool, bool, bool]], data: st.DataObject
) -> None:
    """Whatever deltas are lost, and however late the bucket is, and whatever it skips because something newer came."""
    replica, truth, now = Replica(), dict[str, dict[str, Any]](), 0.0
    queue: dict[str, dict[str, Any] | None] = {}
    seen: dict[str, int] = {}
    for rev, (key, is_there, is_lost, is_copied) in enumerate(changes, 1):
        now += 0.01
        body: dict[str, Any] = {"n": rev, "rev": rev}
        if is_there:
            truth[key] = body
        else:
            truth.pop(key, None)
        queue.pop(key, None)
        queue[key] = truth.get(key)
        if not is_lost:
            replica.delta(key, body if is_there else {"gone": True, "rev": rev}, now)
        if is_copied and queue:
            first = data.draw(st.sampled_from(sorted(queue)))
            replica.copy(first, queue.pop(first), now)
        for name, thing in replica.things.items():
            assert thing["rev"] >= seen.get(name, 0), "what is seen of a thing never goes back"
            seen[name] = thing["rev"]
    for key, copied in queue.items():
        replica.copy(key, copied, now)
    replica.sweep(now + DOUBT_S)
    assert replica.things == truth
