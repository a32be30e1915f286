"""Commands that talk to a running node: what they print, for people and for machines, and what they refuse."""

from __future__ import annotations

import os
import pty
import re
import signal
import socket
import subprocess
import termios
from contextlib import suppress
from pathlib import Path

from tests.nodes.commands.conftest import COMMAND, PATIENCE_S, Node, Place, until


def test_a_killed_process_is_replaced_although_the_configuration_has_been_edited_wrongly(node: Node) -> None:
    good = node.config.read_text()
    before = {role: node.pid(role) for role in ("recorder", "edge", "media")}
    try:
        node.config.write_text("[sip]\nprot = 1\n")
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        until(lambda: all(node.pid(role) not in (0, pid) for role, pid in before.items()))
    finally:
        node.config.write_text(good)


def test_up_says_when_it_is_ready_and_where_everything_is(node: Node) -> None:
    until(lambda: "ready after" in node.place.out)  # scripts and trunks are there, too
    assert re.search(r"^ready after \d+\.\d s: calls can be placed$", node.place.out, re.MULTILINE)
    first, *rest = node.place.out.partition("up after ")[2].splitlines()
    rest = [line for line in rest if line.startswith("  ")]
    assert re.fullmatch(r"\d+\.\d s; Ctrl-C ends it", first)
    told = {line[2:11].strip(): line[13:].split()[0] for line in rest}
    desk = (node.place.path / "state/run/desk.url").read_text()
    assert told["agents"] == f"{desk}agent"
    assert re.fullmatch(r"127\.0\.0\.1:[1-9]\d+", told["SIP"])
    assert re.fullmatch(r"nats://127\.0\.0\.1:[1-9]\d+", told["NATS"])


def test_how_many_machines_should_take_calls_is_said_with_the_reasons_for_people_and_for_machines(node: Node) -> None:
    def looked() -> dict[str, object]:
        """Return the advice once the central that leads has asked the edge how it is."""
        rows = node.run("node", "scale", "--json").rows
        return rows[0] if rows and rows[0]["machines"] else {}

    until(looked)
    advice = looked()
    assert (advice["nodes"], advice["leave"]) == (1, [])
    assert advice["desired"] in (1, 2)  # two, where others keep the processors busy
    (machine,) = advice["machines"]  # type: ignore[misc]
    assert machine["memory_bytes"] > machine["memory_free_bytes"] > 0
    text = node.run("node", "scale").out
    assert re.match("1 take calls, [12] should; so for ", text)
    assert re.search(r"^n1 +calls 0 of \d+", text, re.MULTILINE)


class TestTree:
    """`ringmaster tree`: what runs, and what died, why and how often."""

    def test_it_is_one_json_object_a_process_and_the_launchers_is_the_first(self, node: Node) -> None:
        launcher, *processes = node.run("tree", "--json").rows
        assert (launcher["name"], launcher["pid"]) == ("launcher", node.up.pid)
        rows: list[dict[str, object]] = launcher["rows"]  # type: ignore[assignment]
        names = ["nats-0", "recorder-0", "speech-0", "media-0", "edge-0", "central-0", "desk-0"]
        assert [row["id"] for row in rows] == ["/", *names]
        assert {row["name"] for row in processes} == set(names[1:])
        assert all(row.keys() == {"name", "state", "pid", "rows"} for row in processes)
        edge = next(row for row in processes if (row["name"], row["state"]) == ("edge-0", "active"))
        branches = [(one["depth"], one["id"]) for one in edge["rows"]]  # type: ignore[attr-defined]
        assert branches == [(0, "/"), (1, "calls"), (1, "registrations")]

    def test_a_process_that_was_killed_is_told_with_its_reason_and_its_last_lines(self, node: Node) -> None:
        def recorder() -> dict[str, object]:
            rows: list[dict[str, object]] = node.run("tree", "--json").rows[0]["rows"]  # type: ignore[assignment]
            return next(row for row in rows if row["id"] == "recorder-0")

        before, pid = recorder(), node.pid("recorder")
        os.kill(pid, signal.SIGKILL)
        until(lambda: node.pid("recorder") not in (0, pid))
        after = recorder()
        assert after["restarts"] == int(str(before["restarts"])) + 1
        assert int(str(after["restarts_in_window"])) >= 1
        failure: dict[str, object] = after["failure"]  # type: ignore[assignment]
        assert failure["error"] == after["last"] == "ended with signal 9"
        assert '"recorder-0"' in str(failure["lines"])
        drawn = node.run("tree").out.splitlines()
        at = next(n for n, line in enumerate(drawn) if line.startswith("├─ recorder-0 "))
        assert any(line.endswith("ended with signal 9") for line in drawn[at + 1 : at + 6])

    def test_where_no_terminal_is_it_is_one_picture_of_a_hundred_columns(self, node: Node) -> None:
        done = node.run("tree")
        assert (done.status, done.err) == (0, "")
        assert done.out.splitlines()[1].startswith(f"launcher {node.up.pid} ")
        assert all(len(line) <= 100 for line in done.out.splitlines())

    def test_in_a_terminal_it_is_live_until_ctrl_c_which_leaves_the_last_picture(self, node: Node) -> None:
        status, shown = _in_a_terminal(node, "tree", "--config", str(node.config))
        assert status == 0
        assert "Traceback" not in shown
        assert shown.rstrip().rpartition("launcher ")[2].startswith(str(node.up.pid))
        assert "desk-0" in shown.rstrip().rpartition("launcher ")[2]

    def test_once_is_one_picture_in_a_terminal_too(self, node: Node) -> None:
        status, shown = _in_a_terminal(node, "tree", "--once", "--config", str(node.config))
        assert (status, shown.count("launcher ")) == (0, 1)


