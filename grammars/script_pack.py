"""A checked script as bytes: what travels to edges, engines and heirs, so that none of them reads what people wrote.

MessagePack of `script_model.Script`, validated against its types when it is read. The hash is that of the bytes, so it
need not travel: who has the script has its name. Reading takes well under a millisecond; a script's text is YAML, whose
reader can be held for seconds (`script_tree.py`), and is in processes that serve no calls.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from typing import Final

import msgspec

from grammars.errors import GrammarError, Reason, ScriptError
from grammars.script_model import Script
from protocols.wire.ids import ScriptHash

MAX_PACKED: Final = 128 * 1024
"""Bytes: with a contact's slots it still fits into the message that places a call (`codec.MAX_BODY`)."""
_DECODER: Final = msgspec.msgpack.Decoder(Script)


def pack(script: Script) -> bytes:
    """Return the script as bytes: the same script, the same bytes."""
    return msgspec.msgpack.encode(replace(script, hash=ScriptHash("")))


@lru_cache(maxsize=64)
def script_hash(packed: bytes) -> ScriptHash:
    """Return the name of a packed script: what a call is pinned to. Asked with every record that is told."""
    return ScriptHash(blake2b(packed, digest_size=16).hexdigest())


@lru_cache(maxsize=64)
def unpack(packed: bytes) -> Script:
    """Return the script. All calls of a campaign share one. Raises: `ScriptError` for bytes that are none."""
    if len(packed) > MAX_PACKED:
        raise ScriptError([Reason(0, f"more than {MAX_PACKED} bytes")])
    try:
        return replace(_DECODER.decode(packed), hash=script_hash(packed))
    except (ValueError, RecursionError, GrammarError) as error:
        raise ScriptError([Reason(0, f"not a packed script: {error}")]) from error


__all__ = ["MAX_PACKED", "script_hash", "pack", "unpack"]
