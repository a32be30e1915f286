"""`ringmaster user`: who may sign in at the desk or ask its API, and as what.

It writes the users' file of the state directory, with the node up or down; a desk that is up reads it at once. A
person's password comes from the terminal, or is the first line of standard input; a machine's secret is made, shown
once, and kept as a hash only.
"""

from __future__ import annotations

import argparse
import getpass
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from nodes.admin import audit
from nodes.admin.hashing import MAX_SECRET
from nodes.admin.roles import Role
from nodes.admin.users import FILE, MIN_PASSWORD, NAME, UsersError, changing, new_user, read
from nodes.commands.actions import operator
from nodes.commands.client import configured


def describe(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    what = parser.add_subparsers(dest="what", required=True, metavar="add|passwd|list|remove")
    roles = f"{', '.join(Role)}: each may all that those before it may (nodes/admin/roles.py)"
    add = what.add_parser("add", help="let somebody in", description="Let somebody in.")
    add.add_argument("name", help="letters, digits, - and _; an agent's is their seat's")
    add.add_argument("--role", required=True, choices=tuple(Role), metavar="ROLE", help=roles)
    passwd = what.add_parser("passwd", help="give somebody another password; their sessions end")
    passwd.add_argument("name")
    what.add_parser("list", help="who there is")
    remove = what.add_parser("remove", help="let somebody in no more; their sessions end")
    remove.add_argument("name")


def run(args: argparse.Namespace) -> int:
    """Do it. Raises: ConfigError, UsersError, OSError."""
    state = configured(args).paths.state
    file = state / FILE
    match args.what:
        case "list":
            for name, user in sorted(read(file).items()):
                print(f"{name:<24} {user.role:<8} since {user.since}")
        case "add":
            _add(file, args.name, Role(args.role))
        case "passwd":
            _passwd(file, args.name)
        case "remove":
            with changing(file) as users:
                _check_known(users, args.name)
                del users[args.name]
    if args.what != "list":
        by = {"what": f"user.{args.what}", "who": operator(), "role": "operator", "name": args.name}
        audit.append(state / audit.FILE, audit.written(by))
    return 0


def _add(file: Path, name: str, role: Role) -> None:
    if not NAME.fullmatch(name):
        raise UsersError(f"{name!r} is no name: letters, digits, - and _, at most 64")
    if name in read(file):
        raise UsersError(f"{name} is known already: `user passwd` gives another password, `user remove` removes")
    secret = _secret(name, role)
    made = new_user(role, secret)
    with changing(file) as users:
        if name in users:
            raise UsersError(f"{name} has been added meanwhile")
        users[name] = made
    _show(name, role, secret)


def _passwd(file: Path, name: str) -> None:
    users = read(file)
    _check_known(users, name)
    role = users[name].role
    secret = _secret(name, role)
    made = new_user(role, secret)
    with changing(file) as users:
        _check_known(users, name)
        users[name] = made
    _show(name, role, secret)


def _check_known(users: Mapping[str, object], name: str) -> None:
    if name not in users:
        raise UsersError(f"{name} is not known: {', '.join(sorted(users)) or 'nobody is'}")


def _secret(name: str, role: Role) -> str:
    """Return the secret: asked for, or for a machine made. Raises: UsersError."""
    if role is Role.MACHINE:
        return secrets.token_urlsafe(32)
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password for {name}: ")
        if getpass.getpass("The same again: ") != password:
            raise UsersError("the two are not the same")
    else:
        password = sys.stdin.readline().rstrip("\n")
    if not MIN_PASSWORD <= len(password) <= MAX_SECRET:
        raise UsersError(f"a password has {MIN_PASSWORD} to {MAX_SECRET} letters")
    if password.lower() == name.lower():
        raise UsersError("a password is not the name")
    return password


def _show(name: str, role: Role, secret: str) -> None:
    if role is Role.MACHINE:
        print(f"{name}.{secret}")
        print("This is its bearer (Authorization: Bearer NAME.SECRET). It is not shown again.", file=sys.stderr)


__all__ = ["describe", "run"]