def test_without_its_voice_a_node_speaks_with_the_last_resort_and_says_so(node: Node) -> None:
    rows = node.run("node", "--json").rows
    speech = next(row for row in rows if row["role"] == "speech")
    assert speech["figures"]["voice_of_last_resort"] == 1.0  # type: ignore[index]
    assert "missing/config.json: missing" in node.place.err


def test_logs_shows_what_the_node_said_and_refuses_a_moment_that_is_none(node: Node) -> None:
    rows = node.run("logs", "--grep", "node.up", "--json").rows
    assert [(row["event"], row["process"], row["node_id"]) for row in rows] == [("node.up", "launcher", "n1")]
    shown = node.run("logs", "--grep", "node.up", "--since", "1d")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d [\d:.]{12}  n1  launcher  info  node\.up  after_ms=\d+\n", shown.out)
    assert node.run("logs", "--call", "nobodys").err == "no such line\n"
    assert "--since yesterday" in node.run("logs", "--since", "yesterday").refused()


def test_report_is_one_json_object(node: Node) -> None:
    (report,) = node.run("report", "--json").rows
    assert report["attempts"] == report["lost"] == 0
    assert report["dispositions"] == {}


def test_a_report_since_yesterday_is_refused_with_the_form_of_a_moment(node: Node) -> None:
    assert "ISO 8601" in node.run("report", "--since", "yesterday").refused()


def test_a_campaign_that_is_not_there_is_named(node: Node) -> None:
    for what in ("status", "start"):
        assert node.run("campaign", what, "spring").refused().startswith("ringmaster campaign: campaign spring: there")


