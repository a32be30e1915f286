"""The users of NATS servers of one's own, as text that their configuration includes: who they are, and what each may.

JSON, which nats-server reads as its own syntax, with a user a line: a node that is added is some more lines, and a
reload (SIGHUP) of each server. Two accounts: all that is ours is in `RM`, and whoever looks at the servers themselves
is in `SYS`. There is no secret in it.

    include "users.json"
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from nodes.links.nats_keys import SYSTEM, Users
from protocols.wire.roles import Role, user

ACCOUNT: Final = "RM"
SYSTEM_ACCOUNT: Final = "SYS"
_TEXT: Final = """\
{{
"system_account": "{system_account}",
"accounts": {{
"{system_account}": {{"users": {system}}},
"{account}": {{"jetstream": "enabled", "users": {ours}}}
}}
}}
"""


def text(users: Users) -> str:
    """Return what the servers include; the same users are always the same text."""
    logins = [(name, role, key) for name, keys in sorted(users.items()) for role, key in sorted(keys.items())]
    return _TEXT.format(
        account=ACCOUNT,
        system_account=SYSTEM_ACCOUNT,
        ours=_lines([user(name, Role(role), {"nkey": key}) for name, role, key in logins if role != SYSTEM]),
        system=_lines([{"nkey": key} for _, role, key in logins if role == SYSTEM]),
    )


def _lines(users: Sequence[object]) -> str:
    return "[\n" + ",\n".join(map(json.dumps, users)) + "\n]"


__all__ = ["ACCOUNT", "SYSTEM_ACCOUNT", "text"]
