"""Offer and answer for one line of audio (RFC 3264)."""

from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import RemoteProtocolError
from protocols.sip.sdp import Listening, LocalMedia, Media, accept, answer, offer, read

Sdp = Callable[..., bytes]
HERE = Listening("10.0.0.1", 4000)
OURS = LocalMedia(session_id=77, version=0, host="10.0.0.1", port=4000)


def text(ours: LocalMedia) -> str:
    return ours.body().decode()


class TestAnOffer:
    def test_is_this(self) -> None:
        assert text(offer(OURS, HERE)) == (
            "v=0\r\n"
            "o=- 77 1 IN IP4 10.0.0.1\r\n"
            "s=-\r\n"
            "c=IN IP4 10.0.0.1\r\n"
            "t=0 0\r\n"
            "m=audio 4000 RTP/AVP 0 8 101\r\n"
            "a=rtpmap:0 PCMU/8000\r\n"
            "a=rtpmap:8 PCMA/8000\r\n"
            "a=rtpmap:101 telephone-event/8000\r\n"
            "a=fmtp:101 0-16\r\n"
            "a=ptime:20\r\n"
            "a=sendrecv\r\n"
        )

    def test_keeps_the_codec_in_use_in_front_and_their_number_for_dtmf(self, sdp: Sdp) -> None:
        said, _ = answer(OURS, sdp("a=rtpmap:96 telephone-event/8000", formats="8 96"))
        assert "RTP/AVP 8 0 96" in text(offer(said, HERE))


class TestAnAnswerOfTheirs:
    @pytest.mark.parametrize(
        ("lines", "formats", "expected"),
        [
            ((), "0 101", Media("10.0.0.2", 30000, 0, 101, True, True)),
            ((), "8 0", Media("10.0.0.2", 30000, 8, -1, True, True)),
            (("a=rtpmap:0 pcmu/8000/1",), "0", Media("10.0.0.2", 30000, 0, -1, True, True)),
            (("a=sendonly",), "0", Media("10.0.0.2", 30000, 0, -1, False, True)),
            (("a=recvonly",), "0", Media("10.0.0.2", 30000, 0, -1, True, False)),
            (("a=inactive",), "0", Media("10.0.0.2", 30000, 0, -1, False, False)),
            (("c=IN IP4 10.0.0.9",), "0", Media("10.0.0.9", 30000, 0, -1, True, True)),
            (("c=IN IP4 0.0.0.0",), "0", Media("0.0.0.0", 30000, 0, -1, False, True)),
        ],
    )
    def test_comes_to_this(self, sdp: Sdp, lines, formats: str, expected: Media) -> None:
        assert accept(offer(OURS, HERE), sdp(*lines, formats=formats)) == expected

    def test_may_have_bare_line_feeds_and_blanks(self, sdp: Sdp) -> None:
        assert accept(offer(OURS, HERE), sdp().replace(b"\r\n", b" \n")).port == 30000

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"\xff\xfe\x00",
            b"v=0\r\nc=IN IP4 10.0.0.2\r\nm=audio 0 RTP/AVP 0\r\n",
            b"v=0\r\nc=IN IP4 10.0.0.2\r\nm=audio 70000 RTP/AVP 0\r\n",
            b"v=0\r\nc=IN IP4 10.0.0.2\r\nm=audio 30000 RTP/SAVP 0\r\n",
            b"v=0\r\nc=IN IP4 10.0.0.2\r\nm=audio 30000 RTP/AVP 18\r\n",
            b"v=0\r\nc=IN IP4 media.example.com\r\nm=audio 30000 RTP/AVP 0\r\n",
            b"v=0\r\nc=IN IP6 ::1\r\nm=audio 30000 RTP/AVP 0\r\n",
            b"v=0\r\nm=audio 30000 RTP/AVP 0\r\n",
            b"v=0\r\nc=IN IP4 10.0.0.2\r\nm=audio 30000 RTP/AVP 0\r\na=rtpmap:0 opus/48000\r\n",
        ],
    )
    def test_that_comes_to_nothing_is_488(self, body: bytes) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            accept(offer(OURS, HERE), body)
        assert caught.value.code == 488


class TestOurAnswer:
    def test_names_one_codec_in_the_order_of_the_offer_and_dtmf_under_their_number(self, sdp: Sdp) -> None:
        said, media = answer(OURS, sdp("a=rtpmap:97 telephone-event/8000", formats="18 8 0 97"))
        assert "m=audio 4000 RTP/AVP 8 97\r\n" in text(said)
        assert "a=fmtp:97 0-16" in text(said)
        assert (media.payload_type, media.dtmf_type) == (8, 97)

    @pytest.mark.parametrize(
        ("theirs", "holds", "ours"),
        [
            ("sendrecv", False, "sendrecv"),
            ("sendonly", False, "recvonly"),
            ("recvonly", False, "sendonly"),
            ("inactive", False, "inactive"),
            ("sendrecv", True, "sendonly"),
            ("sendonly", True, "inactive"),
        ],
    )
    def test_mirrors_the_direction(self, sdp: Sdp, theirs: str, holds: bool, ours: str) -> None:
        """RFC 3264 s.6.1."""
        held = offer(OURS, HERE, holds=holds)
        said, media = answer(held, sdp(f"a={theirs}"))
        assert f"a={ours}\r\n" in text(said)
        assert (media.sends, media.hears) == ("send" in ours, "recv" in ours)

    def test_declines_other_lines_in_their_places(self, sdp: Sdp) -> None:
        """RFC 3264 s.6."""
        video_first = sdp().replace(b"m=audio", b"m=video 5000 RTP/AVP 96 97\r\nm=image 5002 udptl t38\r\nm=audio")
        said, _ = answer(OURS, video_first)
        assert [one.kind for one in read(said.body())] == ["video", "image", "audio"]
        assert [one.port for one in read(said.body())] == [0, 0, 4000]
        assert [one.kind for one in read(offer(said, HERE).body())] == ["video", "image", "audio"]


@given(
    moves=st.lists(
        st.one_of(
            st.tuples(st.just("offer"), st.sampled_from([4000, 4002]), st.booleans()),
            st.tuples(
                st.just("answer"), st.sampled_from(["sendrecv", "sendonly", "inactive"]), st.sampled_from([0, 8])
            ),
        ),
        max_size=8,
    )
)
def test_the_version_rises_by_one_exactly_when_something_else_is_said(moves) -> None:
    """Always (RFC 3264 s.8): equal versions mean equal descriptions, and the other way round."""
    ours, bodies = offer(OURS, HERE), []
    for kind, one, other in moves:
        if kind == "offer":
            ours = offer(ours, Listening("10.0.0.1", one), other)
        else:
            ours, _ = answer(ours, f"v=0\r\nc=IN IP4 10.0.0.2\r\nm=audio 9 RTP/AVP {other}\r\na={one}\r\n".encode())
        bodies.append((ours.version, text(ours).partition("s=")[2]))
    for (version, said), (next_version, next_said) in pairwise(bodies):
        assert next_version == version + (said != next_said)