def test_a_campaign_is_imported_started_and_told_about_as_json(node: Node, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('id = "quiet"\n[plan]\nzone = "Europe/London"\ndays = [0]\nopens_min = 0\n')
    (tmp_path / "l.csv").write_text("number,consent\nsip:nobody@127.0.0.1:9,paper\n")
    files = (str(tmp_path / "c.toml"), "--contacts", str(tmp_path / "l.csv"), "--script", "hello")
    (imported,) = node.run("campaign", "import", *files, "--json").rows
    assert (imported["campaign_id"], imported["phase"], imported["contacts"]) == ("quiet", "imported", 1)
    (stopped,) = node.run("campaign", "stop", "quiet", "--json").rows
    assert stopped.keys() == imported.keys()


def test_dnc_adds_checks_exports_removes_and_imports_and_names_nobody(node: Node, tmp_path: Path) -> None:
    ada, ben = "+1 202-555-0100", "+12025550111"
    (added,) = node.run("dnc", "add", ada, "--why", "by letter", "--json").rows
    assert added == {"entries": 1, "new": 1, "everywhere": True}
    done = node.run("dnc", "check", "+12025550100", ben)
    assert (done.status, done.out.count("not on the list")) == (1, 1)
    assert ", by letter, " in done.out
    exported = node.run("dnc", "export").out
    assert (exported.count("\n"), "2025550100" in exported) == (2, False)
    assert node.run("dnc", "remove", ada).status == 0
    assert node.run("dnc", "check", ada).status == 0
    (tmp_path / "list.csv").write_text(f"name,number\nBen,{ben}\n")
    (brought,) = node.run("dnc", "import", str(tmp_path / "list.csv"), "--json").rows
    assert (brought["entries"], brought["new"]) == (1, 1)
    (tmp_path / "export.csv").write_text(exported)
    (again,) = node.run("dnc", "import", str(tmp_path / "export.csv"), "--json").rows
    assert again["new"] == 0, "an older word does not hold over a later one"
    (tmp_path / "others.csv").write_text(exported[:-3] + "?\r\n")
    refused = node.run("dnc", "import", "--whole", str(tmp_path / "others.csv")).refused()
    assert "others.csv:2: names people with another contact.key" in refused
    assert node.run("dnc", "check", ada, ben, "--json").rows[1]["listed"] is True
    (tmp_path / "wrong.csv").write_text("number\n555\n")
    assert "wrong.csv:2: is no number with +" in node.run("dnc", "import", str(tmp_path / "wrong.csv")).refused()


def test_nobody_waits_for_a_node_that_is_alone_to_have_its_calls_moved(node: Node) -> None:
    words = ("node", "--config", str(node.config))
    done = node.place.run(*words, "drain", "--move", "--within", "600")
    assert (done.status, done.err) == (0, "")
    assert done.out.splitlines() == [
        "calls stay at n1 until they end; nobody takes them: n1 is alone", "n1 has no call any more",
    ]  # fmt: skip
    assert node.place.run(*words, "undrain").status == 0


def test_a_second_node_with_the_same_state_is_refused_and_told_by_whom(node: Node) -> None:
    done = node.run("up")
    assert done.status == 2
    assert f"another node (process {node.up.pid}) runs with this state directory" in done.err


def test_a_roster_that_is_garbage_is_named(node: Node) -> None:
    file = node.place.path / "state/run/roster.json"
    true = file.read_bytes()
    try:
        for garbage in (b"\0garbage", b'{"revision": 1, "processes": [{"role": 7}]}'):
            file.write_bytes(garbage)
            assert "roster.json is not the launcher's" in node.run("tree").refused()
    finally:
        file.write_bytes(true)


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(node: Node) -> None:
    for words in (("tree",), ("report", "--json")):
        command = [COMMAND, *words, "--config", str(node.config)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
            assert running.stdout
            assert running.stderr
            running.stdout.close()
            assert running.wait(PATIENCE_S) == 0
            assert running.stderr.read() == b""


def test_a_full_disk_behind_standard_output_is_one_line(node: Node) -> None:
    with Path("/dev/full").open("w") as full:
        command = [COMMAND, "report", "--json", "--config", str(node.config)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "ringmaster report: No space left on device\n")


class TestCall:
    """`ringmaster call`, to a telephone that is a bare socket."""

    def test_what_is_no_sip_uri_is_not_dialled(self, node: Node) -> None:
        for target in ("sip:a b@127.0.0.1", "tel:+4930123456"):
            assert repr(target) in node.run("call", target).refused()

    def test_a_script_that_the_checker_refuses_is_told_by_line_before_anything_is_dialled(self, node: Node) -> None:
        script = Path("tests/grammars/wrong_scripts/action_behind_one_without_condition.yaml").resolve()
        with _telephone() as telephone:
            told = node.run("call", _uri(telephone), "--script", str(script)).refused()
            assert told == f"ringmaster call: {script}:28: yes: what follows is never taken, because this has no `when`"
            telephone.setblocking(False)
            try:
                assert not telephone.recv(1500)
            except BlockingIOError:
                pass

    def test_slots_are_those_of_the_script(self, node: Node) -> None:
        refused = {
            ("--script", "survey"): "survey: company is missing (--slot NAME=VALUE)",
            ("--slot", "color=red"): "--slot color: hello wants name",
            ("--ring", "0"): "--ring 0: must be above 0",
        }
        for words, reason in refused.items():
            assert node.run("call", "sip:a@127.0.0.1", *words).refused() == f"ringmaster call: {reason}"

    def test_ctrl_c_hangs_up(self, node: Node, place: Place) -> None:
        for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            with _telephone() as telephone:
                calling = place.start("call", _uri(telephone), "--config", str(node.config))
                invite, edge = _received(telephone, b"INVITE")
                telephone.sendto(_response(invite, b"180 Ringing"), edge)
                place.until(lambda: "rings" in place.out, calling)
                calling.send_signal(number)
                cancel, edge = _received(telephone, b"CANCEL")
                telephone.sendto(_response(cancel, b"200 OK"), edge)
                telephone.sendto(_response(invite, b"487 Request Terminated"), edge)
                assert calling.wait(PATIENCE_S) == status


def _in_a_terminal(node: Node, *words: str) -> tuple[int, str]:
    """Run a command in a terminal of 100 columns, press Ctrl-C at the third picture; return status and last screen."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 100))
    environment = node.place.environment({"TERM": "xterm", "NO_COLOR": "1"})
    with subprocess.Popen([COMMAND, *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as running:
        os.close(theirs)
        shown = ""
        with suppress(OSError):  # its end of the terminal is closed
            while shown.count("launcher ") < 3:
                shown += os.read(ours, 65536).decode(errors="replace")
            running.send_signal(signal.SIGINT)
            while True:
                shown += os.read(ours, 65536).decode(errors="replace")
    os.close(ours)
    return running.wait(PATIENCE_S), re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown)


def _telephone() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    made.settimeout(PATIENCE_S)
    return made


def _uri(telephone: socket.socket) -> str:
    return f"sip:alice@127.0.0.1:{telephone.getsockname()[1]}"


def _received(telephone: socket.socket, method: bytes) -> tuple[bytes, tuple[str, int]]:
    while True:
        data, source = telephone.recvfrom(65535)
        if data.startswith(method):
            return data, source


def _response(request: bytes, status: bytes) -> bytes:
    lines = request.split(b"\r\n")
    kept = [line for line in lines if line.split(b":")[0] in (b"Via", b"From", b"Call-ID", b"CSeq")]
    to = next(line for line in lines if line.startswith(b"To:"))
    return b"\r\n".join([b"SIP/2.0 " + status, *kept, to + b";tag=t", b"Content-Length: 0", b"", b""])


class TestConfig:
    """`ringmaster config`: settings that change while the node runs."""

    def test_a_version_is_checked_applied_and_gone_back_from_and_each_time_it_is_said_what_changes(
        self, node: Node, tmp_path: Path
    ) -> None:
        file = tmp_path / "settings.toml"
        file.write_text("[central]\nmax_concurrent = 50\n[edge]\ngives_up = ['recordings']\n")
        (first,) = node.run("config", "apply", str(file), "--why", "a test", "--json").rows
        number = int(str(first["version"]))
        assert first["behind"] == [], "the edge and central go by it"
        figures: dict[str, dict[str, float]] = {
            str(row["role"]): row["figures"]  # type: ignore[misc]
            for row in node.run("node", "--json").rows
            if row["state"] == "active"
        }
        assert figures["edge"]["settings"] == figures["central"]["settings"] == number
        shown = node.run("config", "show").out
        assert shown.startswith(f"version = {number}\n")
        file.write_text(shown.replace("max_concurrent = 50", "max_concurrent = 60"))
        assert node.run("config", "check", str(file)).out.splitlines()[1:] == ["  central.max_concurrent: 50 -> 60"]
        done = node.run("config", "apply", str(file))
        assert done.out.splitlines() == [f"version {number + 1} holds", "  central.max_concurrent: 50 -> 60"]
        refused = node.run("config", "apply", str(file)).refused()
        assert f"nothing was changed: version {number + 1} is there, by " in refused, "it was made on the one before"
        (back,) = node.run("config", "apply", "--version", str(number), "--json").rows
        assert (back["version"], back["changes"]) == (number + 2, ["central.max_concurrent: 60 -> 50"])
        newest, _, oldest, *_ = node.run("config", "history", "--json").rows
        assert (newest["version"], newest["why"]) == (number + 2, f"as version {number}")
        assert (oldest["why"], newest["settings"]) == ("a test", oldest["settings"])

    def test_what_cannot_change_is_refused_with_file_line_and_what_it_takes(self, node: Node, tmp_path: Path) -> None:
        (tmp_path / "s.toml").write_text("[central]\nbase = 4\n\n[rtp]\nports = [1, 2]\n")
        for what in ("check", "apply"):
            said = node.run("config", what, str(tmp_path / "s.toml")).refused()
            assert said.startswith(f"ringmaster config: {tmp_path}/s.toml:5: rtp.ports: needs a drain"), said
        assert "there is none such" in node.run("config", "apply", "--version", "999").refused()
