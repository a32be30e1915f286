"""Who must not be called: a view of the bucket `rm_dnc`, kept by everybody who dials, and the key of its names.

A name is `contact_id`: a hash with a secret key, which all nodes of a cluster share as the file `contact.key` of their
state directory. Without the key the bucket says nothing about anybody; with it, a number is looked up, not read out.
"""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from nodes.links.bucket import Bucket
from protocols.wire.campaigns import ContactId

KEY_BYTES = 32


def contact_key(state: Path) -> bytes:
    """Return the key in `state/contact.key`, made now if there is none. Raises: `OSError`.

    Of several processes that start at once, one makes it and the others read that one's.
    """
    path = state / "contact.key"
    if not path.exists():
        state.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(KEY_BYTES))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        draft.unlink()
    return bytes.fromhex(path.read_text())


class DoNotCall:
    """The contacts of the list. `is_known` is False until the whole list was told: who dials waits for it."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.contacts: set[ContactId] = set()
        self.is_known = False

    async def follow(self) -> None:
        """Keep the view, for ever."""
        async for entry in self._bucket.watch():
            if entry is None:
                self.is_known = True
            elif entry.value is None:
                self.contacts.discard(ContactId(entry.key))
            else:
                self.contacts.add(ContactId(entry.key))

    async def add(self, contact: ContactId, by: str) -> None:
        """Put a contact on the list: here at once, everywhere when NATS has it. Raises: `BusAway`.

        `by`: what they said or pressed, one word.
        """
        self.contacts.add(contact)
        await self._bucket.put(contact, {"by": by, "wall": datetime.now(UTC).isoformat()})


__all__ = ["DoNotCall", "contact_key"]
