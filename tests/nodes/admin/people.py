"""Who asks, in tests: an `Access` of its own state directory, and people with a password or a bearer."""

from __future__ import annotations

from pathlib import Path

from nodes.admin.access import Access, own_token
from nodes.admin.audit import Audit
from nodes.admin.roles import Role
from nodes.admin.sessions import Sessions
from nodes.admin.users import Users, changing, new_user

COOKIE = "ringmaster_n1"
PASSWORD = "a password of ours"


def door(state: Path, lifetime_s: float = 3600.0) -> Access:
    """Return an access whose files are in `state`, as a desk has it."""
    (state / "run").mkdir(parents=True, exist_ok=True)
    users = Users(state / "users.json")
    sessions = Sessions(state / "sessions.json", users, lifetime_s)
    return Access(own_token(state, state / "run"), users, sessions, Audit(state / "audit.jsonl"), COOKIE)


def let_in(state: Path, **roles: Role) -> None:
    """Have users of these names and roles, all with the same password."""
    with changing(state / "users.json") as users:
        for name, role in roles.items():
            users[name] = new_user(role, PASSWORD)


__all__ = ["COOKIE", "PASSWORD", "door", "let_in"]
