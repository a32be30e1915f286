"""Reading and writing messages: RFC 3261 s.7, s.8.1.3, s.18, and what a carrier's looser habits may cost."""

import doctest
import importlib
import pkgutil

import pytest
import sipmessage
from hypothesis import given
from hypothesis import strategies as st

import protocols.sip
from protocols.errors import RemoteProtocolError
from protocols.sip import Request, Response, syntax
from protocols.sip.message import parse

OPTIONS = (
    "OPTIONS sip:bob@10.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKx\r\n"
    "From: <sip:a@b>;tag=1\r\n"
    "To: <sip:bob@10.0.0.1>\r\n"
    "Call-ID: x\r\n"
    "CSeq: 1 OPTIONS\r\n"
    "\r\n"
)
MODULES = [one.name for one in pkgutil.iter_modules(protocols.sip.__path__, "protocols.sip.")]


def with_line(line: str, text: str = OPTIONS) -> bytes:
    return text.replace("\r\n\r\n", f"\r\n{line}\r\n\r\n").encode()


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


class TestReading:
    def test_compact_names_are_written_out(self) -> None:
        """RFC 3261 s.7.3.3."""
        text = OPTIONS.replace("Via", "v").replace("From", "f").replace("To:", "t:").replace("Call-ID", "i")
        assert parse(text.encode()) == parse(OPTIONS.encode())

    def test_names_have_no_case(self) -> None:
        assert parse(OPTIONS.replace("CSeq", "cSEQ").encode()).cseq.number == 1

    @pytest.mark.parametrize("before", ["\r\n", "\r\n\r\n"])
    def test_line_ends_before_the_start_line_are_ignored(self, before: str) -> None:
        """RFC 3261 s.7.5."""
        assert parse((before + OPTIONS).encode()) == parse(OPTIONS.encode())

    def test_what_follows_the_body_is_not_the_message(self) -> None:
        """RFC 3261 s.18.3."""
        assert parse(with_line("Content-Length: 3") + b"abcdef").body == b"abc"

    @pytest.mark.parametrize(
        ("wrong", "code"),
        [
            (with_line("Content-Length: 4") + b"abc", 400),
            (with_line("Content-Length: -1"), 400),
            (with_line("Content-Length: 0\r\nContent-Length: 0"), 400),
            (with_line("Call-ID: again"), 400),
            (with_line("Max-Forwards: 256"), 400),
            (with_line("Max-Forwards: many"), 400),
            (with_line("X: 1\r\n" * 300), 400),
            (with_line("Contact: <sip:a@b"), 400),
            (OPTIONS.replace("1 OPTIONS", "2147483648 OPTIONS").encode(), 400),
            (OPTIONS.replace("1 OPTIONS", "1 INVITE").encode(), 400),
            (OPTIONS.replace("SIP/2.0\r\nVia", "SIP/3.0\r\nVia").encode(), 505),
            (OPTIONS.replace("SIP/2.0\r\nVia", "HTTP/1.1\r\nVia").encode(), 400),
            (OPTIONS.replace("sip:bob@10.0.0.1 ", "urn:x:y ").encode(), 416),
            (OPTIONS.replace("sip:bob@10.0.0.1 ", "sip:bob@10.0.0.1:99999 ").encode(), 400),
            (OPTIONS.replace("Via: SIP/2.0/UDP 10.0.0.2;branch=z9hG4bKx\r\n", "").encode(), 400),
            (OPTIONS.replace("Call-ID: x\r\n", "Call-ID: x\r\n:novalue\r\n").encode(), 400),
            (OPTIONS.encode()[:-2], 400),
            (OPTIONS.encode().replace(b"sip:a", b"sip:\xff"), 400),
            (OPTIONS.replace("Call-ID: x", "Call-ID: x\ny").encode(), 400),
        ],
    )
    def test_what_is_wrong_is_named_with_its_code(self, wrong: bytes, code: int) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            parse(wrong)
        assert caught.value.code == code

    def test_a_response_with_two_vias_is_not_for_us(self) -> None:
        """RFC 3261 s.8.1.3.3."""
        text = OPTIONS.replace("OPTIONS sip:bob@10.0.0.1 SIP/2.0", "SIP/2.0 200 OK")
        assert isinstance(parse(text.encode()), Response)
        with pytest.raises(RemoteProtocolError, match="not_our_response"):
            parse(with_line("Via: SIP/2.0/UDP 10.0.0.9", text))


class TestValues:
    """What carriers send, and a stricter reader of the RFC would refuse."""

    @pytest.mark.parametrize(
        "text",
        [
            "sip:bob@pbx1:5070",
            "SIP:bob@EXAMPLE.com",
            "sip:bob@trunk_1.example.com",
            "sip:+31201234567;phone-context=x@10.0.0.1;user=phone",
            "sip:b@10.0.0.1;ob;alias=10.0.0.1~5060~1",
            "sip:[2001:db8::1]:5060",
            "tel:+31201234567",
        ],
    )
    def test_a_uri_keeps_its_text(self, text: str) -> None:
        assert syntax.uri(text).text == text

    def test_via_received_may_be_an_address_of_any_kind(self) -> None:
        assert syntax.via("SIP/2.0/UDP 10.0.0.1;received=2001:db8::1;branch=z9hG4bKy").branch == "z9hG4bKy"

    def test_lists_are_split_outside_quotes_only(self) -> None:
        read = syntax.each(['"Bob, B." <sip:b@c>;x=1, <sip:d,e@f>', "<sip:g@h>"], syntax.name_addr)
        assert [one.uri.user for one in read] == ["b", "d,e", "g"]

    @pytest.mark.parametrize(
        "text", ["", "<sip:a@b", "sip:a@b?x=y", '"a <sip:a@b>', "<sip:a@b> x", "<>", "sip:", "sip:%zz@b"]
    )
    def test_no_address(self, text: str) -> None:
        with pytest.raises(RemoteProtocolError):
            syntax.name_addr(text)

    @pytest.mark.parametrize("text", ["<sip:a@b>,", ",<sip:a@b>", "<sip:a@b>,,<sip:c@d>", '"'])
    def test_no_list(self, text: str) -> None:
        with pytest.raises(RemoteProtocolError):
            syntax.items(text)

    @given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")))
    def test_whatever_is_quoted_is_unquoted(self, text: str) -> None:
        assert syntax.unquote(syntax.quote(text)) == text
        assert syntax.name_addr(f"{syntax.quote(text)} <sip:a@b>").name == text


class TestWriting:
    def test_what_is_written_reads_the_same(self) -> None:
        request = parse(with_line("Content-Type: text/plain\r\nContent-Length: 2") + b"hi")
        assert isinstance(request, Request)
        assert parse(bytes(request)) == request

    def test_another_reader_agrees_with_what_a_uac_writes(self, invite: Request) -> None:
        """sipmessage was written by others."""
        read = sipmessage.Message.parse(bytes(invite))
        assert isinstance(read, sipmessage.Request)
        assert (str(read.uri), read.cseq.sequence, read.via[0].host) == (invite.uri, 1, "10.0.0.1")
        assert read.from_address.parameters["tag"] == invite.sender.tag
        assert read.content_length == len(invite.body) == len(read.body)
        assert str(read.contact[0].uri) == "sip:ringmaster@10.0.0.1:5060"
        assert str(read.content_type) == "application/sdp"
