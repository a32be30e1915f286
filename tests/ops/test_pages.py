"""The runbook as pages: it builds without a warning, and asks nobody for anything when it is read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "ops/docs"


class Asked(HTMLParser):
    """What a browser fetches for a page by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        rel = (given.get("rel") or "").split()
        if tag in ("script", "img", "iframe", "source", "audio", "video") and (address := given.get("src")):
            self.found.append(address)
        if tag == "link" and set(rel) & {"stylesheet", "icon", "preload", "preconnect"}:
            self.found.append(given.get("href") or "")


def test_all_pages_are_built_strictly_and_fetch_nothing_from_anywhere(tmp_path: Path) -> None:
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "-f", "ops/mkdocs.yml", "-d", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for source in DOCS.glob("*.md"):
        page = (tmp_path / source.with_suffix(".html").name).read_text()
        asked = Asked()
        asked.feed(page)
        assert asked.found
        assert not [one for one in asked.found if re.match(r"(https?:)?//", one)]
    for style in tmp_path.rglob("*.css"):
        assert not re.search(r"(@import|url\()[\s'\"]*(https?:)?//", style.read_text()), style.name
