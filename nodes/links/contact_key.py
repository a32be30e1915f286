"""The secret that names contacts (`campaigns.contact_id`), one file that all nodes of a cluster share.

A node that has another key than the others, or has lost its own, names everybody otherwise: no do-not-call list would
have anybody whom it dials. So whatever says that a list is whole says with which key, by a fingerprint of it.
"""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b
from pathlib import Path
from typing import Final

from nodes.errors import NodeError
from nodes.files import make_private

KEY_BYTES: Final = 32
FILE: Final = "contact.key"
_HEX: Final = re.compile(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", re.IGNORECASE)


class BadContactKey(NodeError):
    """The file holds no key: it was cut short, or is another file."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: is not {2 * KEY_BYTES} hexadecimal digits. Bring back the file that this cluster's nodes share; "
            "without it nobody on the do-not-call list is known"
        )


def contact_key(state: Path) -> bytes:
    """Return the key in `state/contact.key`, made now if there is none. Raises: `OSError`, `BadContactKey`.

    Of several processes that start at once, one makes it and the others read that one's.
    """
    state.mkdir(parents=True, exist_ok=True)
    path = state / FILE
    text = make_private(path, secrets.token_hex(KEY_BYTES).encode()).decode("ascii", "replace").strip()
    if not _HEX.fullmatch(text):
        raise BadContactKey(path)
    return bytes.fromhex(text)


def fingerprint(key: bytes) -> str:
    """Return what tells one key from another, and nothing else of it.

    >>> fingerprint(bytes(32)) == fingerprint(bytes(31) + b"x")
    False
    """
    return blake2b(b"ringmaster contact key", key=key, digest_size=8).hexdigest()


__all__ = ["BadContactKey", "contact_key", "fingerprint"]
