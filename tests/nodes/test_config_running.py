"""Settings that change while nodes run: one table says which, everything else is refused by name, and nothing that a
node's file rules out is let in.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.config import parse
from nodes.config_running import (
    AT_ONCE,
    DRAIN,
    EVERY,
    SECRET,
    check,
    differences,
    in_markdown,
    over,
    read,
    strangers,
    why_not,
    written,
)
from nodes.dial_plan import barred_by
from nodes.tables import ConfigError

FILE = """
[central]
base = 10
[[sip.trunks]]
name = "carrier"
host = "sip.example.net"
user = "acme"
password = "s3cret"
refuse = ["+1900"]
cps = 5
[[sip.trunks]]
name = "other"
host = "other.example.net"
"""
NODE = parse(FILE, "ringmaster.toml", Path("/srv"))


CHANGES = [change.key for change in AT_ONCE]


def document(key: str, value: object) -> dict[str, Any]:
    """Return a version with one setting, as TOML would be read."""
    room, _, name = key.partition(".")
    trunk, _, field = name.partition(".")
    return {room: {"trunks": [{"name": "carrier", field: value}]} if trunk == "trunks" else {name or "any": value}}


class TestTheTable:
    """What may change, said once."""

    def test_it_names_settings_that_there_are_and_none_twice(self) -> None:
        named = [*CHANGES, *DRAIN, *SECRET]
        assert set(named) <= EVERY
        assert len(set(named)) == len(named)

    def test_the_page_for_operators_has_it(self) -> None:
        page = Path("ARCHITECTURE.md").read_text()
        assert page.partition("<!-- settings -->\n")[2].partition("\n<!-- /settings -->")[0] == in_markdown()

    @pytest.mark.parametrize("key", sorted(EVERY - {*CHANGES, "sip.trunks.name"}))
    def test_every_other_setting_is_refused_by_its_name_and_with_what_it_takes(self, key: str) -> None:
        default = NODE
        for step in key.removeprefix("sip.trunks.").split("."):
            default = getattr(NODE.sip.trunks[0] if key.startswith("sip.trunks.") else default, step)
        value: Any = list(default) if isinstance(default, tuple) else default
        value = str(value) if isinstance(value, Path) or value is None else value
        with pytest.raises(ConfigError) as refused:
            check(document(key, value))
        assert refused.value.key == key.replace("sip.trunks.", "sip.trunks[0].") + (".any" if "." not in key else "")
        assert refused.value.reason == why_not(key)
        assert "drain" in refused.value.reason or "restart" in refused.value.reason

    def test_no_secret_may_be_in_a_version_whatever_it_is_called(self) -> None:
        assert not {*SECRET, *(key for key in EVERY if "password" in key or "key" in key)} & {*CHANGES}


class TestAFile:
    """Bad input names the file, the line and the setting."""

    @pytest.mark.parametrize(
        ("text", "line", "key", "reason"),
        [
            ("[central]\nbase = 4\nmax_concurrent = -1", 3, "central.max_concurrent", "-1 is not between"),
            ("[central]\n\n# so many\nbsae = 4", 4, "central.bsae", "is not known; did you mean base?"),
            ("[edge]\ngives_up = [\n  'recordings',\n  'calls',\n]", 2, "edge.gives_up[1]", "is 'calls', not one of"),
            ("[[sip.trunks]]\nname = 'a'\ncps = 1\n[[sip.trunks]]\ncps = 2", 4, "sip.trunks[1].name", "is missing"),
            ("[[sip.trunks]]\nname = 'a'\nhost = 'x'", 3, "sip.trunks[0].host", "needs a drain"),
            ("[[sip.trunks]]\nname = 'a'\npassword = 'x'", 3, "sip.trunks[0].password", "is who we are"),
            ("[[sip.trunks]]\nname = 'a'\n[[sip.trunks]]\nname = 'a'", 1, "sip.trunks", "has a trunk twice"),
            ("[[sip.trunks]]\nname = 'a'\nprices = {'+1' = nan}", 1, "sip.trunks[0]", "prices: nan is no price"),
            ("\n[telemetry]\nlevel = 'debug'", 3, "telemetry.level", "needs a restart"),
            ("[owners.acme]\nquota_mb = 3", 1, "owners.acme", "needs a restart"),
            ("[[scale.peaks]]\nbegins = '08:00'\nends = '09:00'", 1, "scale.peaks", "needs a restart"),
            ("[central]\nbase = 4\n\nversion = 1", 4, "central.version", "is not known"),
            ("version = true", 1, "version", "is a whole number"),
        ],
    )  # fmt: skip
    def test_an_error_says_where_it_is(self, text: str, line: int, key: str, reason: str) -> None:
        with pytest.raises(ConfigError) as refused:
            read(text, "new.toml")
        assert (refused.value.file, refused.value.key) == (f"new.toml:{line}", key)
        assert refused.value.reason.startswith(reason)

    @pytest.mark.parametrize(
        "text", ["[central", "central = 3", "[[sip]]", "sip = {trunks = {}}", "[sip]\ntrunks = [3]"]
    )
    def test_what_has_another_shape_is_refused_like_everything_else(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r"^new\.toml"):
            read(text, "new.toml")

    @settings(max_examples=30)
    @given(st.data())
    def test_whatever_stands_around_a_mistake_its_line_is_found(self, data: st.DataObject) -> None:
        around = st.lists(st.sampled_from(["", "# base = 0", "base = 4", "max_concurrent = [\n]"]), unique=True)
        before = [one for one in data.draw(around) if "[" not in one]
        lines = ["[edge]", "gives_up = [", "]", "[central]", *before, "wrong = [1,", "2]", "[[sip.trunks]]", "name='a'"]
        with pytest.raises(ConfigError) as refused:
            read("\n".join(lines), "f")
        assert refused.value.file == f"f:{lines.index('wrong = [1,') + 1}"


VERSIONS = st.fixed_dictionaries(
    {},
    optional={
        "central": st.fixed_dictionaries(
            {}, optional={"base": st.floats(0, 10_000), "max_concurrent": st.integers(0, 1_000_000)}
        ),
        "edge": st.fixed_dictionaries({}, optional={"gives_up": st.just(["recordings"])}),
        "sip": st.fixed_dictionaries(
            {
                "trunks": st.lists(
                    st.fixed_dictionaries(
                        {"name": st.sampled_from(["carrier", "other", 'an "odd" one\\'])},
                        optional={
                            "cps": st.floats(0.1, 1000),
                            "zone": st.text("abc \"'é", max_size=3),
                            "refuse": st.lists(st.sampled_from(["+1900", "+44", "911"]), max_size=2),
                            "prices": st.dictionaries(st.sampled_from(["+1", "+44"]), st.floats(0, 9)),
                            "spend_per_day": st.floats(0, 1e9),
                        },
                    ),
                    max_size=3, unique_by=lambda trunk: str(trunk["name"]),
                )
            }
        ),
    },
)  # fmt: skip


class TestAVersion:
    """Laid over a node's file."""

    def test_what_it_names_holds_and_the_rest_is_as_in_the_file(self) -> None:
        _, version = read("[central]\nmax_concurrent = 9\n[[sip.trunks]]\nname = 'carrier'\ncps = 2", "new.toml")
        config = over(NODE, version)
        assert (config.central.base, config.central.max_concurrent) == (10, 9)
        carrier, other = config.sip.trunks
        assert (carrier.cps, carrier.host, carrier.password) == (2, "sip.example.net", "s3cret")
        assert other == NODE.sip.trunks[1]

    def test_a_trunk_that_a_node_does_not_have_is_passed_over_and_named(self) -> None:
        version = {"sip": {"trunks": [{"name": "none", "cps": 1}]}}
        assert over(NODE, version) == NODE
        assert strangers(NODE, version) == ["none"]

    @settings(max_examples=30)
    @given(VERSIONS)
    def test_nobody_is_dialled_through_it_whom_the_file_refuses_and_nothing_else_of_a_node_changes(
        self, version: dict[str, Any]
    ) -> None:
        config = over(NODE, version)
        assert barred_by(config.sip)("+19005550100", "carrier")
        for old, new in zip(NODE.sip.trunks, config.sip.trunks, strict=True):
            assert set(old.refuse) <= set(new.refuse)
            same = {one.name for one in fields(old)} - {key.removeprefix("sip.trunks.") for key in CHANGES}
            assert all(getattr(old, name) == getattr(new, name) for name in same)
        assert {
            room for room in ("node", "nats", "rtp", "fetch", "cluster") if getattr(config, room) != getattr(NODE, room)
        } == set()

    @settings(max_examples=30)
    @given(VERSIONS, st.integers(0, 99))
    def test_it_is_written_so_that_it_is_read_as_what_it_was(self, version: dict[str, Any], number: int) -> None:
        base, again = read(written(version, number), "f")
        assert base == number
        assert differences(version, again) == []
        assert over(NODE, again) == over(NODE, version)

    @settings(max_examples=30)
    @given(VERSIONS, VERSIONS)
    def test_two_versions_that_mean_something_else_are_told_apart(
        self, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        if over(NODE, before) != over(NODE, after):
            assert differences(before, after)
