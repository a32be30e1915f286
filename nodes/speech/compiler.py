"""The process that compiles rules, and nothing else: `python -m nodes.speech.compiler`, started by `compiling`.

Specifications come in on standard input, rules go out on standard output, both pickled, by one installation for itself.
It alone of this package imports pynini.
"""

from __future__ import annotations

import pickle
import sys
from datetime import date

from grammars.rules.compile import compile_rule
from grammars.rules.spec import RuleSpec

__all__ = ["main"]


def main() -> int:
    """Compile what is asked for."""
    specs: dict[str, RuleSpec] = pickle.load(sys.stdin.buffer)
    pickle.dump({rule: compile_rule(spec, date.min) for rule, spec in specs.items()}, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
