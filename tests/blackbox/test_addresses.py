"""Public addresses have names in a report; all else stays as it is."""

from __future__ import annotations

import pytest

from edgecam.report.addresses import Pseudonyms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host 8.8.8.8 udp", "host public-1 udp"),
        ("8.8.8.8:3478 and 9.9.9.9 and 8.8.8.8", "public-1:3478 and public-2 and public-1"),
        ("10.0.0.5 192.168.1.7 127.0.0.1 169.254.3.4", "10.0.0.5 192.168.1.7 127.0.0.1 169.254.3.4"),
        ("2a02:8108:1::5 is out", "public-1 is out"),
        ("[2a02:8108:1::5]:443", "[public-1]:443"),
        ("fe80::1 fd00::2 ::1", "fe80::1 fd00::2 ::1"),
        ("2026-11-21T11:30:08.123456Z", "2026-11-21T11:30:08.123456Z"),
        ("version 1.2.3.4.5 and 999.1.1.1", "version 1.2.3.4.5 and 999.1.1.1"),
        ("aa:bb:cc:dd:ee:ff", "aa:bb:cc:dd:ee:ff"),
    ],
)
def test_addresses(text: str, expected: str) -> None:
    assert Pseudonyms().applied(text) == expected


def test_a_long_hostile_line_is_quick() -> None:
    for text in ("1:" * 200_000, "1." * 200_000, "a:b:" * 100_000):
        assert Pseudonyms().applied(text) == text
