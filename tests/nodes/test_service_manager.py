"""What is said to the service manager, and which sockets it keeps: a real datagram socket stands where systemd's is.

It hears and keeps as systemd 252 does (sd_notify(3), sd_listen_fds(3)): a socket that it has it does not take again,
also under another name; what has one name goes together.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes import ports, service_manager
from nodes.child import STAND_INS
from nodes.commands.bench_cluster import STANDING_IN
from nodes.config import ENVIRONMENT, Config, load, parse
from nodes.holdings import PortTaken, udp_sockets
from nodes.links.roster import Roster
from nodes.rehearsal.scripted.pace import VARIABLE, Pace
from nodes.service_manager import OURS, ServiceManager
from tests.conftest import must_run

WITHIN_S = 60.0
COMMAND = Path(sys.executable).with_name("ringmaster")
"""Becomes the launcher, as the unit starts it: with the sockets that it was given, and as the same process."""
PREPARE = """
import fcntl, os, sys
given = [fcntl.fcntl(int(n), fcntl.F_DUPFD, 100) for n in sys.argv[1].split(",") if n]
for place, number in enumerate(given, 3):
    os.dup2(number, place)
os.closerange(3 + len(given), 1000)
os.environ["LISTEN_PID"] = os.environ["WATCHDOG_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""
"""What a manager does between fork and exec."""


class Manager:
    """Hears in a thread of its own, as another process would. `store`: name and socket, the oldest first."""

    def __init__(self, path: Path) -> None:
        self.address = str(path)
        self.heard: list[dict[str, str]] = []
        self.store: list[tuple[str, socket.socket]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.address)
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._hear)
        self._thread.start()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"END=1", self.address)
        self._thread.join()
        self._socket.close()
        for _, sock in self.store:
            sock.close()

    def _hear(self) -> None:
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 8)
            words = dict(line.split("=", 1) for line in data.decode().splitlines())
            with self._news:
                self._take(words, descriptors)
                self.heard.append(words)
                self._news.notify_all()
            if "END" in words:
                return

    def _take(self, words: dict[str, str], descriptors: list[int]) -> None:
        name = words.get("FDNAME", "")
        if "FDSTORE" in words:
            (number,) = descriptors
            if inode(number) in [inode(sock.fileno()) for _, sock in self.store]:
                os.close(number)
            else:
                self.store.append((name, socket.socket(fileno=number)))
        elif "FDSTOREREMOVE" in words:
            for one in [one for one in self.store if one[0] == name]:
                self.store.remove(one)
                one[1].close()
        elif "BARRIER" in words:
            os.close(*descriptors)

    def until(self, what: Callable[[], object]) -> None:
        """Return when `what()` holds: looked at when something was heard, and ten times a second."""
        give_up_s = time.monotonic() + WITHIN_S
        with self._news:
            while not self._news.wait_for(what, 0.1):
                assert time.monotonic() < give_up_s, self.heard

    def said(self, word: str) -> list[dict[str, str]]:
        """Return all datagrams with this word."""
        return [words for words in self.heard if word in words]

    def has_taken_all(self) -> None:
        """Return when what was sent before has been heard."""
        n = len(self.said("MARK"))
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"MARK=1", self.address)
        self.until(lambda: len(self.said("MARK")) > n)

    def kept(self) -> dict[str, int]:
        """Return name -> inode; fails where two have one name."""
        self.has_taken_all()
        names = [name for name, _ in self.store]
        assert len(names) == len(set(names)), names
        return {name: inode(sock.fileno()) for name, sock in self.store}

    def next_life(self) -> ServiceManager:
        """Return what a launcher begins with that this one starts."""
        self.has_taken_all()
        return ServiceManager(self.address, kept={name: sock.dup() for name, sock in self.store})

    @contextmanager
    def started(self, environment: Mapping[str, str], said: Path) -> Iterator[subprocess.Popen[bytes]]:
        """Have a launcher that this manager has started; it ends with the block."""
        numbers = [sock.fileno() for _, sock in self.store]
        ours = {
            "NOTIFY_SOCKET": self.address,
            "WATCHDOG_USEC": "30000000",
            "LISTEN_FDS": str(len(numbers)),
            "LISTEN_FDNAMES": ":".join(name for name, _ in self.store),
        }
        argv = [sys.executable, "-c", PREPARE, ",".join(map(str, numbers)), sys.executable, COMMAND, "up"]
        with (
            said.open("ab") as log,
            subprocess.Popen(
                argv, env={**os.environ, **environment, **ours}, pass_fds=numbers, stdout=log, stderr=log
            ) as launcher,
        ):
            try:
                yield launcher
            finally:
                launcher.kill()


