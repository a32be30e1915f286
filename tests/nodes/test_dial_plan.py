"""Where no call goes unless an operator says so: premium numbers, satellites, emergency lines, private hosts."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.config import REFUSED_NUMBERS, ConfigError, Sip, Trunk, parse
from nodes.dial_plan import barred_by, dialled, hop_objection, objection, price_of

CARRIER = Trunk("carrier", "sip.example.net")
SIP = Sip(trunks=(CARRIER,))


@pytest.mark.parametrize(
    "user",
    [
        "+19005550100", "19005550100", "+1-900-555-0100", "+1 (900) 5550100".replace(" ", ""), "%2B19005550100",
        "+1%39005550100", "0119005550100".replace("011", "0111"), "+19005550100;ext=1", "+12129765550",
        "+881612345678", "00881612345678", "011881612345678", "+870773123456", "+882163123456", "+883510012345",
        "+979012345678", "+449012345678", "+49900123456", "911", "112",
    ],
)  # fmt: skip
@pytest.mark.parametrize("host", ["sip.example.net", "SIP.EXAMPLE.NET:5060", "203.0.112.7"])
def test_premium_satellite_and_emergency_numbers_are_refused_however_they_are_written(user: str, host: str) -> None:
    assert objection(f"sip:{user}@{host};user=phone", SIP).startswith("not_allowed: trunk carrier refuses ")


@pytest.mark.parametrize(
    "user",
    [
        "9005550100", "09001234567", "5550100", "12025550100", "900-555-0100", "9005550100;phone-context=+1",
        "*679005550100", "%2367%239005550100", "+*679005550100", "+1*9005550100",
    ],
)  # fmt: skip
def test_a_number_without_its_country_is_refused_at_a_trunk_for_only_the_carrier_knows_what_it_is(user: str) -> None:
    """900 in North America and 0900 in Germany are premium numbers that begin with neither +1900 nor +49900."""
    assert "begins with + and its country" in objection(f"sip:{user}@sip.example.net", SIP)
    assert objection(f"sip:{user}@sip.example.net", Sip(trunks=(replace(CARRIER, allow=("+90", "+1", "+5")),)))


def test_an_operator_may_name_numbers_as_they_are_dialled_and_what_is_refused_stays_so() -> None:
    sip = Sip(trunks=(replace(CARRIER, allow=("+1", "202xxxxxxx", "1xxxxxxxxxx")),))
    for user in ("2025550100", "12025550100", "+12025550100"):
        assert objection(f"sip:{user}@sip.example.net", sip) == ""
    for user in ("9005550100", "19005550100", "20255501000"):
        assert objection(f"sip:{user}@sip.example.net", sip)


@given(st.from_regex(r"[2-9][0-9]{6,14}", fullmatch=True), st.sampled_from(["{}", "0{}", "*67{}", "+*{}"]))
def test_no_number_that_a_plan_cannot_judge_goes_to_a_trunk(digits: str, form: str) -> None:
    assert objection(f"sip:{form.format(digits)}@sip.example.net", SIP)


@pytest.mark.parametrize(
    "user", ["+12025550100", "0012025550100", "+4930123456", "+447911123456", "ann", "1900", "9111"]
)
def test_other_numbers_and_extensions_are_not(user: str) -> None:
    assert objection(f"sip:{user}@sip.example.net", SIP) == ""


def test_what_is_allowed_says_what_is_not_and_what_is_refused_stays_so() -> None:
    sip = Sip(trunks=(replace(CARRIER, allow=("+1", "+1900")),))
    assert objection("sip:+12025550100@sip.example.net", sip) == ""
    assert "allows numbers that begin with +1, +1900 only" in objection("sip:+4930123456@sip.example.net", sip)
    assert "refuses numbers that begin with +1900" in objection("sip:+19005550100@sip.example.net", sip)


def test_an_operator_may_allow_everything_by_refusing_nothing() -> None:
    assert objection("sip:+19005550100@sip.example.net", Sip(trunks=(replace(CARRIER, refuse=()),))) == ""


def test_a_carriers_address_that_is_no_trunks_name_is_no_way_around_its_plan() -> None:
    other = Trunk("other", "192.0.2.9", refuse=())
    assert objection("sip:+19005550100@203.0.112.7", Sip(trunks=(other, CARRIER)))
    assert not objection("sip:+19005550100@192.0.2.9", Sip(trunks=(other, CARRIER)))
    assert objection("sip:+19005550100@203.0.112.7", Sip())


def test_a_contact_is_judged_by_the_trunk_they_go_through() -> None:
    barred = barred_by(Sip(trunks=(CARRIER, replace(CARRIER, name="free", host="192.0.2.9", refuse=()))))
    assert barred("+19005550100", "carrier")
    assert not barred("+19005550100", "free")
    assert barred("sip:+19005550100@sip.example.net", "")
    assert not barred("+12025550100", "carrier")


@given(st.text(max_size=30), st.text(max_size=20))
def test_no_text_is_too_odd_to_be_judged(target: str, user: str) -> None:
    assert isinstance(objection(target, SIP), str)
    assert isinstance(dialled(user), str)


PREFIXES = [one for one in REFUSED_NUMBERS if one.startswith("+")]


@given(st.sampled_from(PREFIXES), st.text("0123456789", min_size=7, max_size=10),
       st.sampled_from(["{}", "+{}", "00{}", "011{}", "%2B{}"]), st.lists(st.integers(1, 12), max_size=3))  # fmt: skip
def test_a_refused_prefix_is_refused_in_every_spelling(prefix: str, rest: str, form: str, dashes: list[int]) -> None:
    number = prefix.removeprefix("+").replace("x", "2") + rest
    for at in dashes:
        number = number[:at] + "-" + number[at:]
    assert objection(f"sip:{form.format(number)}@sip.example.net", SIP)


class TestHosts:
    @pytest.mark.parametrize(
        ("bind", "address", "is_allowed"),
        [
            ("127.0.0.1", "127.0.0.1", True),  # a machine for oneself
            ("localhost", "127.0.0.1", True),
            ("node.example", "10.1.2.3", False),
            ("0.0.0.0", "127.0.0.1", False),
            ("10.0.0.5", "127.0.0.1", False),
            ("10.0.0.5", "10.9.9.9", True),
            ("0.0.0.0", "10.9.9.9", False),
            ("203.0.112.7", "192.168.1.1", False),
            ("203.0.112.7", "100.64.0.1", False),
            ("0.0.0.0", "198.41.0.4", True),
            ("127.0.0.1", "169.254.169.254", False),
            ("10.0.0.5", "169.254.169.254", False),
            ("0.0.0.0", "224.0.0.1", False),
            ("0.0.0.0", "0.0.0.0", False),
            ("0.0.0.0", "255.255.255.255", False),
        ],
    )
    def test_that_are_not_public_are_called_only_from_a_node_that_is_there_itself(
        self, bind: str, address: str, is_allowed: bool
    ) -> None:
        assert (hop_objection("host", address, Sip(bind=bind)) == "") is is_allowed

    @pytest.mark.parametrize("allow", ["pbx", "PBX", "10.1.2.3", "10.1.0.0/16"])
    def test_that_the_operator_names_are_called(self, allow: str) -> None:
        assert hop_objection("pbx", "10.1.2.3", Sip(bind="0.0.0.0")) != ""
        assert hop_objection("pbx", "10.1.2.3", Sip(bind="0.0.0.0", allow=(allow,))) == ""

    def test_of_trunks_are_named_by_being_trunks(self) -> None:
        assert hop_objection("pbx", "10.1.2.3", Sip(bind="0.0.0.0", trunks=(Trunk("pbx", "pbx"),))) == ""

    def test_where_machines_keep_secrets_are_not_called_even_when_named(self) -> None:
        assert hop_objection("h", "169.254.169.254", Sip(bind="0.0.0.0", allow=("169.254.0.0/16",))) != ""


class TestTheConfiguration:
    def test_says_which_trunk_dials_what(self) -> None:
        text = '[[sip.trunks]]\nname="a"\nhost="h"\nallow=["+1"]\nrefuse=["+1xxx976"]\nprices={"+1"=0.01}'
        (trunk,) = parse(text, "x.toml", Path("/srv")).sip.trunks
        assert (trunk.allow, trunk.refuse, trunk.prices) == (("+1",), ("+1xxx976",), {"+1": 0.01})

    @pytest.mark.parametrize("wrong", ['allow=["1 900"]', 'refuse=["+1900*"]', 'prices={"x"=1.0}', 'refuse=[""]'])
    def test_refuses_what_is_no_beginning_of_a_number(self, wrong: str) -> None:
        with pytest.raises(ConfigError, match="no beginning of a number"):
            parse(f'[[sip.trunks]]\nname="a"\nhost="h"\n{wrong}', "x.toml", Path("/srv"))

    def test_refuses_what_is_no_host(self) -> None:
        with pytest.raises(ConfigError, match=r"sip: allow: 'a b' is no host"):
            parse('[sip]\nallow=["a b"]', "x.toml", Path("/srv"))


def test_the_longest_prefix_has_the_price() -> None:
    trunk = replace(CARRIER, prices={"+1": 0.01, "+1809": 0.3})
    assert [price_of(number, trunk) for number in ("+12025550100", "+18095550100", "+4930123")] == [0.01, 0.3, 0.0]
