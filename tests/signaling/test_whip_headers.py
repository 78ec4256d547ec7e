"""What WHIP says in headers and fragments."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from yarl import URL

from edgecam.signaling.whip_headers import LONGEST_WAIT, Fragments, ice_servers, origin, retry_after

TURN = '<turn:turn.example:3478?transport=udp>; rel="ice-server"; username="u;1,x"; credential="p\\"w"; credential-type="password"'


def test_ice_servers_of_one_header_and_of_several() -> None:
    together = ice_servers([f"<stun:stun.example>; rel=ice-server, {TURN}"])
    assert together == ice_servers(["<stun:stun.example>; rel=ice-server", TURN])
    stun, turn = together
    assert stun.urls == ("stun:stun.example",)
    assert (turn.urls, turn.username) == (("turn:turn.example:3478?transport=udp",), "u;1,x")
    assert turn.credential.get_secret_value() == 'p"w'


@pytest.mark.parametrize(
    "header",
    [
        "",
        "<",
        '<stun:stun.example>; rel="next"',
        "stun:stun.example; rel=ice-server",
        "<http://stun.example>; rel=ice-server",
        "<turn:turn.example>; rel=ice-server",  # no credentials
        "<stun:a b>; rel=ice-server",
        ";;;,,,<>>><<" * 1000,
    ],
)
def test_links_that_are_no_ice_servers_are_passed_over(header: str) -> None:
    assert ice_servers([header]) == ()


NOW = datetime(2026, 11, 21, 8, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5", 5.0),
        (" 0 ", 0.0),
        ("999999", LONGEST_WAIT),
        ("Sat, 21 Nov 2026 08:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 07:00:00 GMT", 0.0),
        ("Sat, 21 Nov 2027 07:00:00 GMT", LONGEST_WAIT),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("9" * 400, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


def test_an_origin_has_the_schemes_port() -> None:
    assert origin(URL("https://Media.example/a")) == origin(URL("https://media.example:443/b?c"))
    assert origin(URL("http://media.example")) != origin(URL("https://media.example"))
    assert origin(URL("https://media.example:444")) != origin(URL("https://media.example"))


def test_a_fragment_names_section_credentials_and_candidates() -> None:
    offer = "v=0\r\nm=video 9 UDP/TLS/RTP/SAVPF 101 102\r\na=mid:0\r\na=ice-ufrag:ab\r\na=ice-pwd:cd\r\n"
    fragments = Fragments.of(offer)
    assert fragments.holding(["candidate:1 1 udp 1 192.0.2.1 9 typ host"], complete=True) == (
        "a=group:BUNDLE 0\r\nm=video 9 UDP/TLS/RTP/SAVPF 101\r\na=mid:0\r\na=ice-ufrag:ab\r\na=ice-pwd:cd\r\n"
        "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n"
    )
    assert "end-of-candidates" not in fragments.holding([], complete=False)
