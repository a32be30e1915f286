"""A contact list is read whole or refused with file, line, column and reason."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nodes.central.contacts import MAX_LINE, MAX_PROBLEMS, BadContactList, read_contacts
from protocols.wire.campaigns import Problem, contact_id
from protocols.wire.journal import Contact

KEY = bytes(range(32))


def read(text: str | bytes, region: str = "DE", zone: str = "") -> tuple[Contact, ...]:
    data = text.encode() if isinstance(text, str) else text
    return read_contacts("list.csv", data, key=KEY, region=region, zone=zone)


def problems(text: str | bytes, region: str = "DE") -> list[tuple[int, str, str]]:
    with pytest.raises(BadContactList) as refused:
        read(text, region)
    assert all(problem.file == "list.csv" for problem in refused.value.problems)
    return [(problem.line, problem.column, problem.reason) for problem in refused.value.problems]


def test_a_full_line_becomes_a_contact_with_its_columns_as_slots() -> None:
    (ada,) = read("Number,Name,Timezone,Consent,due_date\n+49 30 123456,Ada,Asia/Tokyo,form-7,2026-03-03\n")
    assert ada == Contact(
        contact_id=contact_id("+4930123456", KEY),
        target="+4930123456",
        zones=("Asia/Tokyo",),
        consent="form-7",
        slots={"name": "Ada", "due_date": "2026-03-03"},
    )


def test_numbers_are_read_in_the_region_and_written_in_e164() -> None:
    assert [contact.target for contact in read("number\n030 123456\n(0)40/765432\n+1 415 555 0100\n")] == [
        "+4930123456",
        "+4940765432",
        "+14155550100",
    ]


def test_without_a_region_a_local_number_is_refused_with_the_way_out() -> None:
    assert problems("number\n030 123456\n", region="") == [
        (2, "number", "has no country: write it with + and the country code, or name a region")
    ]


def test_a_sip_uri_is_a_target_as_it_is() -> None:
    (contact,) = read("number,timezone\nsip:ada@127.0.0.1:5070;transport=udp,Europe/Berlin\n")
    assert contact.target == "sip:ada@127.0.0.1:5070;transport=udp"


def test_the_zone_is_the_stated_one_then_the_numbers_then_the_plans() -> None:
    stated, from_number, many, fallback = read(
        "number,timezone\n+493012345,Asia/Tokyo\n+493012346,\n+18005550100,\nsip:a@b,\n", zone="Europe/Paris"
    )
    assert stated.zones == ("Asia/Tokyo",)
    assert from_number.zones == ("Europe/Berlin",)
    assert {"America/New_York", "Pacific/Honolulu"} <= set(many.zones)
    assert fallback.zones == ("Europe/Paris",)


def test_a_number_without_a_place_has_no_zone() -> None:
    (satellite,) = read("number\n+870773111632\n")
    assert satellite.zones == ()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_what_spreadsheets_write_is_read(encoding: str, delimiter: str, newline: str) -> None:
    lines = ["number,name", "+493012345,Zoë 王", "", "+493012346,Bob", ""]
    (zoe, bob) = read(newline.join(lines).replace(",", delimiter).encode(encoding))
    assert zoe.slots == {"name": "Zoë 王"}
    assert bob.target == "+493012346"


def test_quotes_hold_delimiters_and_line_breaks_and_lines_are_counted_in_the_file() -> None:
    text = 'number,name\n+493012345,"Lovelace, ""Ada""\nCountess"\nnonsense,Bob\n'
    assert problems(text) == [(4, "number", "is neither a telephone number nor a SIP URI")]
    assert read(text.replace("nonsense", "+493012346"))[0].slots == {"name": 'Lovelace, "Ada" Countess'}


def test_a_byte_that_is_not_utf8_is_named_with_its_line() -> None:
    ((line, _, reason),) = problems("number,name\n+493012345,Ada\n+493012346,Zoë\n".encode("latin-1"))
    assert line == 3
    assert reason == "byte 0xeb is not UTF-8: save the list as UTF-8"


def test_a_contact_who_is_there_twice_is_reported_with_both_lines() -> None:
    assert problems("number\n+493012345\n+493012346\n030 12345\n") == [(4, "number", "the same as on line 2")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (1, "", "the first line is a heading with a column `number`")),
        ("\n \n", (1, "", "the first line is a heading with a column `number`")),
        ("number\n", (1, "", "no contacts below the heading")),
        ("+493012345\n", (1, "", "the first line is a heading with a column `number`")),
        ("number,,x\n1,2,3\n", (1, "", "a column's name is made of a-z, 0-9 and _, and begins with a letter")),
        ("number,x,X\n1,2,3\n", (1, "x", "two columns have this name")),
        ("number,name\n+493012345\n", (2, "", "1 cells, the heading has 2")),
        ("number\na,b\n", (2, "", "2 cells, the heading has 1")),
        ("number,name\n,Ada\n", (2, "number", "is empty")),
        ("number\n+1415\n", (2, "number", "has too few or too many digits for its country")),
        ("number\n+49 30 123456 ext. 5\n", (2, "number", "has an extension, which cannot be dialled")),
        ("number\nsip:a b@c\n", (2, "number", "is not a SIP URI, as sip:ann@192.0.2.1")),
        (
            "number\nsip:a@c?X-Evil=1\n",
            (2, "number", "has header fields behind a question mark, which no call may set"),
        ),
        ("number\nsip:host\n", (2, "number", "a SIP URI here is sip:user@host")),
        ("number,timezone\n+493012345,Berlin\n", (2, "timezone", "is not an IANA time zone such as Europe/Berlin")),
        ("number,name\n+493012345,A\0da\n", (2, "name", "has a control character")),
        (f"number,name\n+493012345,{'x' * MAX_LINE}\n", (2, "", f"more than {MAX_LINE} characters")),
    ],
)
def test_each_fault_is_named_with_line_column_and_reason(text: str, expected: tuple[int, str, str]) -> None:

    assert problems(text) == [expected]


def test_a_quote_that_never_ends_is_reported_where_it_begins() -> None:
    ((line, _, reason),) = problems('number,name\n+493012345,Ada\n+493012346,"Bob\n')
    assert (line, reason) == (3, "not CSV: unexpected end of data")


def test_all_faults_are_reported_at_once_up_to_a_hundred() -> None:
    found = problems("number\n" + "nonsense\n" * 300)
    assert [line for line, _, _ in found] == list(range(2, 2 + MAX_PROBLEMS))


def test_what_script_or_plan_have_against_a_contact_is_reported_with_its_line() -> None:
    def faults(contact: Contact) -> list[str]:
        return [] if "due" in contact.slots else ["the script needs `due`", "and says so"]

    with pytest.raises(BadContactList) as refused:
        read_contacts("l.csv", b"number,due\n+493012345,x\n+493012346,\n", key=KEY, faults=faults)
    assert refused.value.problems == (Problem("l.csv", 3, "", "the script needs `due`; and says so"),)


cells = st.text(max_size=30) | st.sampled_from(
    ["number", "timezone", "+493012345", "030 123456", "sip:a@b", '"', "Asia/Tokyo"]
)
sheets = st.lists(st.lists(cells, max_size=4), max_size=6).map(lambda rows: "number,name,timezone\n" + _written(rows))


def _written(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


@given(st.binary(max_size=400) | sheets.map(lambda text: text.encode(errors="replace")))
@example(b"\xff\xfe\x00")
@example(b"\xef\xbb\xbf")
@example(b"number\n" + b"\xf0\x9f")
@example(b'number\n"')
def test_no_bytes_raise_anything_but_bad_contact_list(data: bytes) -> None:
    contacts, found = _outcome(data)
    assert bool(contacts) != bool(found)
    assert all(problem.line >= 1 for problem in found)
    assert len({contact.contact_id for contact in contacts}) == len(contacts)


def _outcome(data: bytes) -> tuple[tuple[Contact, ...], tuple[Problem, ...]]:
    try:
        return read_contacts("list.csv", data, key=KEY, region="DE"), ()
    except BadContactList as refused:
        return (), refused.problems
