"""The log on the node's own disk: bounded, whole lines, and nobody waits for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.kept_log import BEFORE, NOW, KeptLog, keeping
from nodes.links.log_lines import look
from nodes.sink import line_of
from protocols.wire.ids import CallId
from protocols.wire.log_lines import MOST_BYTES, MOST_LINES, FindLogLines

PATIENCE_S = 60.0
MB = 1024 * 1024


def until(what: Callable[[], object]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < give_up_s
        time.sleep(0.005)


def written(kept: KeptLog) -> None:
    """Wait until all is on the disk, or lost."""
    until(lambda: not kept.waits())


def lines(directory: Path) -> list[dict[str, Any]]:
    found = []
    for name in (BEFORE, NOW):
        if (directory / name).exists():
            found += [json.loads(line) for line in (directory / name).read_text().split("\n") if line]
    return found


def a_line(n: int, **fields: object) -> str:
    return line_of("edge-0", "warning", "call.lost", call_id=f"c{n}", **fields)


def test_what_is_written_is_kept_in_order_and_what_is_no_json_becomes_a_line(tmp_path: Path) -> None:
    kept = KeptLog(tmp_path / "log", MB, "launcher")
    kept.write(a_line(1))
    kept.write("[1234] [INF] Server is ready\n")
    print("ringmaster up: no such file", file=kept)
    kept.write(a_line(2))
    written(kept)
    assert [line.get("call_id", line.get("text")) for line in lines(tmp_path / "log")] == [
        "c1", "[1234] [INF] Server is ready", "ringmaster up: no such file", "c2",
    ]  # fmt: skip
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "log" / NOW).stat().st_mode & 0o777 == 0o600


def test_two_files_are_never_more_than_is_said_and_have_the_newest_lines(tmp_path: Path) -> None:
    most, n = 20_000, 1000
    kept = KeptLog(tmp_path, most, "launcher")
    for number in range(n):
        kept.write(a_line(number))
        if not number % 20:
            written(kept)
            assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= most
    written(kept)
    told = [int(line["call_id"][1:]) for line in lines(tmp_path)]
    assert told == list(range(told[0], n))
    assert len(told) > 50


def test_after_a_power_cut_in_the_middle_of_a_line_the_next_one_is_whole(tmp_path: Path) -> None:
    (tmp_path / NOW).write_text(a_line(1) + '{"event": "call.lo')
    kept = KeptLog(tmp_path, MB, "launcher")
    kept.write(a_line(2))
    written(kept)
    assert [json.loads(line)["call_id"] for line in look(tmp_path, FindLogLines()).lines] == ["c1", "c2"]


def test_a_full_disk_costs_lines_that_are_counted_and_nothing_else(tmp_path: Path, monkeypatch: Any) -> None:
    kept, write = KeptLog(tmp_path, MB, "launcher"), os.write
    kept.write(a_line(1))
    written(kept)

    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nodes.kept_log.os.write", full)
    for number in range(2, 5):
        kept.write(a_line(number))
        written(kept)
    monkeypatch.setattr("nodes.kept_log.os.write", write)
    kept.write(a_line(5))
    written(kept)
    told = lines(tmp_path)
    assert [line["call_id"] for line in told if "call_id" in line] == ["c1", "c5"]
    (dropped,) = [line for line in told if line["event"] == "log.dropped"]
    assert dropped["lines"] >= 3
    assert not (tmp_path / BEFORE).exists()


def test_nobody_waits_for_a_disk_that_hangs(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / NOW)  # to open it waits for a reader
    kept = KeptLog(tmp_path, MB, "launcher")
    done = threading.Event()

    def write() -> None:
        for number in range(100_000):
            kept.write(a_line(number) if number % 1000 == 0 else "{}")
        done.set()

    threading.Thread(target=write, daemon=True).start()
    assert done.wait(PATIENCE_S)
    with (tmp_path / NOW).open("rb") as reader:  # let the thread go
        assert reader.readline()


@contextmanager
def directory(texts: list[str], root: Path) -> Iterator[Path]:
    for path in root.iterdir():
        path.unlink()
    (root / BEFORE).write_text("".join(texts[: len(texts) // 2]))
    (root / NOW).write_text("".join(texts[len(texts) // 2 :]))
    yield root


class TestLooking:
    """What is found in it."""

    def test_a_call_is_found_by_its_id_its_parts_and_its_trace_and_no_other(self, tmp_path: Path) -> None:
        from nodes.telemetry.trace import of_call

        told = [
            a_line(1), a_line(12), line_of("media-0", "error", "recording.failed", recording="c1.2"),
            line_of("speech-0", "warning", "speech.not_decoded", trace=str(of_call(CallId("c1")).below("turn", 3))),
            line_of("edge-0", "warning", "calls.standing", calls=1),
        ]  # fmt: skip
        with directory(told, tmp_path) as root:
            found = look(root, FindLogLines(CallId("c1")))
        assert [json.loads(line)["event"] for line in found.lines] == [
            "call.lost", "recording.failed", "speech.not_decoded",
        ]  # fmt: skip
        assert found.n_found == 3

    def test_a_word_is_found_in_capitals_or_not_and_as_it_stands(self, tmp_path: Path) -> None:
        told = [a_line(1, reason="No Space left (disk)"), a_line(2, reason="no way")]
        with directory(told, tmp_path) as root:
            for word, n in (("no space", 1), ("NO ", 2), ("(disk)", 1), (".*", 0), ("call.lost", 2)):
                assert look(root, FindLogLines(word=word)).n_found == n, word

    def test_from_a_moment_on(self, tmp_path: Path) -> None:
        told = [a_line(n) for n in range(4)]
        walls = [json.loads(line)["wall"] for line in told]
        with directory(told, tmp_path) as root:
            found = look(root, FindLogLines(since=walls[2]))
        assert (found.n_found, found.since) == (2, walls[0])

    def test_an_answer_has_the_newest_and_is_never_too_long_for_a_message(self, tmp_path: Path) -> None:
        told = [a_line(n, reason="word " * 200) for n in range(3000)]
        with directory(told, tmp_path) as root:
            found = look(root, FindLogLines(most=10**6))
        assert found.n_found == 3000
        assert sum(map(len, found.lines)) <= MOST_BYTES
        assert len(found.lines) <= MOST_LINES
        assert json.loads(found.lines[-1])["call_id"] == "c2999"

    def test_where_no_log_is_kept_there_are_no_lines(self, tmp_path: Path) -> None:
        assert look(tmp_path / "none", FindLogLines()) == look(tmp_path, FindLogLines(CallId("c1")))

    @given(noise=st.binary(max_size=300), call=st.text(min_size=1, max_size=5), word=st.text(max_size=5))
    def test_whatever_is_in_the_files_and_asked_for_an_answer_comes(
        self, tmp_path_factory: pytest.TempPathFactory, noise: bytes, call: str, word: str
    ) -> None:
        root = tmp_path_factory.mktemp("log")
        (root / NOW).write_bytes(a_line(1).encode() + noise + b"\n" + a_line(2).encode())
        look(root, FindLogLines(CallId(call), word))
        assert {"c1", "c2"} <= {
            json.loads(one).get("call_id") for one in look(root, FindLogLines(word="call.lost")).lines
        }


PROGRAM = """
import sys
from pathlib import Path
from nodes.kept_log import keeping
from nodes.sink import Spooled
sys.stderr = Spooled(2, "launcher")
with keeping(Path(sys.argv[1]), int(sys.argv[2]), "launcher"):
    print("the last line", file=sys.stderr)
sys.stderr.flush()
"""


@pytest.mark.parametrize("most_mb", [1, 0])
def test_what_goes_to_standard_error_is_kept_as_well_to_the_last_line(tmp_path: Path, most_mb: int) -> None:
    words = [sys.executable, "-c", PROGRAM, str(tmp_path), str(most_mb)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert done.stderr == "the last line\n"
    assert [line["text"] for line in lines(tmp_path)] == ["the last line"] * most_mb


def test_keeping_ends_with_its_block(tmp_path: Path) -> None:
    before = sys.stderr
    with keeping(tmp_path, 1, "launcher"):
        assert sys.stderr is not before
    assert sys.stderr is before
