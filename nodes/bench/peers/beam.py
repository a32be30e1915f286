"""Erlang/OTP, where it is installed: compiles `otp_peer.erl` and runs it on one scheduler, as an event loop is one.

`python -m nodes.bench.peers.beam SIZES` prints one JSON object, as a round does.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nodes.bench.field import SIZES, known_or_exit

SOURCE: Final = Path(__file__).with_name("otp_peer.erl")
PROCESSES: Final = 1_000_000
_RELEASE: Final = "io:put_chars(erlang:system_info(otp_release)), halt()."


def release() -> str | None:
    """Return the OTP release, "25"; None where there is no `erl` or no `erlc`."""
    if shutil.which("erl") is None or shutil.which("erlc") is None:
        return None
    return _output("erl", "-noshell", "-eval", _RELEASE)


def main(argv: Sequence[str]) -> None:
    """Print the figures. Raises: SystemExit, for a name that is not known; CalledProcessError."""
    (size,) = argv
    known_or_exit([size], SIZES)
    numbers = map(str, dataclasses.astuple(SIZES[size]))
    with tempfile.TemporaryDirectory() as compiled:
        _output("erlc", "-o", compiled, str(SOURCE))
        one_scheduler = ("+S", "1:1", "+P", str(PROCESSES))
        started = ("-noshell", "-pa", compiled, "-s", SOURCE.stem, "main", "-extra", *numbers)
        sys.stdout.write(_output("erl", *one_scheduler, *started))


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True).stdout


if __name__ == "__main__":
    main(sys.argv[1:])
