"""The picture of a node's supervision trees: a line for each row, figures aligned, failures told below their row.

Made for a hundred columns. What is nought is not there, so that what is there stands out. A spare has no work, so its
tree is left out. What would be higher than the terminal shows less of what there is many of.
"""

from __future__ import annotations

import textwrap
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import msgspec
from rich.text import Text

from nodes.links.roster import Peer, State
from nodes.links.trees import Rows
from nodes.reading import read_json
from protocols.wire.inspection import TreeRow
from supervisors import Dynamic

COLUMNS: Final = {"state": 10, "up": 6, "restarts": 8, "in window": 9, "waiting": 7, "per s": 7}
"""What stands right of the names, and how wide it is."""
GAP: Final = "  "
INDENT: Final = 18
"""How far right the failure of a call's actor begins; every failure has this much less room than the picture."""
N_ERROR_LINES: Final = 3
N_SAID_LINES: Final = 2
KNOWN: Final = ("node_id", "process", "module", "level", "wall")
"""Fields of a log line that are left out."""
CALM: Final = ("running", "stopped", "")


@dataclass(frozen=True, slots=True)
class Look:
    """One reading: the launcher's process id and rows, and every process with the rows of its own tree."""

    launcher_pid: int
    launcher: Rows
    processes: list[tuple[Peer, Rows]]


@dataclass(frozen=True, slots=True)
class _Branch:
    """A line, the lines that belong to it (`notes`), and what hangs from it. `what` is told in a lower voice."""

    name: str
    what: str
    row: TreeRow | None
    notes: tuple[Text, ...] = ()
    below: tuple[_Branch, ...] = ()


def draw(look: Look, width: int, height: int | None = None) -> Text:
    """Return the picture, `width` columns wide and, where children of a Dynamic can be left out, `height` lines high.

    Shown are first those that have failed, come back or have messages waiting; of the others, how many they are and
    what they come to.
    """
    room = max(width - sum(len(GAP) + wide for wide in COLUMNS.values()), INDENT)
    trunk = _launcher(look, width - INDENT)
    if height is not None:
        trunk = _fitted(trunk, height - 1)
    head = Text(" " * room + _cells(list(COLUMNS)), style="dim")
    return Text("\n", no_wrap=True, overflow="crop").join([head, *_lines(trunk, "", "", room)])


# ---- from rows to branches ------------------------------------------------------------------------------------------


def _launcher(look: Look, room: int) -> _Branch:
    rows = {row.id: row for row in look.launcher if row.depth}
    names = dict.fromkeys([*rows, *(peer.name for peer, _ in look.processes)])
    below = tuple(_process(name, rows.get(name), look.processes, room) for name in names)
    return _Branch("launcher", str(look.launcher_pid), look.launcher[0] if look.launcher else None, below=below)


def _process(name: str, row: TreeRow | None, processes: list[tuple[Peer, Rows]], room: int) -> _Branch:
    """Return a name of the launcher's with the tree of its active process, and its spare."""
    active = [(peer, rows) for peer, rows in processes if (peer.name, peer.state) == (name, State.ACTIVE)]
    spares = [peer for peer, _ in processes if (peer.name, peer.state) == (name, State.SPARE)]
    trees = (branch for _, rows in active for branch in _nested(rows, room))
    below = (*trees, *(_Branch("spare", str(peer.pid), None) for peer in spares))
    return _Branch(name, " ".join(str(peer.pid) for peer, _ in active), row, _notes(row, room), below)


def _nested(rows: Rows, room: int, depth: int = 0) -> Iterator[_Branch]:
    """Yield the rows of this depth as branches, with what follows each and is deeper below it."""
    starts = [at for at, row in enumerate(rows) if row.depth == depth]
    for at, end in pairwise([*starts, len(rows)]):
        below = tuple(_nested(rows[at + 1 : end], room, depth + 1))
        yield _Branch(rows[at].id, rows[at].kind, rows[at], _notes(rows[at], room), below)


# ---- what there is room for -----------------------------------------------------------------------------------------


def _fitted(trunk: _Branch, height: int) -> _Branch:
    """Return the tree with so many children of each Dynamic as fit, the same number of each."""
    if _size(trunk) <= height:
        return trunk
    most = range(_size(trunk))
    too_many = bisect_left(most, True, key=lambda shown: _size(_folded(trunk, shown)) > height)
    return _folded(trunk, max(too_many - 1, 0))


def _folded(branch: _Branch, shown: int) -> _Branch:
    below = tuple(_folded(one, shown) for one in branch.below)
    if branch.row is not None and branch.row.kind == Dynamic.__name__ and len(below) > shown:
        ranked = sorted(range(len(below)), key=lambda at: _is_calm(below[at]))
        rest = [below[at] for at in ranked[shown:]]
        below = (*(below[at] for at in sorted(ranked[:shown])), _Branch(f"… {len(rest)} more", "", _sum(rest)))
    return replace(branch, below=below)


