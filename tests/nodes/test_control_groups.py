"""Control groups of classes: a node has them where the group it was started in is its own, and runs without elsewhere.

What the kernel makes of a value is not shown where no controller is to be had: the values are read from plain files.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nodes import control_groups
from nodes.config import Config, ConfigError, parse
from nodes.control_groups import CLASSES, LAUNCHER, NONE, OUT_OF_MEMORY, REST, ControlGroups, NoGroups, divided
from nodes.machine import cores
from supervisors.program import ProcessExit, ProcessReport, Standing
from tests.conftest import control_group

ALL = {LAUNCHER, REST, *CLASSES}
KILLED = ProcessExit(None, 9, "", ())


def read(text: str) -> Config:
    return parse(text, "ringmaster.toml", Path("/srv"))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Plain files where the kernel would have its own: whoever writes one finds that it was written."""
    (tmp_path / "cgroup.procs").write_text(f"{os.getpid()}\n")
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return tmp_path


@pytest.fixture
def said() -> list[tuple[str, dict[str, Any]]]:
    return []


def make(place: Path, text: str, said: list[tuple[str, dict[str, Any]]]) -> ControlGroups:
    return divided(read(text).groups, lambda _, event, **fields: said.append((event, fields)), place)


def values(place: Path, file: str) -> Mapping[str, str]:
    return {name: (place / name / file).read_text() for name in sorted(ALL)}


def test_every_class_has_its_weights_and_only_who_carries_no_audio_has_limits(place: Path, said: list[Any]) -> None:
    text = "[groups.cpu_quota]\nspeech = 0.5\n[groups.memory]\ndesk = 1\n[groups.cpu_weight]\ndesk = 7\n"
    assert make(place, text, said).place == place
    assert said == [("groups.made", {"place": str(place), "lacking": {}})]
    half = round(cores() / 2 * 100_000)
    assert values(place, "cpu.max") == {**dict.fromkeys(ALL, "max 100000"), "speech": f"{half} 100000"}
    weights = {"launcher": "1000", "rest": "1000", "media": "1000", "speech": "300", "desk": "7", "recorder": "50"}
    assert values(place, "cpu.weight") == weights
    assert values(place, "io.weight")["recorder"] == "default 50"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limited = {"speech": str(round(0.6 * memory)), "recorder": str(round(0.4 * memory))}
    assert values(place, "memory.max") == {**dict.fromkeys(ALL, "max"), **limited}
    assert (place / LAUNCHER / "cgroup.procs").read_text() == str(os.getpid())


def test_memory_is_shared_out_of_what_the_container_has(place: Path, said: list[Any]) -> None:
    (place / "memory.max").write_text("1000\n")
    make(place, "", said)
    assert values(place, "memory.max")["speech"] == "600"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[groups.cpu_quota]\nmedia = 0.5", "groups.cpu_quota.media: is not known; known are speech, desk, recorder"),
        ("[groups.cpu_quota]\nrest = 0.5", "groups.cpu_quota.rest: is not known"),
        ("[groups.memory]\nmedia = 0.5", "groups.memory.media: is not known"),
        ("[groups.memory]\nspeech = 1.5", "groups.memory.speech: 1.5 is not between 0.01 and 1.0"),
        ("[groups.cpu_weight]\nmedia = 0", "groups.cpu_weight.media: 0 is not between 1 and 10000"),
        ("[groups.io_weight]\nspeech = 1.5", "groups.io_weight.speech: is a number, not a whole number"),
    ],
)
def test_what_a_class_cannot_have_is_refused_with_its_name(text: str, reason: str) -> None:
    """Whose quota is used up stands still for a tenth of a second: nobody who carries audio has one."""
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert reason in str(caught.value)


def test_a_group_in_which_somebody_else_is_stays_as_it_is(place: Path, said: list[Any]) -> None:
    (place / "cgroup.procs").write_text(f"{os.getpid()}\n{os.getppid()}\n")
    assert make(place, "", said) is NONE
    assert said == [("groups.none", {"why": f"{place} is not the node's alone: 1 other processes are in it"})]
    assert sorted(one.name for one in place.iterdir()) == ["cgroup.controllers", "cgroup.procs"]


