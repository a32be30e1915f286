"""The runbook is true of the code beside it: what a page names there is, and what it tells to type can be typed.

A page's blocks say what they are: `sh` is typed, `toml` is a file of settings. A dotted word in backticks is a setting
or an event of the log, unless it is a file, or a subject of NATS (`rm.`).
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from nodes import cli, config_running
from nodes.admin.presence import SERVICE
from nodes.commands import COMMANDS
from nodes.config import Config, parse
from nodes.telemetry.catalogue import metrics
from nodes.telemetry.log_table import log_events
from tests.nodes.bus.test_nats_cli import ANSWERED, HEARD, REFUSED, WATCHED

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "ops/docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
FILES = {"md", "py", "toml", "keys", "key", "json", "jsonl", "duckdb", "csv", "pid", "yml", "sh", "tar"}
"""Endings of files that pages name."""
DOTTED = re.compile(r"[a-z_0-9]+(\.[a-z_0-9]+)+")


def named(path: Path) -> str:
    return path.name


def blocks(text: str, kind: str) -> Iterator[str]:
    for indent, word, body in BLOCK.findall(text):
        assert word in ("sh", "toml"), f"a block is sh or toml, and not {word!r}"
        if word == kind:
            yield "\n".join(line.removeprefix(indent) for line in body.splitlines())


def in_backticks(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", BLOCK.sub("", text))


def typed(text: str) -> list[str]:
    """Return the commands of a page: the lines of its `sh` blocks, and what stands in backticks and is one of ours."""
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [*lines, *(one for one in in_backticks(text) if one.startswith(("ringmaster ", "nats ")))]


def headings(text: str) -> set[str]:
    """Return the anchors of a page, as Markdown's own table of contents makes them."""
    told = re.findall(r"^#+ (.+)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", one).strip().lower()) for one in told}


def settings(of: Any, before: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings, with those of a list of tables as `sip.trunks.cps`."""
    for name, kind in get_type_hints(of).items():
        if name not in {one.name for one in fields(of)}:
            continue
        yield before + name
        for inner in (kind, *get_args(kind)):
            if is_dataclass(inner):
                yield from settings(inner, f"{before}{name}.")


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_command_of_ours_on_a_page_is_one_that_the_command_line_takes(path: Path) -> None:
    n_commands = 0
    for line in typed(path.read_text()):
        words = shlex.split(line.partition(" > ")[0])
        if words[:1] != ["ringmaster"] or len(words) == 1:
            continue
        assert words[1] in COMMANDS, line
        try:
            cli._parser(words[1]).parse_args(words[1:])
        except SystemExit:
            pytest.fail(f"{path.name}: {line}")
        n_commands += 1
    assert n_commands, "a page says what to type"


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_link_of_a_page_leads_to_a_page_and_to_a_heading_of_it(path: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        page, _, anchor = link.partition("#")
        to = DOCS / page if page else path
        assert to in PAGES, link
        assert not anchor or anchor in headings(to.read_text()), link


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_dotted_name_on_a_page_is_a_setting_an_event_of_the_log_or_a_file(path: Path) -> None:
    known = {*settings(Config), *log_events()}
    for one in in_backticks(path.read_text()):
        is_elsewhere = one.startswith("rm.") or one.rpartition(".")[2] in FILES
        if DOTTED.fullmatch(one) and not is_elsewhere:
            assert one in known, one


@cache
def source() -> str:
    rooms = ("nodes", "supervisors", "protocols")
    ours = [path for room in rooms for kind in ("*.py", "*.tsv") for path in (ROOT / room).rglob(kind)]
    files = [*ours, *(ROOT / "ops/ansible").rglob("*.yml")]
    return "\n".join([*(path.read_text() for path in files), *metrics()])


@cache
def words() -> set[str]:
    return set(re.findall(r"\w+", source()))


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_what_a_page_says_that_the_product_says_is_in_its_source(path: Path) -> None:
    """Words like `late_p99_ms`, and replies, in which `...` stands for what is different each time."""
    for one in in_backticks(path.read_text()):
        if re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", one):
            assert one in words(), one
        if "..." in one:
            assert all(piece.strip() in source() for piece in one.split("...")), one


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_settings_on_a_page_are_settings_that_a_node_reads(path: Path, tmp_path: Path) -> None:
    for block in blocks(path.read_text(), "toml"):
        if block.startswith("# settings.toml"):  # what changes while nodes run
            config_running.check(config_running.read(block, path.name)[1], path.name)
        else:
            parse(block, path.name, tmp_path)


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_what_a_page_asks_of_the_desk_is_one_of_its_routes(path: Path) -> None:
    routes = (ROOT / "nodes/admin/api.py").read_text()
    for asked in re.findall(r"https?://127\.0\.0\.1:8080(/[\w/.]+)", path.read_text()):
        assert f'"{asked}"' in routes, asked


def test_the_ports_for_the_firewall_are_those_that_a_node_has_by_itself() -> None:
    row = re.compile(r"^\| [^|]+ \| `([\w.]+)`[^|]* \| (?:UDP|TCP) ([^|]+) \|", re.MULTILINE)
    rows = row.findall((DOCS / "install.md").read_text())
    defaults = {name: attrgetter(name)(Config()) for name, _ in rows}
    assert {name: told for name, told in rows if defaults[name]} == {
        name: " to ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in defaults.items()
        if value
    }
    listening = {name for name in settings(Config) if re.fullmatch(r"\w+\.(\w+_)?ports?", name)}
    assert set(defaults) == listening


def test_every_page_is_found_from_the_first() -> None:
    found, new = set[Path](), {DOCS / "index.md"}
    while new:
        found |= new
        links = {one for path in new for one in re.findall(r"\]\(([\w-]+\.md)", path.read_text())}
        new = {DOCS / one for one in links} - found
    assert found == set(PAGES)


def test_the_page_of_the_nats_command_is_the_table_of_what_was_asked() -> None:
    text = (DOCS / "inside-with-nats.md").read_text()
    answered, refused = text.split("## What a viewer is refused")
    rows = dict(re.findall(r"^\| `(nats [^`]+)` \| ([^|]+) \|", answered, re.MULTILINE))
    asked = {command: f"`{subject}`" for command, (subject, *_) in ANSWERED.items()}
    asked |= dict.fromkeys(WATCHED, "a consumer of `KV_rm_calls`")
    asked |= {f"nats sub {subject}": f"`{subject}`" for subject in HEARD}
    asked |= {"nats kv get rm_calls c1": "`$JS.API.DIRECT.GET.KV_rm_calls.$KV.rm_calls.c1`"}
    asked |= {"nats micro ping": "`$SRV.PING`", "nats micro ls": "`$SRV.INFO`"}
    asked |= {f"nats micro {verb} {SERVICE}": f"`$SRV.{verb.upper()}.{SERVICE}`" for verb in ("info", "stats")}
    assert rows == asked
    assert re.findall(r"^\| `(nats [^`]+)`", refused, re.MULTILINE) == list(REFUSED)