def _size(branch: _Branch) -> int:
    return 1 + len(branch.notes) + sum(map(_size, branch.below))


def _rows(branch: _Branch) -> Iterator[TreeRow]:
    if branch.row is not None:
        yield branch.row
    for one in branch.below:
        yield from _rows(one)


def _is_calm(branch: _Branch) -> bool:
    """Return whether all of it goes as it should, from the beginning."""
    return not any(row.state not in CALM or row.restarts or row.waiting or row.failure for row in _rows(branch))


def _sum(branches: list[_Branch]) -> TreeRow:
    rows = [row for branch in branches for row in _rows(branch)]
    restarts, waiting, handled = (
        sum(getattr(row, name) for row in rows) for name in ("restarts", "waiting", "handled")
    )
    return TreeRow(0, "", "", "", restarts, 0, waiting, handled, sum(row.handled_per_s for row in rows), 0.0, "")


# ---- from branches to lines -----------------------------------------------------------------------------------------


def _lines(branch: _Branch, stem: str, rest: str, room: int) -> Iterator[Text]:
    """Draw a branch. `stem` stands before its name, `rest` before what belongs to it on the lines below."""
    line = Text.assemble((stem, "dim"), branch.name, " ", (branch.what, "dim"))
    if branch.row is not None:
        line.truncate(room, overflow="ellipsis", pad=True)
        line += _figures(branch.row)
    yield line
    for note in branch.notes:
        yield Text.assemble((f"{rest}{'│' if branch.below else ' '}  ", "dim"), note)
    for one in branch.below:
        is_last = one is branch.below[-1]
        yield from _lines(one, rest + ("└─ " if is_last else "├─ "), rest + ("   " if is_last else "│  "), room)


def _figures(row: TreeRow) -> Text:
    counts = (row.restarts, row.restarts_in_window, row.waiting, round(row.handled_per_s, 1))
    cells = _cells([row.state, _span(row.uptime_s), *(f"{count:g}" if count else "" for count in counts)])
    return Text(cells, style="" if row.state in CALM else "yellow")


def _cells(cells: list[str]) -> str:
    """Return one cell a column, the first flush left: it is a word."""
    padded = [
        f"{cell:{'>' if at else '<'}{wide}}"
        for at, (cell, wide) in enumerate(zip(cells, COLUMNS.values(), strict=True))
    ]
    return GAP + GAP.join(padded).rstrip()


def _span(seconds: float) -> str:
    """Return a time in the largest unit of which there are two.

    >>> [_span(seconds) for seconds in (0.0, 7.4, 119.0, 180.0, 7300.0, 200000.0)]
    ['', '7 s', '119 s', '3 min', '2 h', '2 d']
    """
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    name, size = next((unit for unit in units if seconds >= 2 * unit[1]), units[-1])
    return f"{seconds // size:.0f} {name}" if seconds else ""


def _notes(row: TreeRow | None, room: int) -> tuple[Text, ...]:
    """Return the lines that tell a row's last failure: the error and where it was raised, and what was said last.

    What came back without a failure of its own was stopped or killed: then that is told.
    """
    if row is None or (failure := row.failure) is None:
        return (Text(_plain(row.last), style="dim"),) if row is not None and row.restarts and row.last else ()
    error = f"{failure.error} in {failure.message}" if failure.message else failure.error
    wrapped = textwrap.wrap(_plain(error), room, max_lines=N_ERROR_LINES, placeholder=" ...")
    notes = [Text(line, style="red") for line in wrapped]
    notes += [Text(_plain(_brief(line)), style="dim") for line in failure.lines[-N_SAID_LINES:]]
    for note in notes:
        note.truncate(room, overflow="ellipsis")
    return tuple(notes)


def _brief(said: str) -> str:
    """Return a line of our log as its event and fields, without what its place in the picture tells; others as is.

    >>> _brief('{"node_id": "n1", "process": "edge-0", "calls": 2, "event": "edge.active", "level": "info"}')
    'edge.active calls=2'
    """
    try:
        fields = read_json(said, dict[str, object])
        return " ".join([str(fields.pop("event")), *(f"{key}={fields[key]}" for key in fields if key not in KNOWN)])
    except (msgspec.DecodeError, KeyError, RecursionError):
        return said


def _plain(text: str) -> str:
    """Return a text that moves no cursor and changes no colour, whoever wrote it."""
    return "".join(char if char.isprintable() else " " for char in text)


__all__ = ["Look", "draw"]
