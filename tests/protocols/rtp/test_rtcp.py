"""RFC 3550 s.6: reports in and out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import RemoteProtocolError
from protocols.rtp import rtcp
from protocols.rtp.rtcp import Report, ReportBlock, SenderInfo

word = st.integers(0, 0xFFFFFFFF)
blocks = st.builds(
    ReportBlock, word, st.integers(0, 255), st.integers(0, 2**23 - 1), word, word, last_report=word, since_last=word
)
senders = st.builds(SenderInfo, st.integers(0, 2**64 - 1), word, word, word)
reports = st.builds(Report, word, st.none() | senders, st.lists(blocks, max_size=3).map(tuple))


@given(reports, st.text(max_size=20))
def test_a_report_comes_back_from_its_own_bytes(report: Report, cname: str) -> None:
    data = rtcp.build(report, cname)
    assert rtcp.parse(data) == [report]
    assert len(data) % 4 == 0


@given(st.binary(max_size=120))
def test_any_bytes_are_reports_or_a_remote_error(data: bytes) -> None:
    try:
        rtcp.parse(data)
    except RemoteProtocolError:
        pass


def test_a_report_carries_its_name_behind_it() -> None:
    data = rtcp.build(Report(1, None, ()), "ringmaster")
    assert data[8 + 1] == 202
    assert b"ringmaster\x00" in data


def test_a_report_that_promises_more_blocks_than_it_has_is_truncated() -> None:
    data = bytearray(rtcp.build(Report(1, None, ()), "x"))
    data[0] |= 3
    with pytest.raises(RemoteProtocolError, match="truncated"):
        rtcp.parse(bytes(data[:8]))


def test_a_negative_loss_is_read_as_one() -> None:
    data = bytes.fromhex("81c90007 00000001 00000002 00ffffff 00000000 00000000 00000000 00000000")
    assert rtcp.parse(data)[0].blocks[0].lost == -1


def test_ntp_counts_from_1900_in_fixed_point() -> None:
    assert rtcp.ntp(0.5) == (rtcp.NTP_EPOCH_S << 32) + (1 << 31)
