"""Scripts as commands name them: a file, or the name of one that is shipped."""

from __future__ import annotations

from pathlib import Path

import grammars
from nodes.errors import NodeError

SHIPPED = Path(grammars.__file__).parent / "scripts"


class NoSuchScript(NodeError):
    """Neither a file nor a shipped script."""


def find_script(name: str) -> Path:
    """Return the file of a script. Raises: NoSuchScript.

    >>> find_script("hello").name
    'hello.yaml'
    """
    for path in (Path(name), SHIPPED / f"{name}.yaml"):
        if path.is_file():
            return path
    shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.yaml") if "." not in path.stem))
    raise NoSuchScript(f"{name}: no such file, and no shipped script of that name ({shipped})")


def read_script(name: str) -> str:
    """Return a script's text. Raises: NoSuchScript, OSError."""
    return find_script(name).read_text(encoding="utf-8")


__all__ = ["SHIPPED", "NoSuchScript", "find_script", "read_script"]
