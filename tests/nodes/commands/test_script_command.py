"""`ringmaster script`: a checker that says each line, and a conversation at the keyboard, to its end."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from tests.nodes.commands.conftest import COMMAND, PATIENCE_S, Place, until

WRONG = sorted(
    path
    for path in Path("tests/grammars/wrong_scripts").resolve().glob("*.yaml")
    if path.stem != "word_that_cannot_be_pronounced"  # nobody knows in the test of the loader; gruut guesses it
)


def test_every_wrong_script_is_refused_with_its_line(place: Place) -> None:
    assert len(WRONG) >= 20
    done = place.run("script", "check", *map(str, WRONG))
    assert (done.status, done.err) == (1, "")
    told = [line.split(":", 2) for line in done.out.splitlines()]
    assert {Path(file) for file, _, _ in told} == set(WRONG)
    for file, line, reason in told:
        marks = [mark.strip() for mark in Path(file).read_text().splitlines()[int(line) - 1].split("# <- ")[1:]]
        assert any(mark in reason for mark in marks), (file, line, reason)


def test_checking_is_one_json_object_a_script(place: Place) -> None:
    done = place.run("script", "check", "--json", "survey", str(WRONG[0]))
    right, wrong = done.rows
    assert right.keys() == wrong.keys() == {"script", "ok", "reasons"}
    assert (done.status, right["ok"], right["reasons"], wrong["ok"]) == (1, True, [], False)


def test_a_script_that_is_no_text_is_refused_with_its_line(place: Place) -> None:
    (place.path / "noise.yaml").write_bytes(b"flow: x\nversion: \xff\n")
    assert place.run("script", "check", "noise.yaml").out == "noise.yaml:2: not UTF-8: invalid start byte\n"


TALKS = {
    "hello": ((), ["", "yes"], "completed"),
    "survey": (
        ("company=Acme",),
        ["yes please", "1234", "no", "7", "second", "2", "1", "(207) 946-0123"],
        "completed  name='there' company='Acme' order='1234' on_time='no' score='7' place='2' liked='service'"
        " phone='2079460123'",
    ),
    "payment_reminder": (
        ("company=Acme", "account=4250", "name=Alex"),
        ["yes", "I want a human"],
        "completed  name='Alex' company='Acme' account='4250'",
    ),
    "appointment_reminder": (
        ("clinic=Dental", "date=2026-03-05", "time=15:30", "name=Alex"),
        ["move it", "March 9th 2031", "4:15 pm", "yes"],
        "new_date='2031-03-09' new_time='16:15'",
    ),
}


@pytest.mark.parametrize("name", TALKS)
def test_a_shipped_script_talks_to_its_end(place: Place, name: str) -> None:
    slots, answers, end = TALKS[name]
    words = [word for slot in slots for word in ("--slot", slot)]
    done = place.run("script", "talk", name, *words, given="".join(f"{answer}\n" for answer in answers))
    assert (done.status, done.err) == (0, "")
    assert end in done.out.splitlines()[-1], done.out


def test_whatever_is_typed_the_talk_goes_on_and_the_end_of_the_file_hangs_up(place: Place) -> None:
    done = place.run("script", "talk", "survey", "--slot", "company=Acme", given="[bold]\0ÿ{name}\n%s\n")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines()[-2].endswith("(hangs up)")


def test_ctrl_c_at_the_keyboard_ends_the_talk_quietly(place: Place) -> None:
    ours, theirs = pty.openpty()
    command = [COMMAND, "script", "talk", "hello"]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=place.environment()) as talking:
        os.close(theirs)
        os.set_blocking(ours, False)
        seen = b""

        def asks() -> bool:
            nonlocal seen
            try:
                seen += os.read(ours, 65536)
            except BlockingIOError:
                pass
            return b"you     " in seen

        until(asks)
        talking.send_signal(signal.SIGINT)
        assert talking.wait(PATIENCE_S) == 130
    assert b"Traceback" not in seen + os.read(ours, 65536)
    os.close(ours)
