"""Who may what: the roles, each of which may all that those before it may; and who somebody is once that is known.

    agent     takes their own seat at the desk, and nothing else
    viewer    reads: calls, agents, campaigns, trees, figures
    machine   orders: calls, the do-not-call list; by bearer only, no page lets one in
    lead      sits at a desk too, and has the robot call their browser
    admin     everything; the node's own token is one

A role is the user's, whose secret is hashed in the users' file (`users.py`). What a route needs stands in the table of
routes (`api.py`), what a seat needs here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """In order: `may`."""

    AGENT = "agent"
    VIEWER = "viewer"
    MACHINE = "machine"
    LEAD = "lead"
    ADMIN = "admin"


_ORDER: Final = tuple(Role)
SEATED: Final = (Role.AGENT, Role.LEAD, Role.ADMIN)
"""People who take calls."""


@dataclass(frozen=True, slots=True)
class Who:
    """Somebody. `session`: by which they came, empty for a bearer. `is_node`: whoever can read the token's file."""

    name: str
    role: Role
    session: str = ""
    is_node: bool = False


NODE: Final = Who("node", Role.ADMIN, is_node=True)


def may(role: Role, least: Role) -> bool:
    """Say whether a role is enough.

    >>> may(Role.LEAD, Role.VIEWER), may(Role.AGENT, Role.VIEWER)
    (True, False)
    """
    return _ORDER.index(role) >= _ORDER.index(least)


def may_sit(who: Who, agent: str) -> bool:
    """Say whether this is somebody's own seat; without an agent's name it is a phone that the robot is to call.

    >>> ann = Who("ann", Role.AGENT)
    >>> may_sit(ann, "ann"), may_sit(ann, "ben"), may_sit(ann, ""), may_sit(NODE, "ben")
    (True, False, False, True)
    """
    if who.is_node:
        return True
    return who.role in SEATED and agent == who.name if agent else may(who.role, Role.LEAD)


__all__ = ["NODE", "SEATED", "Role", "Who", "may", "may_sit"]
