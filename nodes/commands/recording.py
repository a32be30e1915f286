"""`ringmaster recording`: a call's recording as a WAV file, from this machine's disk or the store, and opened.

It reads settings, keys, disk and store itself, with the node up or down; who has opened one is in the audit log.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from pathlib import Path

from nodes.admin import audit
from nodes.audio.wav import BYTES_PER_S, HEADER_BYTES
from nodes.commands.actions import operator
from nodes.commands.client import configured
from nodes.errors import NodeError
from nodes.files import open_private
from protocols.wire.ids import CallId


class NotWritten(NodeError):
    """There is a file of this name already."""


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("call", metavar="CALL", help="the call's name, as the report's events have it")
    parser.add_argument("-o", "--output", metavar="FILE", help="where to; - is standard output; default: CALL.wav")


def run(args: argparse.Namespace) -> int:
    """Write it, for its owner's eyes only. Raises: ConfigError, NotThere, NotWritten, NodeError, OSError."""
    from nodes.storage.whole import Whole  # the store's library takes long to load

    config, call = configured(args), CallId(args.call)
    with closing(Whole(config)) as whole:
        pieces = whole.wav(call)
        first = next(pieces)  # before there is a file: what is missing is told first
        line: dict[str, object] = {"what": "recording.opened", "who": operator(), "role": "operator", "call_id": call}
        audit.append(config.paths.state / audit.FILE, audit.written(line))
        if args.output == "-":
            for piece in (first, *pieces):
                sys.stdout.buffer.write(piece)
            return 0
        path = Path(args.output or f"{call}.wav")
        try:
            number = open_private(path, os.O_WRONLY | os.O_EXCL)
        except FileExistsError as error:
            raise NotWritten(f"{path}: is there already") from error
        n_bytes = 0
        try:
            with os.fdopen(number, "wb") as file:
                for piece in (first, *pieces):
                    n_bytes += file.write(piece)
        except BaseException:
            path.unlink()
            raise
    print(f"{path}: {(n_bytes - HEADER_BYTES) / BYTES_PER_S:.1f} s")
    return 0
