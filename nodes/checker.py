"""The process that reads a stranger's script, and nothing else: `python -m nodes.checker`, started by `checking`.

The text comes in on standard input; out goes the packed script, or every reason why it is refused. A text that its
reader cannot be done with is the end of this process alone: it may use so much processor time and memory and no more.
"""

from __future__ import annotations

import resource
import sys

import msgspec

from grammars.errors import ScriptError
from grammars.script import load
from grammars.script_pack import pack
from nodes.checking import CPU_S, Verdict

MEMORY_BYTES = 1024 * 1024 * 1024


def main() -> int:
    """Read, check, answer."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        verdict = Verdict(packed=pack(load(sys.stdin.buffer.read().decode(errors="replace"))))
    except ScriptError as error:
        verdict = Verdict(reasons=error.reasons)
    sys.stdout.buffer.write(msgspec.msgpack.encode(verdict))
    return 0


if __name__ == "__main__":
    sys.exit(main())