def inode(number: int) -> int:
    return os.fstat(number).st_ino


@contextmanager
def managing(path: Path) -> Iterator[Manager]:
    with closing(Manager(path)) as made:
        yield made


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    with managing(tmp_path / "notify") as made:
        yield made


@pytest.fixture
def first() -> int:
    return ports.take(20)


def config_of(first: int, *, bind: str = "127.0.0.1", sip: tuple[int, ...] = (0,), rtp: int = 4, n: int = 1) -> Config:
    """A node whose SIP and RTP ports are these above `first`."""
    named = [first + number for number in sip]
    text = f"[sip]\nbind = '{bind}'\nport = {named[0]}\nfurther_ports = {named[1:]}\n[edge]\nprocesses = {len(sip)}\n"
    text += f"[rtp]\nbind = '{bind}'\nports = [{first + rtp}, {first + rtp + 2 * n - 1}]\n[media]\nchannels = {n}\n"
    return parse(text, "test", Path("/nowhere"))


# ---- what is kept ----------------------------------------------------------------------------------------------------


def test_each_udp_socket_is_given_by_a_name_of_its_own_and_errors_at_it_take_it_from_nobody(
    manager: Manager, first: int
) -> None:
    with udp_sockets(config_of(first, sip=(0, 2), n=2), manager.next_life()) as sockets:
        assert manager.kept() == {name: inode(sock.fileno()) for name, sock in sockets.items()}
        assert list(sockets) == ["sip-0", "sip-1", f"rtp-{first + 4}", f"rtp-{first + 6}"]
        assert {words["FDPOLL"] for words in manager.said("FDSTORE")} == {"0"}
    assert len(manager.store) == 4, "they outlive who has bound them"


def test_the_next_life_reads_what_came_for_sip_in_between_and_not_the_audio(manager: Manager, first: int) -> None:
    config, rtp = config_of(first), f"rtp-{first + 4}"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        with udp_sockets(config, manager.next_life()):
            before = manager.kept()
        far.connect(("127.0.0.1", first))
        for _ in range(2):
            far.send(b"BYE sip:us SIP/2.0")  # refused where nobody has the port
        far.sendto(b"old audio", ("127.0.0.1", first + 4))
        with udp_sockets(config, manager.next_life()) as sockets:
            assert {name: inode(sock.fileno()) for name, sock in sockets.items()} == before == manager.kept()
            assert sockets["sip-0"].recv(100) == b"BYE sip:us SIP/2.0"
            far.sendto(b"new audio", ("127.0.0.1", first + 4))
            assert sockets[rtp].recv(100) == b"new audio"
    assert len(manager.said("FDSTORE")) == 2, "what it has is not given again"


LIVES = st.builds(
    dict,
    bind=st.sampled_from(["127.0.0.1", "127.0.0.2", "0.0.0.0"]),
    sip=st.lists(st.sampled_from([0, 2, 12, 14]), min_size=1, max_size=3, unique=True).map(tuple),
    rtp=st.sampled_from([4, 6]),
    n=st.integers(1, 3),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(LIVES, min_size=2, max_size=4))
def test_whatever_is_changed_between_two_lives_each_has_what_its_configuration_names_and_so_has_the_manager(
    tmp_path_factory: pytest.TempPathFactory, lives: list[dict[str, object]]
) -> None:
    """Also where the same port is wanted at another address, or by another edge, while the manager still has it."""
    with ports.held(20) as first, managing(tmp_path_factory.mktemp("m") / "notify") as manager:
        before: dict[tuple[str, object], int] = {}
        for life in lives:
            with udp_sockets(config_of(first, **life), manager.next_life()) as sockets:  # type: ignore[arg-type]
                there = {(name, sock.getsockname()): inode(sock.fileno()) for name, sock in sockets.items()}
                assert manager.kept() == {name: number for (name, _), number in there.items()}
                assert {address[0] for _, address in there} == {life["bind"]}
                assert {place: before[place] for place in there if place in before}.items() <= there.items()
                before = there
        assert "manager.unheard" not in str(manager.heard)


