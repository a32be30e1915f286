"""A script's rules compiled in a process of their own, which ends when it is done.

pynini and the recogniser each bring an OpenFst, of different versions. The dynamic linker merges what both define
inline (STB_GNU_UNIQUE, whatever the loading mode), so the second of them to be loaded hangs or writes past the other's
objects. pynini only compiles, and a compiled `Rule` is plain tables: so it compiles elsewhere (`compiler`), in 0.4 s.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from grammars.rules.rule import Rule
from grammars.rules.spec import RuleSpec
from nodes.speech.errors import EngineFailed

__all__ = ["compile_rules"]

TIMEOUT_S = 60.0
_ROOT = Path(__file__).parents[2]
"""Where `-m` finds our packages, installed or not."""


def compile_rules(specs: Mapping[str, RuleSpec]) -> dict[str, Rule]:
    """Return rule id -> compiled rule; blocks. Raises: EngineFailed with what the compiling process said."""
    given = pickle.dumps(dict(specs))
    command = [sys.executable, "-m", "nodes.speech.compiler"]
    try:
        done = subprocess.run(command, input=given, capture_output=True, timeout=TIMEOUT_S, check=True, cwd=_ROOT)
    except subprocess.TimeoutExpired as error:
        raise EngineFailed(f"rules not compiled in {TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        raise EngineFailed(f"rules not compiled: {error.stderr.decode(errors='replace')[-2000:]}") from error
    rules: dict[str, Rule] = pickle.loads(done.stdout)
    return rules
