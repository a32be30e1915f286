"""How busy the machine is, from two looks at its columns."""

from pathlib import Path

import pytest

from nodes.machine import Machine, run_queue


def look(stat: Path, user: int, nice: int, idle: int, steal: int = 0) -> None:
    stat.write_text(f"cpu  {user} {nice} 0 {idle} 0 0 0 {steal} 0 0\ncpu0 1 2 3\n")


def test_what_gives_way_is_free_and_what_others_steal_is_taken(tmp_path: Path) -> None:
    stat = tmp_path / "stat"
    look(stat, 100, 100, 100)
    machine = Machine(stat)
    look(stat, 140, 120, 130, steal=10)
    assert machine.busy() == pytest.approx(0.5)
    look(stat, 140, 120, 230, steal=10)
    assert machine.busy() == 0.0


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu a b c d e f g h\n"])
def test_a_machine_that_does_not_say_is_not_known(tmp_path: Path, text: str) -> None:
    stat = tmp_path / "stat"
    assert (Machine(stat).busy(), run_queue(stat)) == (None, None)
    stat.write_text(text)
    assert (Machine(stat).busy(), run_queue(stat)) == (None, None)


def test_who_wants_a_processor_now_is_told_as_the_kernel_counts_them(tmp_path: Path) -> None:
    (tmp_path / "stat").write_text("cpu  1 2 3\nprocesses 99\nprocs_running 7\nprocs_blocked 2\n")
    assert run_queue(tmp_path / "stat") == 7


def test_this_machine_says() -> None:
    machine = Machine()
    assert machine.busy() is None or 0.0 <= (machine.busy() or 0.0) <= 1.0