def test_a_node_that_has_no_telephone_any_more_keeps_no_port_for_one(manager: Manager, first: int) -> None:
    with udp_sockets(config_of(first), manager.next_life()):
        pass
    with udp_sockets(parse("node.roles = ['nats', 'desk']", "test", Path("/nowhere")), manager.next_life()) as sockets:
        assert sockets == manager.kept() == {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", first))


def test_a_port_that_somebody_else_has_is_told_and_what_was_kept_stays(manager: Manager, first: int) -> None:
    with udp_sockets(config_of(first), manager.next_life()):
        before = manager.kept()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", first + 2))
        with pytest.raises(PortTaken, match=r"sip\.further_ports"):
            with udp_sockets(config_of(first, sip=(0, 2)), manager.next_life()):
                pass
    assert manager.kept() == before


class Counting(ServiceManager):
    """Says what it said."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.words: list[str] = []

    def _say(self, words: str, *args: Any, **kwargs: Any) -> bool:
        self.words.append(words.partition("=")[0])
        return super()._say(words, *args, **kwargs)


def test_a_manager_that_hangs_or_is_not_there_holds_up_no_start_and_is_told_of_once(
    tmp_path: Path, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_manager, "PATIENCE_S", 0.1)
    path, told = tmp_path / "notify", []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hung, ExitStack() as stack:
        hung.bind(str(path))
        with suppress(BlockingIOError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            while True:
                sock.sendto(b"STATUS=", str(path))
        for address in (str(path), str(tmp_path / "nobody"), "@ringmaster-nobody"):
            other = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            dropped = {
                "gone": other,
                **{f"gone-{n}": socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for n in range(9)},
            }
            ours = Counting(address, kept=dropped)
            ours.log = lambda event, **fields: told.append((event, fields["error"]))
            with udp_sockets(config_of(first, n=3), ours) as sockets:
                assert len(sockets) == 4
            assert ours.words.count("FDSTOREREMOVE") == 1, "each would wait for as long"
            ours.ready("up")
    assert [event for event, _ in told] == ["manager.unheard"] * 3
    assert [error for _, error in told] == ["Resource temporarily unavailable", "No such file or directory",
                                            "Connection refused"]  # fmt: skip


# ---- what is said ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1", "LISTEN_FDNAMES": "sip-0", "LISTEN_PID": "1", "WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"},
        {"LISTEN_FDS": "x", "LISTEN_FDNAMES": ":", "LISTEN_PID": f"{os.getpid()}", "WATCHDOG_USEC": "-1"},
        {"LISTEN_FDS": "1", "LISTEN_PID": f"{os.getpid()}", "WATCHDOG_USEC": ""},
    ],
)
def test_what_is_not_for_this_process_is_taken_out_of_the_environment_and_left_alone(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_manager, "FIRST", 900)  # nobody's descriptor
    made = ServiceManager.of(here := {**environment, "PATH": "/bin"})
    assert here == {"PATH": "/bin"}
    assert (made.kept, made._silence_s) == ({}, 0.0)
    made.ready("up")
    made.stopping()


def test_of_what_is_handed_over_sockets_are_taken_by_name_and_the_rest_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service_manager, "FIRST", 900)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET) as other:
        for number, sock in enumerate((one, other), 901):
            fcntl.fcntl(sock, fcntl.F_DUPFD, number)
            os.set_inheritable(number, True)
        with Path("/dev/null").open() as file:
            fcntl.fcntl(file, fcntl.F_DUPFD, 900)
        names = "a:sip-0:sip-0:none"
        given = {"LISTEN_FDS": "4", "LISTEN_FDNAMES": names, "LISTEN_PID": str(os.getpid()), "NOTIFY_SOCKET": "/n"}
        kept = ServiceManager.of(given).kept
        assert {name: inode(sock.fileno()) for name, sock in kept.items()} == {"sip-0": inode(other.fileno())}
        assert not os.get_inheritable(kept["sip-0"].fileno())
        for number in (900, 901):
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(number)
        kept["sip-0"].close()


async def test_the_beat_comes_from_the_event_loop_and_ends_while_that_is_held(manager: Manager) -> None:
    ours = ServiceManager(manager.address, silence_s=0.3)

    def held() -> int:
        manager.has_taken_all()
        n = len(manager.said("WATCHDOG"))
        time.sleep(0.4)
        manager.has_taken_all()
        return len(manager.said("WATCHDOG")) - n

    with ours.beating():
        await until(lambda: len(manager.said("WATCHDOG")) > 2)
        assert held() == 0
        n = len(manager.said("WATCHDOG"))
        await until(lambda: len(manager.said("WATCHDOG")) > n)
    manager.has_taken_all()
    n = len(manager.said("WATCHDOG"))
    await asyncio.sleep(0.4)
    manager.has_taken_all()
    assert len(manager.said("WATCHDOG")) == n


async def test_nobody_who_waits_for_no_beat_is_sent_one(manager: Manager) -> None:
    with ServiceManager(manager.address).beating():
        await asyncio.sleep(0.05)
    manager.has_taken_all()
    assert not manager.said("WATCHDOG")


async def until(what: Callable[[], object]) -> None:
    async with asyncio.timeout(WITHIN_S):
        while not what():
            await asyncio.sleep(0.01)


# ---- a whole launcher ------------------------------------------------------------------------------------------------

OPTIONS = (
    "OPTIONS sip:us@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bKgap\r\nMax-Forwards: 70\r\n"
    "From: <sip:far@127.0.0.1>;tag=f\r\nTo: <sip:us@127.0.0.1>\r\nCall-ID: in-the-gap\r\nCSeq: 7 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)


def runs(pid: int) -> bool:
    with suppress(OSError):
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def environment_of(pid: int) -> set[str]:
    return {word.partition("=")[0] for word in Path(f"/proc/{pid}/environ").read_text().split("\0")}


def test_a_launcher_that_was_killed_is_followed_by_one_that_answers_what_came_in_between(
    manager: Manager, tmp_path: Path, first: int
) -> None:
    file, log = tmp_path / "ringmaster.toml", tmp_path / "log"
    file.write_text(
        "[node]\nroles = ['speech', 'media', 'edge']\n[paths]\nstate = 's'\n[nats]\nurl = 'nats://127.0.0.1:1'\n"
        f"[sip]\nport = {first}\n[rtp]\nports = [{first + 4}, {first + 5}]\n[media]\nchannels = 1\n"
        "[speech]\nprocesses = 1\n[edge]\nprocesses = 1\n"
    )
    stand_ins = " ".join(f"{role}={module}" for role, module in STANDING_IN.items())
    environment = {ENVIRONMENT: str(file), STAND_INS: stand_ins, VARIABLE: str(Pace())}
    run = load(file).paths.run

    with manager.started(environment, log) as launcher:
        manager.until(lambda: manager.said("READY") or must_run(launcher, log))
        assert manager.said("READY")[0]["STATUS"].startswith("up after ")
        assert manager.said("WATCHDOG")
        before = manager.kept()
        assert before.keys() == {"sip-0", f"rtp-{first + 4}"}
        pids = [peer.pid for peer in Roster.read(run / "roster.json").processes]
        assert not set(OURS) & set.union(*map(environment_of, pids))
        launcher.kill()
        launcher.wait()
        manager.until(lambda: not any(map(runs, pids)))  # as systemd waits until the unit's group is empty
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far:
        far.settimeout(WITHIN_S)
        far.connect(("127.0.0.1", first))
        far.send(OPTIONS.format(port=far.getsockname()[1]).encode())
        with manager.started(environment, log) as launcher:
            assert b"CSeq: 7 OPTIONS" in far.recv(4096)
            links = [os.readlink(one) for one in Path(f"/proc/{launcher.pid}/fd").iterdir() if one.exists()]
            assert {f"socket:[{number}]" for number in before.values()} <= {*links}
            assert manager.kept() == before
            launcher.send_signal(signal.SIGTERM)
            manager.until(lambda: manager.said("STOPPING"))
            assert launcher.wait(WITHIN_S) == 0


def test_one_that_cannot_start_says_why(manager: Manager, tmp_path: Path) -> None:
    (file := tmp_path / "ringmaster.toml").write_text("[sip]\nport = 99999\n")
    with manager.started({ENVIRONMENT: str(file)}, tmp_path / "log") as launcher:
        assert launcher.wait(WITHIN_S) == 2
    manager.until(lambda: manager.said("STATUS"))
    assert manager.said("STATUS")[0]["STATUS"].endswith("sip.port: 99999 is not between 0 and 65535")
