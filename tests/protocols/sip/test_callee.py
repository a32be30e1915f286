"""One person is one text, however a target is spelt; two people stay two where nothing says that they are one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.sip.callee import callee

NUMBER = "12025550100"

separators = st.sampled_from(["", "-", ".", "%20", "(", ")", "/"])
numbers = st.lists(st.sampled_from("123456789"), min_size=7, max_size=13).map("".join)  # no 00 or 011 of its own
hosts = st.sampled_from(
    ["carrier.example", "CARRIER.example.", "192.0.2.9:5070", "[2001:db8::1]", "sip.example.net:5060"]
)
prefixes = st.sampled_from(["+", "%2B", "%2b", "00", "011", ""])


@st.composite
def spelt(draw: st.DrawFn) -> tuple[str, str]:
    """A number, and a URI that dials it."""
    number = draw(numbers)
    digits = "".join(digit + draw(separators) for digit in number)
    user = draw(prefixes) + digits + draw(st.sampled_from(["", ";phone-context=example.net"]))
    scheme, end = (
        draw(st.sampled_from(["sip", "SIP", "sips"])),
        draw(st.sampled_from(["", ";user=phone", ";transport=udp;x"])),
    )
    return f"+{number}", f"{scheme}:{user}@{draw(hosts)}{end}"


@given(spelt())
def test_a_number_at_any_host_is_the_number_however_it_is_spelt(both: tuple[str, str]) -> None:
    number, target = both
    assert callee(target) == callee(number) == number


@pytest.mark.parametrize(
    "same",
    [
        ("sip:ann@pbx.example", "SIP:Ann@PBX.example:5060;transport=tcp", "sips:ann@pbx.example:5061",
         "sip:%61nn@pbx.example."),
        ("sip:1234@pbx.example", "sip:12-34@pbx.example;user=phone"),
        ("+1 202 555-0100", "+12025550100", "sip:12025550100@192.0.2.9"),
    ],
)  # fmt: skip
def test_these_reach_the_same_telephone(same: tuple[str, ...]) -> None:
    assert len(set(map(callee, same))) == 1


def test_these_do_not() -> None:
    others = [
        "sip:ann@pbx.example", "sip:ann@pbx.example:5070", "sip:ann@other.example", "sip:123456@pbx.example",
        "sip:123456@other.example", "sip:+12025550100@pbx.example", "sip:+12025550101@pbx.example", "sip:pbx.example",
        "sip:4711-bob@pbx.example", "browser:n1.desk-0:5f/phone-7", "browser:n1.desk-0:5f/phone-8",
    ]  # fmt: skip
    assert len(set(map(callee, others))) == len(others)


@given(st.text(max_size=40) | st.from_regex(r"sips?:[+0-9a-z%;:.@-]{0,30}", fullmatch=True))
def test_any_text_is_somebody_and_stays_the_same_one(text: str) -> None:
    """Also what was made of it may be looked up again."""
    assert callee(callee(text)) == callee(text)
