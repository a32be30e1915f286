"""Settings that may change while nodes run: which they are, as one table, and what a version of them makes of a file.

A version is a document with the keys of the configuration file, and only those of `AT_ONCE`. It is laid over the file
of each node: what it does not name is as the file says. It is the same for all nodes, so what is a machine's own is not
in it; nor is a secret, because every login that may look at the bucket would know it. Hosts stay the file's, and
numbers that a file refuses stay refused: who can write to NATS has nobody dialled whom a file rules out.

What it does: check, lay over, compare. What it does not: keep or bring versions (`nodes.links.settings`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any, Final, TypeAlias, get_args, get_type_hints

from nodes.config import Config
from nodes.config_speech import Use, changed
from nodes.config_trunks import Trunk
from nodes.tables import ConfigError, Reader, toml

Body: TypeAlias = dict[str, Any]

MOST_BYTES: Final = 16_000
"""Of a version as JSON: ten of them are one message between processes."""
ROOMS: Final = ("central", "edge", "speech")
"""The tables of which a version may name settings, beside trunks."""
_TRUNKS: Final = "sip.trunks."
_OF_ANY: Final = "any.invalid"
"""The host of a trunk whose host is not said here: it is the file's."""


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that may change. `taken_by`: the processes that go by it; `effect`: what becomes of a new value."""

    key: str
    taken_by: str
    effect: str


AT_ONCE: Final = (
    Change("central.base", "central", "the next call; the bucket goes on as full as it is"),
    Change("central.max_concurrent", "central", "the next call; those that are up stay"),
    Change("edge.gives_up", "edge", "the next event, and the next recording that begins"),
    Change("speech.use", "edge", "the next question of each call; what is said meanwhile is not lost"),
    Change("sip.trunks.cps", "central", "the next call through this trunk"),
    Change("sip.trunks.zone", "central", "the next call through this trunk"),
    Change("sip.trunks.refuse", "central edge", "the next call, whoever orders it; what a file refuses stays refused"),
    Change("sip.trunks.prices", "central", "the next call through this trunk; calls that are up keep their price"),
    Change("sip.trunks.spend_per_day", "central", "the next call through this trunk; what was spent counts"),
)
"""All that a version may name, beside the `name` of a trunk."""
DRAIN: Final = (
    "node.id", "node.roles", "paths.state", "sip.bind", "sip.port", "sip.trunks.host", "sip.trunks.port", "rtp.bind",
    "rtp.ports", "media.channels",
)  # fmt: skip
"""What calls that are up stand on: it changes in the file, on a node that has none."""
SECRET: Final = ("sip.trunks.user", "sip.trunks.password", "sip.trunks.realms")
"""Who we are to a carrier, and who may ask: never outside the file. All other keys change in the file, with a restart,
which calls outlive."""

_CHANGES: Final = {change.key for change in AT_ONCE}


def _keys(cls: type, before: str = "") -> Iterator[str]:
    """Yield the dotted key of every setting that a table may have; of what the file names or repeats, trunks alone have
    settings of their own."""
    hints = get_type_hints(cls)
    for name, hint in hints.items():
        key = f"{before}{name}"
        inner = get_args(hint)[0] if key == _TRUNKS[:-1] else hint
        if isinstance(inner, type) and is_dataclass(inner):
            yield from _keys(inner, f"{key}.")
        else:
            yield key


EVERY: Final = frozenset(_keys(Config))
"""All that the file of a node may name."""


def read(text: str, file: str) -> tuple[int | None, Body]:
    """Return a version from what people write: TOML, and the version on which it was made, if it says so (`version`).

    Raises: `ConfigError`, which names the line.

    >>> read("version = 3\\n[central]\\nmax_concurrent = 80", "new.toml")
    (3, {'central': {'max_concurrent': 80}})
    """
    body, base = toml(text, file), None
    if "version" in body:
        base = body.pop("version")
        if type(base) is not int or base < 0:
            raise ConfigError(
                _at(file, text, "version"), "version", "is a whole number: `ringmaster config show` has it"
            )
    try:
        check(body, file)
    except ConfigError as error:
        raise ConfigError(_at(file, text, error.key), error.key, error.reason) from error
    return base, body


def check(body: Body, file: str = "settings") -> None:
    """Refuse a version that no node could take. Raises: `ConfigError` with the key."""
    for key, _ in _flat(body, lambda n, trunk: f"sip.trunks[{n}]"):
        name = _TRUNKS + key.rpartition(".")[2] if key.startswith("sip.trunks[") else key
        room = key.partition(".")[0]
        name = room if room in EVERY else name
        if name in EVERY and name not in _CHANGES and name != f"{_TRUNKS}name":
            raise ConfigError(file, key, why_not(name))
    _typed(body, file)
    names = [trunk["name"] for trunk in _trunks(body)]
    if len(set(names)) < len(names):
        raise ConfigError(file, "sip.trunks", "has a trunk twice")
    if (n_bytes := len(json.dumps(body).encode())) > MOST_BYTES:
        raise ConfigError(file, "", f"is too long by {n_bytes - MOST_BYTES} bytes")


def why_not(key: str) -> str:
    """Return why a setting cannot change while nodes run.

    >>> why_not("rtp.ports")
    "needs a drain (ringmaster node drain): it stands in each node's file, and calls that are up stand on it"
    """
    if key in SECRET:
        return "is who we are to a carrier, which stands in each node's file and nowhere else: needs a restart"
    if key in DRAIN or key.partition(".")[0] in DRAIN:
        return "needs a drain (ringmaster node drain): it stands in each node's file, and calls that are up stand on it"
    return "needs a restart: it stands in each node's file"


def over(config: Config, body: Body) -> Config:
    """Return a node's configuration with a version laid over it; trunks that it does not have are passed over.

    Raises: `ConfigError` for a version that `check` refuses.
    """
    check(body)
    new, named = _typed(body, "settings"), {trunk["name"]: trunk for trunk in _trunks(body)}
    values = {trunk.name: trunk for trunk in new.sip.trunks}
    trunks = tuple(
        _laid_over(trunk, values[trunk.name], named[trunk.name].keys()) if trunk.name in named else trunk
        for trunk in config.sip.trunks
    )
    changed = {
        room: replace(getattr(config, room), **{name: getattr(getattr(new, room), name) for name in body.get(room, {})})
        for room in ROOMS
    }
    return replace(config, sip=replace(config.sip, trunks=trunks), **changed)


def named_trunks(body: Body) -> list[str]:
    """Return the trunks that a version names."""
    return [str(trunk["name"]) for trunk in _trunks(body)]


def with_use(config: Config, body: Body, wanted: Use) -> Body:
    """Return a version in which calls are heard as `wanted` says; what it says of others stays, or is the file's.

    >>> with_use(Config(), {}, Use("kaldi", 50, "spring"))
    {'speech': {'use': [{'engine': 'kaldi', 'percent': 50.0, 'campaign': 'spring'}]}}
    """
    rows = changed(over(config, body).speech.use, wanted)
    use = [{"engine": one.engine, "percent": float(one.percent), "campaign": one.campaign} for one in rows]
    return {**body, "speech": {**body.get("speech", {}), "use": use}}


def strangers(config: Config, body: Body) -> list[str]:
    """Return those of them that a node does not have."""
    ours = {trunk.name for trunk in config.sip.trunks}
    return [name for name in named_trunks(body) if name not in ours]


def differences(before: Body, after: Body) -> list[str]:
    """Return what changes from one version to another, a line for each setting.

    >>> differences({"central": {"base": 4}}, {"central": {"base": 8}, "sip": {"trunks": [{"name": "a", "cps": 2.0}]}})
    ['central.base: 4 -> 8', 'sip.trunks.a.cps: as in the file -> 2.0']
    """
    old, new = (
        {key: json.dumps(value) for key, value in _flat(body, lambda n, trunk: f"{_TRUNKS}{trunk['name']}")
         if not key.startswith(_TRUNKS) or not key.endswith(".name")}
        for body in (before, after)
    )  # fmt: skip
    file = "as in the file"
    changed = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return [f"{key}: {old.get(key, file)} -> {new.get(key, file)}" for key in changed]


def written(body: Body, version: int) -> str:
    """Return a version as people write it: what `read` reads.

    >>> print(written({"central": {"base": 8.0}, "sip": {"trunks": [{"name": "a", "prices": {"+1": 0.02}}]}}, 4))
    version = 4
    <BLANKLINE>
    [central]
    base = 8.0
    <BLANKLINE>
    [[sip.trunks]]
    name = "a"
    prices = {"+1" = 0.02}
    """
    tables = [(f"[{room}]", body[room]) for room in ROOMS if body.get(room)]
    tables += [("[[sip.trunks]]", trunk) for trunk in _trunks(body)]
    lines = [f"version = {version}"]
    for heading, table in tables:
        lines += ["", heading, *(f"{name} = {_value(value)}" for name, value in table.items())]
    return "\n".join(lines)


def in_markdown() -> str:
    """Return the table of what may change, for the documentation."""
    rows = [f"| `{one.key}` | {one.taken_by.replace(' ', ', ')} | {one.effect} |" for one in AT_ONCE]
    return "\n".join(("| setting | taken by | what a new value is for |", "|---|---|---|", *rows))


# ---- a version as values ------------------------------------------------------------------------------------------


def _typed(body: Body, file: str) -> Config:
    """Return the values of a version where a configuration has them, each of its type and within its range."""
    sip = body.get("sip")
    trunks = sip.get("trunks") if isinstance(sip, dict) else None
    if isinstance(trunks, list):
        filled = [{"host": _OF_ANY, **one} if isinstance(one, dict) else one for one in trunks]
        body = {**body, "sip": {**sip, "trunks": filled}} if isinstance(sip, dict) else body
    return Reader(file, Path("/")).table(Config, body, "")


def _laid_over(trunk: Trunk, new: Trunk, named: Any) -> Trunk:
    values = {name: getattr(new, name) for name in named if name != "name"}
    if "refuse" in values:
        values["refuse"] = tuple(dict.fromkeys((*trunk.refuse, *new.refuse)))
    return replace(trunk, **values)


def _trunks(body: Body) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body.get("sip", {}).get("trunks", [])
    return found


def _flat(body: Body, of_trunk: Any) -> Iterator[tuple[str, object]]:
    """Yield each setting of a body with its dotted key; what is no table where one should be is left out."""
    for room, table in body.items():
        for name, value in table.items() if isinstance(table, dict) else ():
            if (room, name) != ("sip", "trunks"):
                yield f"{room}.{name}", value
                continue
            for n, trunk in enumerate(value if isinstance(value, list) else ()):
                for field, one in trunk.items() if isinstance(trunk, dict) else ():
                    yield f"{of_trunk(n, trunk)}.{field}", one


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


# ---- where a mistake is -------------------------------------------------------------------------------------------


def _at(file: str, text: str, key: str) -> str:
    """Return `file:line` of a key, or of the last table on the way to it; without a line for what has none."""
    lines = text.splitlines()
    while key:
        if has_key(text, key):
            return f"{file}:{_first(lines, key)}"
        key = key.rpartition("[" if key.endswith("]") else ".")[0]
    return file


def _first(lines: list[str], key: str) -> int:
    """Return the line on which a key begins: the text up to there has it, or is not TOML yet."""
    low, high = 1, len(lines)
    while low < high:
        middle = end = (low + high) // 2
        while end < high and (has := has_key("\n".join(lines[:end]), key)) is None:
            end += 1  # within a value of several lines
        if end < high and has is False:
            low = end + 1
        else:
            high = middle
    return low


def has_key(text: str, key: str) -> bool | None:
    """Return whether a TOML text has a key, `sip.trunks[1].cps`; None where the text is not TOML.

    >>> has_key("[a]\\nb = [{c = 1}]", "a.b[0].c"), has_key("[a]", "a.b"), has_key("[a", "a")
    (True, False, None)
    """
    try:
        found: Any = toml(text, "")
    except ConfigError:
        return None
    for step in key.replace("[", ".[").split("."):
        try:
            found = found[int(step[1:-1]) if step.startswith("[") else step]
        except (LookupError, TypeError, ValueError):
            return False
    return True


__all__ = [
    "AT_ONCE", "DRAIN", "EVERY", "SECRET", "Body", "Change", "check", "differences", "in_markdown", "named_trunks",
    "over", "read", "strangers", "why_not", "with_use", "written",
]  # fmt: skip
