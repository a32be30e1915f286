"""Digest authentication: the vectors of its RFCs, and both of our ends against each other."""

import random

import pytest

from protocols.sip import Challenger, Credentials, Response, Verdict
from protocols.sip.auth import NONCE_S, Challenge, answer, challenges_in, digest
from protocols.sip.syntax import auth_params

NEW = {
    "realm": "http-auth@example.org",
    "uri": "/dir/index.html",
    "qop": "auth",
    "nc": "00000001",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "cnonce": "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
}
OLD = {"realm": "testrealm@host.com", "uri": "/dir/index.html", "nonce": "dcd98b7102dd2f0e8b11d0f600bfb0c093"}
MORE = {"qop": "auth", "nc": "00000001", "cnonce": "0a4f113b"}
VECTORS = {
    "RFC 7616 s.3.9.1, MD5": (NEW | {"algorithm": "MD5"}, "Circle of Life", "8ca523f5e9506fed4657c9700eebdbec"),
    "RFC 7616 s.3.9.1, SHA-256": (
        NEW | {"algorithm": "SHA-256"},
        "Circle of Life",
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
    ),
    "RFC 2617 s.3.5": (OLD | MORE, "Circle Of Life", "6629fae49393a05397450978507c4ef1"),
    "RFC 2069, erratum 749": (OLD, "CircleOfLife", "1949323746fe6a43ef61f9606e7febea"),
}
"""The last is the form without qop that RFC 2617 s.3.2.2.1 keeps."""


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_of_the_rfcs(name: str) -> None:
    fields, password, expected = VECTORS[name]
    assert digest({"username": "Mufasa", **fields}, password, "GET") == expected


def challenged(*values: str, code: int = 401) -> Challenge | None:
    name = "www-authenticate" if code == 401 else "proxy-authenticate"
    found = challenges_in(Response(code=code, phrase="", headers=tuple((name, value) for value in values)))
    return found[0] if found else None


class TestAChallenge:
    def test_of_two_the_stronger_is_answered(self) -> None:
        """RFC 7616 s.3.7."""
        both = challenged(
            'Digest realm="a", nonce="1", algorithm=MD5', 'Digest realm="a", nonce="2", algorithm=SHA-256'
        )
        assert both == Challenge("authorization", "a", "2", "SHA-256")

    def test_offers_auth_beside_what_we_do_not_do(self) -> None:
        assert challenged('Digest realm="a",nonce="1",qop="auth-int,auth",opaque="o",stale=TRUE') == Challenge(
            "authorization", "a", "1", has_qop=True, opaque="o", stale=True
        )

    @pytest.mark.parametrize(
        "value",
        ["", "Basic realm=a", 'Digest realm="a"', 'Digest realm="a",nonce="1",qop="auth-int"', 'Digest nonce="1',
         'Digest realm="a",nonce="1",algorithm=SHA-512-256'],
    )  # fmt: skip
    def test_that_we_cannot_answer_is_none(self, value: str) -> None:
        assert challenged(value) is None

    def test_is_looked_for_in_401_and_407_only(self) -> None:
        assert challenged('Digest realm="a",nonce="1"', code=407) is not None
        headers = (("www-authenticate", 'Digest realm="a",nonce="1"'),)
        assert challenges_in(Response(code=403, phrase="", headers=headers)) == []

    def test_of_several_realms_one_is_answered_for_each(self) -> None:
        """RFC 3261 s.22.3."""
        values = (
            'Digest realm="a",nonce="1"',
            'Digest realm="b",nonce="2"',
            'Digest realm="a",nonce="3",algorithm=MD5',
        )
        headers = (*(("proxy-authenticate", value) for value in values), ("www-authenticate", values[0]))
        found = challenges_in(Response(code=407, phrase="", headers=headers))
        assert {(one.name, one.realm) for one in found} == {
            ("proxy-authorization", "a"), ("proxy-authorization", "b"), ("authorization", "a")
        }  # fmt: skip


class TestBothEnds:
    SERVER = Challenger("example", b"secret of the server", "SHA-256")

    def ask(self, password: str, method: str = "REGISTER", at: float = 0.0, now: float = 0.0) -> Verdict:
        challenge = challenged(self.SERVER.challenge(at))
        assert challenge
        value = answer(challenge, Credentials('bo"b', password), method, "sip:x", random.Random(1).randbytes)
        return self.SERVER.verify(value, "REGISTER", {'bo"b': "right"}.get, now)

    def test_the_right_password_is_good(self) -> None:
        assert self.ask("right") is Verdict.GOOD

    def test_the_wrong_one_is_bad(self) -> None:
        assert self.ask("wrong") is Verdict.BAD

    def test_the_digest_of_another_method_is_bad(self) -> None:
        assert self.ask("right", method="INVITE") is Verdict.BAD

    def test_an_old_nonce_is_stale_and_no_worse(self) -> None:
        assert self.ask("right", at=0.0, now=NONCE_S + 1) is Verdict.STALE
        assert self.ask("wrong", at=0.0, now=NONCE_S + 1) is Verdict.BAD

    @pytest.mark.parametrize("value", ["", "Digest", 'Digest username="bob"', "Basic eA=="])
    def test_nothing_to_verify_is_bad(self, value: str) -> None:
        assert self.SERVER.verify(value, "REGISTER", {}.get, 0.0) is Verdict.BAD

    def test_a_nonce_of_somebody_else_is_bad(self) -> None:
        other = Challenger("example", b"another secret", "SHA-256")
        challenge = challenged(other.challenge(0.0))
        assert challenge
        value = answer(challenge, Credentials("bob", "right"), "REGISTER", "sip:x", random.Random(1).randbytes)
        assert self.SERVER.verify(value, "REGISTER", {"bob": "right"}.get, 0.0) is Verdict.BAD


def test_nc_and_qop_are_not_quoted_and_the_rest_is() -> None:
    """RFC 7616 s.3.4: implementations choke on the other form."""
    value = answer(
        Challenge("authorization", "r", "n", has_qop=True),
        Credentials("u", "p"),
        "INVITE",
        "sip:x",
        random.Random(1).randbytes,
    )
    assert ", nc=00000001," in value
    assert ", qop=auth," in value
    assert 'username="u"' in value
    assert auth_params(value)[1]["uri"] == "sip:x"


def test_credentials_do_not_show_their_password() -> None:
    assert "hunter2" not in repr(Credentials("bob", "hunter2"))
