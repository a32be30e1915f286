"""What the tools cannot hold: sizes, tasks without a parent, names, the map in ARCHITECTURE.md."""

import ast
import importlib.util
import io
import re
import tokenize
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("supervisors", "protocols", "grammars", "nodes")
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LIBRARIES = {"zmq", "nats", "msgpack", "aiohttp", "duckdb", "numpy", "pynini", "structlog", "rich", "yaml"}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


NAMES = [f"/{named(path)}" for path in (*MODULES, *TESTS)]


def each(paths: Sequence[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Have one test look at all of these files, and name those that are not as they should be."""

    def of_all(test: Callable[[Path], None]) -> Callable[[], None]:
        def run() -> None:
            wrong: dict[str, str] = {}
            for path in paths:
                try:
                    test(path)
                except AssertionError as error:
                    wrong[named(path)] = str(error)
            assert wrong == {}

        run.__name__, run.__doc__ = test.__name__, test.__doc__
        return run

    return of_all


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@pytest.fixture(scope="module", autouse=True)
def trees() -> Iterator[None]:
    """Whoever comes afterwards need not carry all of them."""
    yield
    parsed.cache_clear()


@each(MODULES)
def test_no_module_is_longer_than_400_lines(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


@each(MODULES)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(parsed(path)), "a module starts with its docstring"


@each(MODULES)
def test_no_task_is_started_without_a_parent(path: Path) -> None:
    """A bare `create_task` or `ensure_future` statement drops the task: nobody awaits it, nobody sees it fail."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            owner = ast.unparse(called.value) if isinstance(called, ast.Attribute) else ""
            in_group = name == "create_task" and re.search(r"(^|[._])(group|tasks)$", owner)
            assert name not in {"create_task", "ensure_future"} or in_group, f"{path.name}:{node.lineno}"


STAND_APART = ("bench", "rehearsal")
"""Of `nodes`: measurements, and who is called. They have no bus, which is where a cancellation is swallowed."""


@each([path for path in MODULES if not named(path).removeprefix("nodes/").startswith(STAND_APART)])
def test_whoever_ends_tasks_of_a_process_tells_them_again(path: Path) -> None:
    """A group of asyncio's own cancels each of its tasks once, and waits for ever for one that has not noticed."""
    if path.name != "tasks.py":
        assert "asyncio.TaskGroup(" not in path.read_text()


@each(MODULES)
def test_no_module_is_named_after_a_library(path: Path) -> None:
    assert path.stem not in LIBRARIES


@pytest.mark.parametrize("room", ROOMS)
def test_the_four_packages_are_ours(room: str) -> None:
    spec = importlib.util.find_spec(room)
    assert spec is not None
    assert Path(str(spec.origin)).parent == ROOT / room


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_a_typed_marker_and_a_public_surface(room: str) -> None:
    assert (ROOT / room / "py.typed").exists()
    assert "__all__" in (ROOT / room / "__init__.py").read_text()


def test_there_is_no_init_file_under_tests() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_the_map_in_architecture_names_every_module_and_nothing_else() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    drawn = set(re.findall(r"^\s*`((?:supervisors|protocols|grammars|nodes)/[\w/]+\.py)`", text, flags=re.MULTILINE))
    there = {named(path) for path in MODULES if path.name != "__init__.py"}
    assert drawn - there == set(), "on the map but not there"
    assert there - drawn == set(), "there but not on the map"


@pytest.mark.parametrize("path", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_file_that_a_page_names_exists(path: str) -> None:
    page = (ROOT / path).read_text()
    for name in re.findall(r"`((?:supervisors|protocols|grammars|nodes|ops|tests|\.ci)/[\w./-]+\.\w+)`", page):
        assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", [*ROOT.glob("*.md"), *(ROOT / "ops").rglob("*.md")], ids=named)
def test_no_page_has_both_sides_of_a_merge(path: Path) -> None:
    assert not re.search(r"^(<{7}|>{7}|={7}$)", path.read_text(), re.MULTILINE)


def told(path: Path) -> Iterator[str]:
    """What a module says to people: its docstrings, those below attributes too, and its comments."""
    source = path.read_text()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string


def is_ours(name: str) -> bool:
    """Return whether a dotted name leads to a module of ours, or to something that one has at its top level."""
    room, *rest = name.split(".")
    place = ROOT / room
    while rest and (place / rest[0]).is_dir():
        place, rest = place / rest[0], rest[1:]
    if rest and (place / f"{rest[0]}.py").exists():
        place, rest = place / f"{rest[0]}.py", rest[1:]
    module = place / "__init__.py" if place.is_dir() else place
    return not rest or re.search(rf"\b{rest[0]}\b", module.read_text()) is not None


@each([*MODULES, *TESTS])
def test_what_a_docstring_or_a_comment_names_exists(path: Path) -> None:
    """A file of ours, by its whole path, by its end or as a neighbour; a module of ours by its dotted name."""
    for text in told(path):
        for name in re.findall(r"(?<![\w/.])((?:[\w-]+/)*\w+\.py)(?![\w/])", text):
            assert any(file.endswith(f"/{name}") for file in NAMES), name
        for name in re.findall(rf"`((?:{'|'.join(ROOMS)})(?:\.\w+)+)`", text):
            assert is_ours(name), name


CLOCKS_AND_DICE = {"datetime", "monotonic", "perf_counter", "time", "sleep", "urandom", "uuid4", "randrange", "random"}


@each(sorted((ROOT / "nodes/call").glob("*.py")))
def test_a_call_asks_no_clock_and_throws_no_dice(path: Path) -> None:
    """Whoever goes on from its record must come to the same: what the contract on imports cannot see is a word here."""
    tree = parsed(path)
    said = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    said |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not said & CLOCKS_AND_DICE


def imports(path: Path) -> set[Path]:
    """Return the modules of ours that a module imports anywhere in it, also those that only its annotations need."""
    found: set[Path] = set()
    for node in ast.walk(parsed(path)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found |= {ROOT / (name.replace(".", "/") + ".py") for name in names}
    return found & set(MODULES)


def test_no_modules_import_each_other_in_a_circle() -> None:
    """A circle is one module in several files. Those of `TYPE_CHECKING` count: who knows whom is the same question."""
    graph = {path: imports(path) for path in MODULES}
    while leaves := {path for path, needs in graph.items() if not needs & graph.keys()}:
        graph = {path: needs for path, needs in graph.items() if path not in leaves}
    assert sorted(named(path) for path in graph) == [], "in a circle, or above one"
