"""The picture of a node's trees: aligned, within its width and height, and what failed told below its row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodes.commands.drawing import Look, draw
from nodes.links.roster import Peer, State
from protocols.wire.ids import Identity
from protocols.wire.inspection import Failure, TreeRow

WIDTH = 100


def row(depth: int, id: str, kind: str = "Echo", state: str = "running", **fields: object) -> TreeRow:
    nought = {"restarts": 0, "restarts_in_window": 0, "waiting": 0, "handled": 0, "handled_per_s": 0.0, "last": ""}
    return TreeRow(depth, id, kind, state, **{"uptime_s": 60.0, **nought, **fields})  # type: ignore[arg-type]


def peer(name: str, pid: int, state: State = State.ACTIVE) -> Peer:
    return Peer(name.partition("-")[0], name, Identity(f"n1.{name}:{pid}"), "ipc:///x", pid, state)


def look(*edge: TreeRow, launcher: tuple[TreeRow, ...] = ()) -> Look:
    """A node with an edge, which has a spare, and a desk."""
    names = launcher or (row(0, "/"), row(1, "edge-0", "Pair"), row(1, "desk-0", "OsProcess"))
    tree = (row(0, "/", "Supervisor"), row(1, "calls", "Dynamic"), *edge)
    processes = [(peer("edge-0", 11), tree), (peer("edge-0", 12, State.SPARE), tree), (peer("desk-0", 13), ())]
    return Look(10, names, processes)


def calls(n: int, **fields: object) -> list[TreeRow]:
    """Calls with a leg each."""
    return [one for at in range(n) for one in (row(2, str(at), "Supervisor"), row(3, "leg", "SipLeg", **fields))]


def lines(*given: object, **how: int) -> list[str]:
    return str(draw(*given, **{"width": WIDTH, **how})).splitlines()  # type: ignore[arg-type]


def test_it_is_the_launcher_with_every_name_below_it_and_there_the_active_processs_tree_and_the_spare() -> None:
    head, *drawn = lines(look(row(2, "1", "Call", handled_per_s=12.5)))
    assert head.split() == ["state", "up", "restarts", "in", "window", "waiting", "per", "s"]
    assert [line[:41].rstrip() for line in drawn] == [
        "launcher 10",
        "├─ edge-0 11",
        "│  ├─ / Supervisor",
        "│  │  └─ calls Dynamic",
        "│  │     └─ 1 Call",
        "│  └─ spare 12",
        "└─ desk-0 13",
    ]


def test_figures_stand_below_their_names_and_what_is_nought_is_not_there() -> None:
    head, *drawn = lines(look(row(2, "1", "Call", restarts=3, restarts_in_window=2, waiting=4, handled_per_s=12.5)))
    call = next(line for line in drawn if "Call" in line)
    for name, figure in {"up": "60 s", "restarts": "3", "in window": "2", "waiting": "4", "per s": "12.5"}.items():
        end = head.index(name) + len(name)
        assert call[:end].endswith(figure), name
    assert drawn[-1].split() == ["└─", "desk-0", "13", "running", "60", "s"]


def test_a_failure_stands_below_its_row_with_the_message_that_caused_it() -> None:
    failed = row(2, "1", "Call", restarts=1, failure=Failure("KeyError: 'slot'", "Call.told"))
    drawn = lines(look(failed, row(2, "2", "Call")))
    at = next(n for n, line in enumerate(drawn) if "1 Call" in line)
    assert drawn[at + 1] == "│  │     │     KeyError: 'slot' in Call.told"


def test_a_name_without_a_process_says_why_and_what_the_last_one_said() -> None:
    line = '{"node_id": "n1", "process": "edge-0", "module": "m", "calls": 2, "event": "edge.active", "level": "info"}'
    failure = Failure("ended with signal 11", "", ("Fatal Python error", line))
    restarting = row(1, "recorder-0", "OsProcess", "restarting", restarts=7, uptime_s=0.0, failure=failure)
    drawn = lines(look(launcher=(row(0, "/"), restarting)))
    at = next(n for n, line in enumerate(drawn) if "recorder-0" in line)
    assert drawn[at].split() == ["├─", "recorder-0", "restarting", "7"]
    said = ["ended with signal 11", "Fatal Python error", "edge.active calls=2"]
    assert [line.removeprefix("│").strip() for line in drawn[at + 1 : at + 4]] == said


def test_what_was_stopped_or_killed_and_came_back_says_so() -> None:
    drawn = lines(look(row(2, "1", "Call", restarts=1, last="Killed()"), row(2, "2", "Call", last="Normal()")))
    assert any(line.endswith("  Killed()") for line in drawn)
    assert not any("Normal" in line for line in drawn)


def test_what_somebody_else_wrote_moves_no_cursor() -> None:
    failure = Failure("\x1b[2Jboom\r\nand more", "", ("\x1b]0;title\x07",))
    text = str(draw(look(row(2, "1", failure=failure)), WIDTH))
    assert not {"\x1b", "\r", "\x07"} & set(text)
    assert "boom  and more" in text


@given(
    st.lists(st.text(max_size=300), max_size=8),
    st.lists(st.tuples(st.integers(2, 5), st.text(max_size=80), st.text(max_size=400)), max_size=12),
    st.integers(80, 120),
)
def test_it_is_never_wider_than_it_may_be(said: list[str], rows: list[tuple[int, str, str]], width: int) -> None:
    edge = [row(depth, "calls" + id, failure=Failure(error, "Call.told", tuple(said))) for depth, id, error in rows]
    text = draw(look(*edge), width)
    assert all(line.cell_len <= width for line in text.split("\n"))


def test_what_is_too_high_shows_less_of_what_there_is_many_of_and_what_the_rest_comes_to() -> None:
    many = look(*calls(500, handled_per_s=2.0, waiting=0))
    assert len(lines(many)) == 1 + 6 + 1000
    drawn = lines(many, height=24)
    assert len(drawn) in (23, 24)
    rest = next(line for line in drawn if "more" in line)
    shown = sum("Supervisor" in line for line in drawn) - 1
    assert rest.split()[-4:] == ["…", f"{500 - shown}", "more", f"{(500 - shown) * 2}"]
    assert drawn[-1].startswith("└─ desk-0")


def test_what_needs_looking_at_is_shown_before_what_does_not() -> None:
    edge = [*calls(300), row(2, "bad", "Supervisor"), row(3, "leg", "SipLeg", failure=Failure("Boom", "Leg.ring"))]
    drawn = lines(look(*edge, *calls(300)), height=15)
    assert any("Boom in Leg.ring" in line for line in drawn)


@given(st.integers(0, 30), st.integers(1, 60))
def test_it_is_no_higher_than_it_may_be_if_leaving_out_calls_can_do_it(n: int, height: int) -> None:
    assert len(lines(look(*calls(n)), height=height)) <= max(height, 8)