def test_a_controller_that_is_not_to_be_had_is_named_and_the_others_are_set(place: Path, said: list[Any]) -> None:
    (place / "cgroup.controllers").write_text("cpu io\n")
    for name in ALL:
        (place / name / "io.weight").mkdir(parents=True)  # as a file that cannot be written
    assert make(place, "", said).place == place
    lacking = {"io": "io.weight: Is a directory", "memory": "not delegated"}
    assert said == [("groups.made", {"place": str(place), "lacking": lacking})]
    assert values(place, "cpu.weight")["desk"] == "100"


def proc(tmp_path: Path, cgroup: str, mounts: str) -> Path:
    (tmp_path / "cgroup").write_text(cgroup)
    (tmp_path / "mountinfo").write_text(mounts)
    return tmp_path


V1 = "25 23 0:21 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n"
V2 = "30 23 0:26 {} /sys/fs/cgroup rw,relatime - cgroup2 cgroup rw\n"


@pytest.mark.parametrize(
    ("cgroup", "mounts", "found"),
    [
        ("0::/system.slice/a.service\n", V2.format("/"), "/sys/fs/cgroup/system.slice/a.service"),
        ("1:cpu:/x\n0::/docker/7/a\n", V1 + V2.format("/docker/7"), "/sys/fs/cgroup/a"),
        ("0::/\n", V2.format("/"), "/sys/fs/cgroup"),
        ("1:cpu:/x\n", V1, "no control groups of version 2 are mounted"),
        ("0::/\n", V1, "no control groups of version 2 are mounted"),
        ("0::/../../a\n", V2.format("/"), "the group /../../a is outside of /sys/fs/cgroup"),
        ("0::/a\n", V2.format("/docker/7"), "the group /a is outside of /sys/fs/cgroup"),
    ],
)
def test_where_our_own_group_is(tmp_path: Path, cgroup: str, mounts: str, found: str) -> None:
    told = proc(tmp_path, cgroup, mounts)
    if found.startswith("/"):
        assert str(control_groups.own(told)) == found
    else:
        with pytest.raises(NoGroups, match=found):
            control_groups.own(told)


async def test_one_that_the_kernel_has_killed_for_memory_has_that_as_its_reason(place: Path, said: list[Any]) -> None:
    """Its supervisor sees signal 9, as of any other death, and starts it again."""
    groups = make(place, "", said)
    ended = ProcessReport("speech-0", 7, Standing.GONE, {}, KILLED)
    assert groups.seen(ended, "speech").exit == KILLED
    (place / "speech/memory.events").write_text("low 0\nhigh 0\nmax 9\noom 1\noom_kill 1\noom_group_kill 0\n")
    assert groups.seen(ended, "desk").exit == KILLED, "another group"
    exit = groups.seen(ended, "speech").exit
    assert exit is not None
    assert exit.why == OUT_OF_MEMORY
    assert groups.seen(ended, "speech").exit == KILLED, "once for each"


def test_the_kernel_moves_a_process_and_one_that_has_ended_is_no_fault(said: list[Any]) -> None:
    with control_group() as place:
        if place is None:
            pytest.skip("no control group of version 2 can be made here")
        groups = make(place, "", said)
        with subprocess.Popen(["sleep", "60"]) as process:
            try:
                groups.take(process.pid, "media")
                assert (place / "media/cgroup.procs").read_text().split() == [str(process.pid)]
                assert control_groups.own(Path(f"/proc/{process.pid}")) == place / "media"
            finally:
                process.kill()
        groups.take(process.pid, "edge")
        assert set(said[0][1]["lacking"]) <= {"cpu", "io", "memory"}


async def test_a_process_that_cannot_be_moved_runs_where_it_is_and_that_is_said(place: Path, said: list[Any]) -> None:
    groups = make(place, "", said)
    (place / "media/cgroup.procs").mkdir()
    groups.seen(ProcessReport("media-0", os.getpid(), Standing.STARTING, {}), "media")
    async with asyncio.timeout(60):
        while len(said) < 2:
            await asyncio.sleep(0.01)
    (event, fields) = said[1]
    assert (event, fields["name"], fields["error"]) == (
        "group.not_entered", "media-0", f"{place}/media/cgroup.procs: Is a directory",
    )  # fmt: skip


def test_what_the_machine_offers_is_what_its_uppermost_group_has(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory hugetlb pids\n")
    mounts = f"30 23 0:26 / {tmp_path} rw - cgroup2 cgroup rw\n"
    assert control_groups.offered(proc(tmp_path, "0::/\n", mounts)) == ("cpu", "io", "memory")
    with suppress(NoGroups):
        assert set(control_groups.offered()) <= set(control_groups.CONTROLLERS)
